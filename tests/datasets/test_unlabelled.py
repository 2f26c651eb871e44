"""Scenes that need no labels."""

import numpy as np
import pytest
from scipy.io import savemat

from hsi.datasets.geotiff_cube import GeoTiffCube
from hsi.datasets.unlabelled import load_unlabelled
from hsi.errors import ConfigError, FileFormatError, SceneError, SceneNotFoundError

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
    assert isinstance(scene.cube, GeoTiffCube)
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
