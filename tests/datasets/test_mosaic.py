"""Several scenes as one: what each pixel, class and band of the result is, told by slow loops."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import hsi
from hsi.datasets.mosaic import combine_scenes, load_scenes
from hsi.datasets.parts import part_windows
from hsi.datasets.scene import BandChoice, Scene
from hsi.errors import ConfigError, SceneError


@pytest.fixture(scope="module")
def demo() -> Scene:
    return hsi.load_scene("demo")


def crop(scene: Scene, rows: slice, cols: slice, **changes: Any) -> Scene:
    """A piece of a scene, with all its classes."""
    piece = replace(scene, cube=scene.cube[rows, cols], labels=scene.labels[rows, cols], notes=())
    return replace(piece, **changes)


def renumbered(scene: Scene, names: tuple[str, ...]) -> Scene:
    """The scene with classes in the order of `names`; a class that is not among them is unlabelled."""
    own = [name.strip().casefold() for name in scene.class_names]
    codes = {own.index(name.strip().casefold()) + 1: number for number, name in enumerate(names, start=1)}
    table = np.array([codes.get(label, 0) for label in range(scene.classes + 1)])
    return replace(
        scene,
        labels=table[scene.labels],
        class_names=names,
        colors=scene.colors[: len(names)],
        label_codes=(),
    )


def test_one_scene_stays_what_it_is(demo):
    whole = combine_scenes([demo])
    assert np.array_equal(whole.cube, demo.cube)
    assert whole.cube.dtype == demo.cube.dtype
    assert np.array_equal(whole.labels, demo.labels)
    same = ("name", "class_names", "colors", "label_codes", "sources", "notes", "missing", "synthetic")
    assert [getattr(whole, name) for name in same] == [getattr(demo, name) for name in same]


def test_each_pixel_is_where_its_scene_lies(demo):
    scenes = [
        crop(demo, slice(0, 30), slice(0, 70), name="a"),
        crop(demo, slice(40, 61), slice(3, 50), name="b", cube=demo.cube[40:61, 3:50].astype(np.float32)),
        crop(demo, slice(70, 100), slice(0, 104), name="c"),
    ]
    whole = combine_scenes(scenes)
    assert whole.name == "a + b + c"
    assert whole.cube.shape == (30 + 21 + 30 + 2, 104, demo.bands)
    assert whole.cube.dtype == np.float32
    inside = np.zeros(whole.labels.shape, bool)
    for scene, (rows, cols) in zip(scenes, part_windows(whole.parts), strict=True):
        assert np.array_equal(whole.cube[rows, cols], scene.cube)
        assert np.array_equal(whole.labels[rows, cols], scene.labels)
        inside[rows, cols] = True
    assert not whole.labels[~inside].any()
    assert whole.missing is not None
    assert np.array_equal(whole.missing, ~inside)
    assert whole.same_ground is None


def test_what_has_no_data_stays_without(demo):
    missing = np.zeros((10, 104), bool)
    missing[2, 5] = True
    scenes = [
        crop(demo, slice(0, 10), slice(None), missing=missing),
        crop(demo, slice(20, 30), slice(None)),
    ]
    whole = combine_scenes(scenes)
    assert whole.missing is not None
    assert np.argwhere(whole.missing[:10]).tolist() == [[2, 5]]
    assert whole.missing[10].all()
    assert not whole.missing[11:].any()


def test_classes_are_matched_by_name_whatever_their_codes(demo):
    shuffled = tuple(f" {name.upper()} " for name in demo.class_names[::-1])
    other = renumbered(crop(demo, slice(60, 116), slice(None)), shuffled)
    whole = combine_scenes([crop(demo, slice(0, 50), slice(None), name="a"), replace(other, name="b")])
    assert whole.class_names == demo.class_names
    assert np.array_equal(whole.labels[51:], demo.labels[60:])


def test_classes_of_other_names_are_new_ones_which_a_note_says(demo):
    others = tuple(f"Code {number}" for number in range(1, demo.classes + 1))
    second = replace(crop(demo, slice(60, 116), slice(None), name="b"), class_names=others)
    whole = combine_scenes([crop(demo, slice(0, 50), slice(None), name="a"), second])
    assert whole.class_names == (*demo.class_names, *others)
    assert sum("b shares no class name" in note and "name them alike" in note for note in whole.notes) == 1


def test_a_class_of_one_scene_keeps_its_own_number(demo):
    names = demo.class_names
    first = renumbered(crop(demo, slice(0, 50), slice(None), name="a"), names[:3])
    second = renumbered(crop(demo, slice(60, 116), slice(None), name="b"), (names[1], names[5]))
    whole = combine_scenes([first, second])
    assert whole.class_names == (*names[:3], names[5])
    assert len(set(whole.colors)) == 4
    expected = np.select([demo.labels[60:] == 2, demo.labels[60:] == 6], [2, 4], 0)
    assert np.array_equal(whole.labels[51:], expected)
    assert any(note.startswith("b has no pixel of") and names[0] in note for note in whole.notes)


def test_a_test_scene_has_only_classes_that_are_trained(demo):
    names = demo.class_names
    first = renumbered(crop(demo, slice(0, 50), slice(None), name="a"), names[:4])
    tested = crop(demo, slice(60, 116), slice(None), name="c")
    whole = combine_scenes([first], test=[tested])
    assert whole.class_names == names[:4]
    assert whole.name == "a, tested on c"
    expected = np.where(demo.labels[60:] <= 4, demo.labels[60:], 0)
    assert np.array_equal(whole.labels[51:], expected)
    left_out = int((demo.labels[60:] > 4).sum())
    assert any(f"{left_out} pixels of classes that are not trained" in note for note in whole.notes)


def test_a_test_scene_without_a_known_class_is_refused(demo):
    other = replace(
        crop(demo, slice(60, 116), slice(None)), class_names=tuple(f"X{n}" for n in range(demo.classes))
    )
    with pytest.raises(SceneError, match="no class of the training scenes"):
        combine_scenes([crop(demo, slice(0, 50), slice(None))], test=[other])


def test_other_wavelengths_are_resampled_with_a_note(demo):
    nm = demo.wavelengths_nm
    assert nm is not None
    ramp = np.broadcast_to(np.linspace(nm[0], nm[-1], 40), (8, 104, 40))
    other = Scene(
        "fine", ramp.copy(), demo.labels[:8].copy(), demo.class_names, demo.colors, wavelengths_nm=ramp[0, 0]
    )
    whole = combine_scenes([crop(demo, slice(20, 60), slice(None), name="a"), other])
    inner = slice(3, -3)  # at the ends the blur has no neighbours
    assert np.allclose(whole.cube[41:, :, inner], nm[inner], rtol=2e-3)
    assert any("is resampled to the 64 of a" in note for note in whole.notes)


@pytest.mark.parametrize("known", [True, False])
def test_bands_that_do_not_fit_are_refused_by_name(demo, known):
    other = crop(demo, slice(60, 116), slice(None), name="b")
    other = replace(other, cube=other.cube[:, :, :20], wavelengths_nm=None)
    if known:
        other = replace(other, wavelengths_nm=np.linspace(3000, 4000, 20))
    said = "cannot be resampled to the bands of a" if known else "b has 20 bands, a 64, and b has no wave"
    with pytest.raises(SceneError, match=said):
        combine_scenes([crop(demo, slice(0, 50), slice(None), name="a"), other])


def test_bands_that_one_file_marks_as_bad_are_left_out_of_both(demo):
    def without(bands: list[int], rows: slice, name: str) -> Scene:
        numbers = [band for band in range(demo.bands) if band not in bands]
        piece = crop(demo, rows, slice(None), name=name)
        return replace(
            piece,
            cube=piece.cube[:, :, numbers],
            wavelengths_nm=None,
            band_choice=BandChoice(demo.bands, tuple(numbers)),
        )

    whole = combine_scenes([without([3, 4], slice(0, 20), "a"), without([4, 9], slice(30, 60), "b")])
    common = [band for band in range(demo.bands) if band not in (3, 4, 9)]
    assert whole.band_choice == BandChoice(demo.bands, tuple(common))
    assert np.array_equal(whole.cube[:20], demo.cube[:20][:, :, common])
    assert np.array_equal(whole.cube[21:], demo.cube[30:60][:, :, common])
    assert any("Bands 3, 9 of the files" in note for note in whole.notes)


def test_ground_that_two_scenes_show_is_found_by_place(demo):
    def at(east: float, north: float, rows: slice, name: str) -> Scene:
        place = {"crs": "EPSG:32616", "transform": [2.0, 0.0, east, 0.0, -2.0, north]}
        return crop(demo, rows, slice(0, 6), name=name, georeference=place)

    whole = combine_scenes([at(100, 500, slice(0, 5), "a"), at(104, 494, slice(20, 24), "b")])
    centres = []
    for (rows, cols), (east, north) in zip(part_windows(whole.parts), [(100, 500), (104, 494)], strict=True):
        centres.append(
            {
                (east + 2 * col + 1, north - 2 * row - 1): (rows.start + row) * 6 + col
                for row in range(rows.stop - rows.start)
                for col in range(cols.stop)
            }
        )
    expected = {(centres[0][place], centres[1][place]) for place in centres[0].keys() & centres[1].keys()}
    assert expected
    assert whole.same_ground is not None
    assert {(int(one), int(other)) for one, other in whole.same_ground} == expected
    assert any("a and b in 8 pixels" in note for note in whole.notes)


def test_neighbours_that_touch_share_no_ground(demo):
    places = [{"crs": "EPSG:32616", "transform": [2.0, 0, east, 0, -2.0, 0]} for east in (0, 12)]
    scenes = [crop(demo, slice(n, n + 5), slice(0, 6), georeference=place) for n, place in enumerate(places)]
    assert combine_scenes(scenes).same_ground is None


def test_another_reference_system_is_told_by_its_coordinates(demo):
    warp = pytest.importorskip("rasterio.warp")
    east, north = 500_000.0, 4_500_000.0
    (lon, lon_right), (lat, lat_below) = warp.transform(
        "EPSG:32616", "EPSG:4326", [east, east + 180], [north, north - 150]
    )
    places = [
        {"crs": "EPSG:32616", "transform": [30.0, 0, east, 0, -30.0, north]},
        {"crs": "EPSG:4326", "transform": [(lon_right - lon) / 6, 0, lon, 0, (lat_below - lat) / 5, lat]},
    ]
    scenes = [
        crop(demo, slice(n * 9, n * 9 + 5), slice(0, 6), georeference=place) for n, place in enumerate(places)
    ]
    pairs = combine_scenes(scenes).same_ground
    assert pairs is not None
    assert {(pixel, pixel + 36) for pixel in range(30)} <= {(int(a), int(b)) for a, b in pairs}


def test_equal_cubes_show_the_same_ground(demo):
    piece = crop(demo, slice(0, 12), slice(0, 20))
    pairs = combine_scenes([piece, piece]).same_ground
    assert pairs is not None
    assert np.array_equal(pairs, np.stack([np.arange(240), np.arange(240) + 13 * 20], axis=1))


def test_files_of_one_name_keep_their_hashes_apart(demo):
    first = crop(demo, slice(0, 12), slice(0, 20), name="a", sources={"cube.npy": "1", "gt.npy": "7"})
    second = crop(demo, slice(12, 24), slice(0, 20), name="b", sources={"cube.npy": "2", "gt.npy": "7"})
    assert combine_scenes([first, second]).sources == {"cube.npy": "1", "gt.npy": "7", "b/cube.npy": "2"}


def test_options_of_one_file_do_not_go_with_several_scenes(small_scene):
    with pytest.raises(ConfigError, match="--labels means one file"):
        load_scenes([str(small_scene), "demo"], labels="labels.npy")
    assert np.array_equal(load_scenes([str(small_scene)]).cube, hsi.load_scene(small_scene).cube)


@pytest.mark.parametrize(("factor", "said"), [(1e-4, "1/10,000 of"), (1e4, "10,000 times"), (2.0, "")])
def test_values_in_another_unit_are_told(demo, factor, said):
    first = crop(demo, slice(0, 30), slice(None), name="a")
    second = crop(demo, slice(40, 70), slice(None), name="b")
    level = float(np.mean(first.cube) / np.mean(second.cube))
    second = replace(second, cube=second.cube * level * factor)
    notes = [note for note in combine_scenes([first, second]).notes if "another unit" in note]
    assert len(notes) == bool(said)
    assert not said or f"The values of b are on average {said} those of a" in notes[0]
