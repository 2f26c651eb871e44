from __future__ import annotations

import numpy as np
import pytest

from hsi.datasets.assemble import SceneFacts, assemble_scene
from hsi.datasets.palette import default_palette
from hsi.errors import SceneError

CUBE = np.random.default_rng(0).integers(1, 900, (6, 5, 4)).astype(np.uint16)
LABELS = np.tile([0, 1, 10, 11, 14], (6, 1))


def test_the_cube_is_not_copied_and_gaps_are_noted() -> None:
    scene = assemble_scene(CUBE, LABELS, SceneFacts("field"))
    assert scene.cube is CUBE
    assert (scene.rows, scene.cols, scene.bands, scene.classes) == (6, 5, 4, 4)
    assert scene.label_codes == (1, 10, 11, 14)
    assert scene.counts == (6, 6, 6, 6)
    assert scene.class_names == ("class 1", "class 10", "class 11", "class 14")
    assert scene.colors == default_palette(4)
    assert scene.title == "field"
    assert "codes 1, 10, 11, 14" in scene.notes[0]


def test_names_and_colours_belong_to_codes() -> None:
    first = default_palette(1)[0]
    facts = SceneFacts("x", class_names={1: "a", 10: "b", 11: "c", 12: "d"}, colors={11: first})
    scene = assemble_scene(CUBE, LABELS, facts)
    assert scene.class_names == ("a", "b", "c", "class 14")
    assert scene.colors[2] == first
    assert len(set(scene.colors)) == 4
    assert any("No pixel is labelled d (12)" in note for note in scene.notes)
    assert any("No name is given for the label codes 14" in note for note in scene.notes)


def test_dropped_bands_take_their_wavelengths_along() -> None:
    scene = assemble_scene(
        CUBE, LABELS, SceneFacts("x", wavelengths_nm=(400, 500, 600, 700), drop_bands=(1,))
    )
    assert scene.wavelengths_nm is not None
    assert scene.wavelengths_nm.tolist() == [400, 600, 700]
    np.testing.assert_array_equal(scene.cube, CUBE[:, :, [0, 2, 3]])
    with pytest.raises(SceneError, match="4 bands, but 3 wavelengths"):
        assemble_scene(CUBE, LABELS, SceneFacts("x", wavelengths_nm=(400, 500, 600)))
    with pytest.raises(SceneError, match="there is no band 9"):
        assemble_scene(CUBE, LABELS, SceneFacts("x", wavelengths_nm=(4, 5, 6, 7), drop_bands=(9,)))


def test_pixels_without_data_lose_their_label() -> None:
    cube = CUBE.astype(np.float32)
    cube[2, 1] = np.nan
    scene = assemble_scene(cube, LABELS, SceneFacts("x", no_data=np.nan))
    assert scene.labels[2, 1] == 0
    assert scene.counts == (5, 6, 6, 6)
    assert np.isfinite(scene.cube).all()
    assert LABELS[2, 1] == 1  # the caller's map is left alone
    with pytest.raises(SceneError, match="NaN or infinite"):
        assemble_scene(np.where(np.arange(4) == 1, np.nan, CUBE), LABELS, SceneFacts("x"))


def test_messages_name_the_files() -> None:
    with pytest.raises(SceneError, match=r"The label map in gt\.mat has shape 5 x 5"):
        assemble_scene(CUBE, LABELS[:5], SceneFacts("x"), labels_source="The label map in gt.mat")
