"""Cube and labels of one's own: what the files say, unless the description says otherwise."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from hsi.datasets import load_scene
from hsi.datasets.assemble import SceneFacts, assemble_scene, load_files, unlabelled_scene
from hsi.datasets.catalogue.downloader import file_sha256
from hsi.datasets.formats.readers import ArraySource, read_array
from hsi.datasets.scene import BandChoice, default_palette
from hsi.errors import SceneError

CUBE = np.random.default_rng(0).integers(1, 900, (6, 5, 4)).astype(np.uint16)
LABELS = np.tile([0, 1, 10, 11, 14], (6, 1))


def test_the_cube_is_not_copied_and_gaps_are_noted() -> None:
    scene = assemble_scene(CUBE, LABELS, SceneFacts("field"))
    assert scene.cube is CUBE
    assert (scene.rows, scene.cols, scene.bands, scene.classes) == (6, 5, 4, 4)
    assert scene.label_codes == (1, 10, 11, 14)
    assert scene.counts == (6, 6, 6, 6)
    assert scene.class_names == ("code 1", "code 10", "code 11", "code 14")
    assert scene.colors == default_palette(4)
    assert scene.title == "field"
    assert "codes 1, 10, 11, 14" in scene.notes[0]


def test_names_and_colours_belong_to_codes() -> None:
    first = default_palette(1)[0]
    facts = SceneFacts("x", class_names={1: "a", 10: "b", 11: "c", 12: "d"}, colors={11: first})
    scene = assemble_scene(CUBE, LABELS, facts)
    assert scene.class_names == ("a", "b", "c", "code 14")
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
    scene = assemble_scene(cube.copy(), LABELS, SceneFacts("x", no_data=np.nan))
    assert scene.labels[2, 1] == 0
    assert scene.counts == (5, 6, 6, 6)
    assert np.isfinite(scene.cube).all()
    assert LABELS[2, 1] == 1  # the caller's map is left alone
    with pytest.raises(SceneError, match="NaN or infinite"):
        assemble_scene(cube, LABELS, SceneFacts("x"))


def test_bands_that_hold_nothing_are_left_out() -> None:
    facts = SceneFacts("x", wavelengths_nm=(400, 500, 600, 700), fwhm_nm=(1, 2, 3, 4))
    for dead, no_data, why in ((np.nan, None, "no data"), (-9, -9.0, "no data"), (7, None, "a single value")):
        cube = np.where(np.arange(4) == 1, dead, CUBE.astype(np.float32))
        cube[3, 2] = -9 if no_data else cube[3, 2]
        scene = assemble_scene(cube, LABELS, replace(facts, no_data=no_data))
        assert scene.band_choice == BandChoice(4, (0, 2, 3))
        assert scene.wavelengths_nm is not None
        assert scene.fwhm_nm is not None
        assert (scene.wavelengths_nm.tolist(), scene.fwhm_nm.tolist()) == ([400, 600, 700], [1, 3, 4])
        assert sum(f"Left out, counted from 0: band 1 ({why}" in note for note in scene.notes) == 1
        assert int((scene.labels == 0).sum()) == 6 + (no_data is not None)
        np.testing.assert_array_equal(scene.cube[0], CUBE[0][:, [0, 2, 3]])
        same = assemble_scene(CUBE.copy(), LABELS, facts, choice=scene.band_choice)
        assert same.band_choice == scene.band_choice
        assert assemble_scene(CUBE[:, :, :3], LABELS, SceneFacts("x"), choice=scene.band_choice).bands == 3


def test_a_cube_of_single_values_is_refused() -> None:
    with pytest.raises(SceneError, match="Every band of The cube holds a single value"):
        assemble_scene(np.ones((6, 5, 4)), LABELS, SceneFacts("x"))


def test_pixels_that_a_product_flags_can_be_left_out() -> None:
    cloud = np.zeros((6, 5), bool)
    cloud[1, 1:3] = True
    facts = SceneFacts("x", masks={"cloud": cloud, "water": ~cloud})
    kept = assemble_scene(CUBE.copy(), LABELS, facts)
    assert kept.missing is None
    assert any("(2 cloud) that are kept; --exclude cloud" in note for note in kept.notes)
    scene = assemble_scene(CUBE.copy(), LABELS, replace(facts, exclude=("cloud",)))
    np.testing.assert_array_equal(scene.missing, cloud)
    assert scene.counts == (5, 5, 6, 6)
    assert not any("kept" in note for note in scene.notes)
    with pytest.raises(SceneError, match=r"mask 'clouds'.*cloud"):
        assemble_scene(CUBE.copy(), LABELS, replace(facts, exclude=("clouds",)))
    with pytest.raises(SceneError, match="no mask"):
        assemble_scene(CUBE.copy(), LABELS, SceneFacts("x", exclude=("cloud",)))


def test_messages_name_the_files() -> None:
    with pytest.raises(SceneError, match=r"The label map in gt\.mat has shape 5 x 5"):
        assemble_scene(CUBE, LABELS[:5], SceneFacts("x"), labels_source="The label map in gt.mat")


UTM = {"crs": "EPSG:32632", "transform": [2.0, 0.0, 500000.0, 0.0, -2.0, 5000000.0]}
MAP_INFO = "{UTM, 1, 1, 500000, 5000000, 2, 2, 32, North, WGS-84, units=Meters}"
CENTRES = [400, 500, 600, 700, 800, 900]
Write = Callable[..., Path]


def _cube() -> NDArray[np.int16]:
    cube: NDArray[np.int16] = np.random.default_rng(0).integers(1, 900, (8, 10, 6)).astype(np.int16)
    return cube


def _labels() -> NDArray[np.uint8]:
    labels = np.zeros((8, 10), np.uint8)
    labels[:3, 1:5], labels[4:, 6:9] = 1, 2
    return labels


@pytest.fixture
def files(tmp_path: Path, write_envi: Write, write_geotiff: Write) -> tuple[Path, Path]:
    """An ENVI cube with two bad bands and a pixel without data, and a GeoTIFF of labels with 255 for none."""
    cube, labels = _cube(), _labels()
    cube[0, 1] = -99
    labels[0, 0] = 255
    header = write_envi(
        tmp_path / "a.x", cube, "bil", wavelength=CENTRES, wavelength_units="nm", bbl=[1, 0, 1, 1, 0, 1],
        data_ignore_value="-99", sensor_type="AVIRIS", map_info=MAP_INFO,
    )  # fmt: skip
    return header, write_geotiff(tmp_path / "gt.tif", labels, UTM, nodata=255)


def test_the_files_fill_in_what_is_not_said(files: tuple[Path, Path]) -> None:
    scene = load_scene(files[0], labels=files[1])
    cube, labels = _cube()[:, :, [0, 2, 3, 5]], _labels()
    labels[0, 1] = 0
    there = np.ones((8, 10), bool)
    there[0, 1] = False
    np.testing.assert_array_equal(scene.cube[there], cube[there])
    np.testing.assert_allclose(scene.cube[0, 1], cube[there].mean(axis=0), atol=1)
    np.testing.assert_array_equal(scene.labels, labels)
    assert scene.wavelengths_nm is not None
    assert scene.wavelengths_nm.tolist() == [400, 600, 700, 900]
    assert scene.sensor == "AVIRIS"
    assert scene.georeference == UTM
    assert scene.sources == {
        path.name: file_sha256(path) for path in (files[0], files[0].with_suffix(".img"), files[1])
    }
    assert "The file marks 2 bands as bad (1, 4)" in scene.notes[0]
    assert any(note.startswith("1 pixels have no data") for note in scene.notes)


def test_what_is_said_wins(files: tuple[Path, Path]) -> None:
    facts = SceneFacts(
        "mine", sensor="HySpex", wavelengths_nm=(1, 2, 3, 4, 5, 6), drop_bands=(), no_data=-1234.0,
        class_names={1: "Rye", 2: "Oats"}, colors={1: "#ff0000"},
    )  # fmt: skip
    scene = load_files(ArraySource(files[0]), ArraySource(files[1]), facts)
    assert scene.cube[0, 1].tolist() == [-99] * 6
    assert scene.wavelengths_nm is not None
    assert scene.wavelengths_nm.tolist() == [1, 2, 3, 4, 5, 6]
    assert (scene.sensor, scene.class_names, scene.colors[0]) == ("HySpex", ("Rye", "Oats"), "#ff0000")
    assert not any("bad" in note for note in scene.notes)


@pytest.mark.parametrize(
    ("bands", "drop", "kept"),
    [
        ("0-3", "", [0, 2, 3]),
        ("500-800nm", "", [2, 3]),
        ("500-800nm", "drop_bands = []\n", [1, 2, 3, 4]),
        ("0,4-5", "drop_bands = [5]\n", [0, 4]),
    ],
)
def test_bands_of_a_description_count_those_of_the_file(
    files: tuple[Path, Path], bands: str, drop: str, kept: list[int]
) -> None:
    description = files[0].with_name("scene.toml")
    description.write_text(f'cube = "a.hdr"\nlabels = "gt.tif"\nbands = "{bands}"\nno_data = -1\n{drop}')
    scene = load_scene(description)
    np.testing.assert_array_equal(scene.cube[2:], _cube()[2:, :, kept])
    assert scene.wavelengths_nm is not None
    assert scene.wavelengths_nm.tolist() == [CENTRES[band] for band in kept]


def test_bands_side_by_side_stay_mapped(tmp_path: Path, write_envi: Write) -> None:
    header = write_envi(
        tmp_path / "a.x", _cube(), wavelength=CENTRES, wavelength_units="nm", bbl=[0, 1, 1, 1, 1, 0]
    )
    mapped = read_array(header, ndim=3)
    scene = unlabelled_scene(mapped, ArraySource(header), SceneFacts("a"))
    assert scene.cube.base is mapped
    np.testing.assert_array_equal(scene.cube, _cube()[:, :, 1:5])
    assert scene.wavelengths_nm is not None
    assert scene.wavelengths_nm.tolist() == CENTRES[1:5]
    assert (scene.classes, scene.labels.shape, scene.name) == (0, (8, 10), "a")


def test_drawn_labels(files: tuple[Path, Path]) -> None:
    square = [[500002, 5000000], [500010, 5000000], [500010, 4999994], [500002, 4999994], [500002, 5000000]]
    shapes = [
        ("rye", {"type": "Polygon", "coordinates": [square]}),
        ("oats", {"type": "Point", "coordinates": [500019, 4999985]}),
    ]
    features = [
        {"type": "Feature", "properties": {"crop": crop}, "geometry": shape} for crop, shape in shapes
    ]
    crs = {"type": "name", "properties": {"name": "EPSG:32632"}}
    drawn = files[0].with_name("fields.geojson")
    drawn.write_text(json.dumps({"type": "FeatureCollection", "crs": crs, "features": features}))
    scene = load_scene(files[0], labels=drawn, labels_key="crop")
    expected = np.zeros((8, 10), np.int64)
    expected[:3, 1:5], expected[7, 9] = 2, 1
    expected[0, 1] = 0
    np.testing.assert_array_equal(scene.labels, expected)
    assert scene.class_names == ("oats", "rye")


@pytest.mark.parametrize(
    ("transform", "says"),
    [
        ([2.0, 0, 500002.0, 0, -2.0, 5000000.0], "is cut to the cube"),
        ([3.0, 0, 500000.0, 0, -3.0, 5000000.0], "has pixels of 3 x 3"),
    ],
)
def test_labels_on_another_grid_are_brought_over(
    files: tuple[Path, Path], write_geotiff: Write, transform: list[float], says: str
) -> None:
    other = write_geotiff(files[1].with_name("b.tif"), _labels(), {**UTM, "transform": transform})
    scene = load_scene(files[0], labels=other)
    assert scene.labels.shape == (8, 10)
    assert any(says in note for note in scene.notes), scene.notes


def test_labels_half_a_pixel_off_are_refused(files: tuple[Path, Path], write_geotiff: Write) -> None:
    shifted = {**UTM, "transform": [2.0, 0, 500001.0, 0, -2.0, 5000000.0]}
    other = write_geotiff(files[1].with_name("c.tif"), _labels(), shifted)
    with pytest.raises(SceneError, match="--align"):
        load_scene(files[0], labels=other)


def test_missing_labels_of_an_image_are_asked_for(files: tuple[Path, Path]) -> None:
    for path in files:
        with pytest.raises(SceneError, match="no labels; name the file"):
            load_scene(path)


def test_float_labels_with_nan_for_none(files: tuple[Path, Path], write_geotiff: Write) -> None:
    labels = _labels().astype(np.float32)
    labels[labels == 0] = np.nan
    path = write_geotiff(files[1].with_name("b.tif"), labels, UTM, nodata=float("nan"))
    expected = _labels()
    expected[0, 1] = 0
    np.testing.assert_array_equal(load_scene(files[0], labels=path).labels, expected)
