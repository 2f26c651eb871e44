"""Maps as .npy and .mat, read by NumPy and SciPy."""

import numpy as np
import pytest
from scipy.io import loadmat

from hsi.errors import ConfigError
from hsi.mapping import arrays
from hsi.mapping.arrays import write_mat, write_npy


@pytest.mark.parametrize("kind", ["map", "proba", "confidence"])
def test_read_back(write, tmp_path, kind):
    values = write(write_npy, tmp_path / "a", kind)
    again = np.load(tmp_path / "a")
    np.testing.assert_array_equal(again, values)
    assert again.dtype == values.dtype
    write(write_mat, tmp_path / "b", kind)
    held = loadmat(tmp_path / "b")
    np.testing.assert_array_equal(held[kind], values)
    assert held[kind].dtype == values.dtype
    assert [str(name[0]) for name in held["class_names"].ravel()] == ["Grass & herbs", "Soil", "Water"]


def test_what_a_mat_file_cannot_hold_is_said_before_anything_is_done(write, tmp_path, monkeypatch):
    monkeypatch.setattr(arrays, "MAT_BYTES", 40 * 70 * 3 * 4)
    with pytest.raises(ConfigError, match=r"cannot hold proba.*write \.npy or \.tif"):
        write(write_mat, tmp_path / "a", "proba")
    write(write_mat, tmp_path / "a", "confidence")
