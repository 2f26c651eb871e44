"""Scenes that need no labels."""

import numpy as np
import pytest
from scipy.io import savemat

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
