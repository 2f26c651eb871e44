"""Loading benchmark scenes of any shape, files of one's own, descriptions, and wrong use.

Scenes that need no labels.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.io import savemat

from hsi.datasets.catalogue import entries as catalogue
from hsi.datasets.catalogue.entries import SceneEntry, SceneFile, list_scenes, register_scene
from hsi.datasets.formats.raster_cube import RasterCube
from hsi.datasets.load import load_scene, load_unlabelled
from hsi.datasets.scene import Scene
from hsi.errors import ConfigError, FileFormatError, SceneError, SceneNotFoundError

RANDOM = np.random.default_rng(0)


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> Callable[..., SceneEntry]:
    """A function that puts a small benchmark scene of two classes into the table."""
    table = {entry.name: entry for entry in list_scenes()}

    def make(shape: tuple[int, int, int] = (6, 5, 4), **changes: Any) -> SceneEntry:
        entry = SceneEntry(
            "toy", "Toy", shape=shape, class_names=("a", "b"), class_counts=(2, 3), counts_verified=True,
            colors=("#ff0000", "#00ff00"), cube=SceneFile("toy.mat", ("cube",)),
            labels=SceneFile("toy_gt.mat", ("gt",)),
        )  # fmt: skip
        monkeypatch.setattr(catalogue, "_entries", {**table, "toy": replace(entry, **changes)})
        return entry

    return make


def _small(shape: tuple[int, int, int] = (6, 5, 4)) -> tuple[NDArray[np.uint16], NDArray[np.uint8]]:
    labels = np.zeros(shape[:2], np.uint8)
    labels[0, :2], labels[1, :3] = 1, 2
    return RANDOM.integers(1, 900, shape).astype(np.uint16), labels


@pytest.mark.parametrize("order", [(2, 0, 1), (2, 1, 0), (1, 0, 2)])
def test_an_unambiguous_axis_order_is_corrected(
    tmp_path: Path, toy: Callable[..., SceneEntry], order: tuple[int, int, int]
) -> None:
    toy()
    cube, labels = _small()
    savemat(tmp_path / "toy.mat", {"any": cube.transpose(order)})
    savemat(tmp_path / "toy_gt.mat", {"any": labels})
    scene = load_scene("toy", data_root=tmp_path)
    np.testing.assert_array_equal(scene.cube, cube)
    assert any("its axes are in order now" in note for note in scene.notes)


def test_rows_and_columns_of_a_square_scene_are_never_guessed(
    tmp_path: Path, toy: Callable[..., SceneEntry]
) -> None:
    toy((5, 5, 4))
    cube, labels = _small((5, 5, 4))
    savemat(tmp_path / "toy.mat", {"cube": cube.transpose(2, 0, 1)})
    savemat(tmp_path / "toy_gt.mat", {"gt": labels})
    with pytest.raises(SceneError, match="which axis is which is not clear"):
        load_scene("toy", data_root=tmp_path)


def test_another_number_of_bands_or_pixels_is_refused(tmp_path: Path, toy: Callable[..., SceneEntry]) -> None:
    toy()
    cube, labels = _small((6, 5, 7))
    savemat(tmp_path / "toy.mat", {"cube": cube})
    savemat(tmp_path / "toy_gt.mat", {"gt": labels})
    with pytest.raises(SceneError, match=r"6 x 5 x 7, but Toy is 6 x 5 x 4.*scene\.toml"):
        load_scene("toy", data_root=tmp_path)


def test_training_and_test_maps_in_one_file(tmp_path: Path, toy: Callable[..., SceneEntry]) -> None:
    toy(cube=SceneFile("toy.mat", ("input",)), labels=SceneFile("toy.mat", ("gt",), merge=("TR", "TE")))
    cube, labels = _small()
    train = np.where(np.arange(5) < 1, labels, 0)
    savemat(tmp_path / "toy.mat", {"input": cube, "TR": train, "TE": labels - train})
    np.testing.assert_array_equal(load_scene("toy", data_root=tmp_path).labels, labels)


def test_uncertain_names_are_noted_and_keys_can_be_given(
    tmp_path: Path, toy: Callable[..., SceneEntry]
) -> None:
    toy(names_verified=False, pitfall="lists disagree")
    cube, labels = _small()
    savemat(tmp_path / "toy.mat", {"cube": cube, "second": cube + 1})
    savemat(tmp_path / "toy_gt.mat", {"gt": labels})
    scene = load_scene("toy", cube_key="second", data_root=tmp_path)
    np.testing.assert_array_equal(scene.cube, cube + 1)
    assert "The class names are not certain: lists disagree." in scene.notes


def test_a_file_of_ones_own(tmp_path: Path) -> None:
    cube, labels = _small()
    np.save(tmp_path / "field.npy", cube)
    np.save(tmp_path / "gt.npy", labels)
    scene = load_scene(tmp_path / "field.npy", labels=tmp_path / "gt.npy")
    assert (scene.name, scene.class_names) == ("field", ("code 1", "code 2"))
    np.testing.assert_array_equal(scene.cube, cube)
    np.savez(tmp_path / "both.npz", cube=cube, gt=labels, mask=labels > 0)
    both = load_scene(str(tmp_path / "both.npz"), cube_key="cube", labels_key="gt")
    np.testing.assert_array_equal(both.labels, labels)
    assert list(both.sources) == ["both.npz"]
    with pytest.raises(FileFormatError, match=r"several arrays that are 2-D.*--labels-key"):
        load_scene(tmp_path / "both.npz")
    with pytest.raises(SceneError, match="no labels; name the file"):
        load_scene(tmp_path / "field.npy")
    np.savez(tmp_path / "alone.npz", cube=cube)
    with pytest.raises(SceneError, match="no labels; name the file"):
        load_scene(tmp_path / "alone.npz")


def test_a_described_scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cube, labels = _small()
    np.savez(tmp_path / "data.npz", a=cube, b=cube + 1, gt=labels)
    (tmp_path / "scene.toml").write_text(
        'name = "mine"\nsynthetic = true\nwavelengths_nm = [1, 2, 3, 4]\ndrop_bands = [0]\n'
        'cube = { file = "data.npz", key = "b" }\nlabels = { file = "data.npz", key = "gt" }\n'
        '[classes]\n1 = "Wheat"\n2 = "Rye"\n'
    )
    scene = load_scene(tmp_path)
    np.testing.assert_array_equal(scene.cube, cube[:, :, 1:] + 1)
    assert scene.class_names == ("Wheat", "Rye")
    assert scene.synthetic
    assert scene.wavelengths_nm is not None
    assert scene.wavelengths_nm.tolist() == [2, 3, 4]
    for options in ({"labels": "gt.npy"}, {"cube_key": "a"}):
        with pytest.raises(ConfigError, match=r"scene\.toml"):
            load_scene(tmp_path / "scene.toml", **options)
    monkeypatch.setattr(catalogue, "_entries", {entry.name: entry for entry in list_scenes()})
    register_scene("acre", tmp_path / "scene.toml")
    assert load_scene("ACRE").name == "acre"
    register_scene("made", lambda: replace(scene, name="made"))
    assert load_scene("made").name == "made"


def test_demo_is_made_when_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    cube, labels = _small()
    made = Scene("demo", cube, labels.astype(np.int64), ("a", "b"), ("#ff0000", "#00ff00"), synthetic=True)
    monkeypatch.setitem(sys.modules, "hsi.datasets.demo", SimpleNamespace(make_demo_scene=lambda: made))
    assert load_scene("Demo") is made


@pytest.mark.parametrize(
    ("dataset", "options", "error", "words"),
    [
        ("Indain Pines", {}, SceneNotFoundError, "Unknown scene 'Indain Pines'"),
        ("kcs", {}, SceneNotFoundError, "Did you mean 'KSC'"),
        ("nowhere/cube.mat", {}, SceneNotFoundError, "There is no file"),
        ("IN", {"labels": "gt.mat"}, ConfigError, "brings its own labels"),
        ("demo", {"cube_key": "x"}, ConfigError, "leave out --cube-key"),
    ],
)
def test_wrong_use(dataset: str, options: dict[str, str], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words) as caught:
        load_scene(dataset, **options)
    assert "\n" not in str(caught.value)


def test_other_content_is_named(tmp_path: Path) -> None:
    (tmp_path / "IN.mat").write_bytes(b"<html><title>403 Forbidden</title>")
    with pytest.raises(FileFormatError, match="is an HTML page"):
        load_scene(tmp_path / "IN.mat", labels=tmp_path / "gt.mat")
    (tmp_path / "scene.tif").write_bytes(b"II*\x00" + bytes(50))
    with pytest.raises(FileFormatError, match=r"scene\.tif is truncated or damaged"):
        load_scene(tmp_path / "scene.tif", labels=tmp_path / "gt.mat")
    with pytest.raises(FileFormatError, match=r"is a folder \(with IN\.mat, scene\.tif\)"):
        load_scene(tmp_path)


CUBE = np.arange(5 * 6 * 4, dtype=np.uint16).reshape(5, 6, 4)


def test_an_npy_cube_is_mapped_and_has_no_labels(tmp_path):
    np.save(tmp_path / "field.npy", CUBE)
    scene = load_unlabelled(tmp_path / "field.npy")
    assert isinstance(scene.cube, np.memmap)
    assert (scene.name, scene.classes, scene.labels.shape, scene.labels.any()) == ("field", 0, (5, 6), False)
    np.testing.assert_array_equal(scene.cube, CUBE)


def test_other_files_are_read_by_name_of_the_array(tmp_path):
    savemat(tmp_path / "two.mat", {"a": CUBE, "b": CUBE + 1})
    np.testing.assert_array_equal(load_unlabelled(tmp_path / "two.mat", cube_key="b").cube, CUBE + 1)
    with pytest.raises(FileFormatError, match="--cube-key"):
        load_unlabelled(tmp_path / "two.mat")


def test_names_and_descriptions_keep_their_labels(small_scene):
    assert load_unlabelled("demo").synthetic
    assert load_unlabelled(str(small_scene)).class_names == ("Grass", "Soil", "Water")
    assert load_unlabelled(small_scene.parent).name == "small"
    with pytest.raises(ConfigError, match="cube-key"):
        load_unlabelled("demo", cube_key="x")


def test_what_is_no_cube(tmp_path):
    with pytest.raises(SceneNotFoundError, match="There is no file"):
        load_unlabelled(tmp_path / "nothing.npy")
    with pytest.raises(SceneNotFoundError, match="Unknown scene 'demoo'"):
        load_unlabelled("demoo")
    np.save(tmp_path / "flat.npy", CUBE[0])
    with pytest.raises(FileFormatError, match="3-D"):
        load_unlabelled(tmp_path / "flat.npy")
    np.save(tmp_path / "cut.npy", CUBE)
    (tmp_path / "cut.npy").write_bytes((tmp_path / "cut.npy").read_bytes()[:150])
    with pytest.raises(FileFormatError):
        load_unlabelled(tmp_path / "cut.npy")
    np.save(tmp_path / "flags.npy", CUBE > 3)
    with pytest.raises(SceneError, match="bool"):
        load_unlabelled(tmp_path / "flags.npy")


@pytest.mark.parametrize("interleave", ["bsq", "bil", "bip"])
@pytest.mark.parametrize("swapped", [False, True])
def test_bad_bands_and_no_data_of_an_envi_cube_are_left_out_without_reading_it(
    tmp_path, write_envi, interleave, swapped
):
    cube = CUBE.copy()
    cube[1, 2, 3] = cube[4, 5, 1] = 7777  # of a band that is left out, too
    header = write_envi(
        tmp_path / "a.x", cube, interleave, swapped=swapped, bbl=[1, 0, 1, 1], data_ignore_value="7777"
    )
    scene = load_unlabelled(header)
    assert isinstance(scene.cube.base, np.memmap)
    expected = cube[:, :, [0, 2, 3]].astype(np.float32)
    expected[1, 2] = np.nan
    assert scene.cube.dtype == np.float32
    np.testing.assert_array_equal(scene.cube, expected)
    np.testing.assert_array_equal(scene.cube[1:3, 2:5], expected[1:3, 2:5])


def test_a_geotiff_stays_in_its_file(tmp_path, write_geotiff):
    path = write_geotiff(tmp_path / "field.tif", CUBE)
    scene = load_unlabelled(path)
    assert isinstance(scene.cube, RasterCube)
    np.testing.assert_array_equal(scene.cube, CUBE)
    marked = load_unlabelled(write_geotiff(tmp_path / "marked.tif", CUBE, nodata=8)).cube
    assert marked.base.path.name == "marked.tif"
    assert np.argwhere(np.isnan(marked[:, :, 0])).tolist() == [[0, 2]]
    with pytest.raises(FileFormatError, match="no array 'x'"):
        load_unlabelled(path, cube_key="x")
    with pytest.raises(FileFormatError, match="no array that is 3-D"):
        load_unlabelled(write_geotiff(tmp_path / "flat.tif", CUBE[:, :, 0]))


def test_band_widths_are_those_of_the_bands_that_are_left(tmp_path, write_envi):
    facts = {"wavelength": [500, 510, 520, 530], "wavelength_units": "nm", "bbl": [1, 0, 1, 1]}
    header = write_envi(tmp_path / "a.x", CUBE, fwhm=[9, 10, 11, 12], **facts)
    np.testing.assert_array_equal(load_unlabelled(header).fwhm_nm, [9, 11, 12])
    bad = load_unlabelled(write_envi(tmp_path / "b.x", CUBE, fwhm=[9, 0, 11, 12], **facts))
    assert bad.fwhm_nm is None
    assert any("not positive" in note for note in bad.notes)
