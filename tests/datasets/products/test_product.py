"""What readers of products share."""

from __future__ import annotations

import numpy as np
import pytest

from hsi.datasets.cube import block_rows
from hsi.datasets.products.product import ScaledCube, files_in, find_dead_bands, the_only
from hsi.errors import FileFormatError


@pytest.fixture
def counts() -> np.ndarray:
    return np.random.default_rng(0).integers(-100, 10_000, (37, 11, 8)).astype(np.int16)


def test_scaled_windows_are_those_of_the_scaled_array(counts):
    gain, offset = np.linspace(1e-4, 2e-4, 8), np.linspace(-0.1, 0.3, 8)
    order = [3, 0, 1, 2, 7, 6, 5, 4]
    no_data = np.random.default_rng(1).random((37, 11)) < 0.1
    counts[5, 6, 2], counts[7, 7, 3], counts[0, 0] = -32768, -999, -32768
    cube = ScaledCube(counts, order=order, gain=gain, offset=offset, fill=(-32768, -999.0), no_data=no_data)
    lacking = (counts == -32768) | (counts == -999) | no_data[:, :, None]
    expected = np.where(lacking, np.nan, counts * gain + offset)[:, :, order]
    assert cube.dtype == np.float32
    np.testing.assert_allclose(np.asarray(cube), expected, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(cube[4:20, 3:9, 1:4], expected[4:20, 3:9, 1:4], rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(
        cube[::-3, 2, [7, 7, 0]], expected[::-3, 2][:, [7, 7, 0]], rtol=1e-5, atol=1e-7
    )
    assert cube[3:3].shape == (0, 11, 8)
    assert cube[:, :, []].shape == (37, 11, 0)


@pytest.mark.parametrize(
    ("dtype", "fill", "lacking"),
    [
        ("uint16", -32768, False),
        ("int16", 0.5, False),
        ("int16", np.nan, False),
        ("float32", np.nan, True),
        ("float64", 7, True),
        ("uint8", 7, True),
        ("int16", None, False),
    ],
)
def test_a_fill_that_a_type_cannot_hold_marks_nothing(dtype, fill, lacking):
    counts = np.ones((3, 4, 2), dtype)
    counts[1, 2] = 7 if fill is None or not np.isnan(fill) or not lacking else np.nan
    cube = np.asarray(ScaledCube(counts, fill=fill))
    assert np.isnan(cube[1, 2]).all() == lacking
    assert np.isfinite(np.delete(cube.reshape(-1, 2), 6, axis=0)).all()


def test_the_source_is_not_changed_and_not_shared(tmp_path, counts):
    path = tmp_path / "counts.npy"
    np.save(path, counts.astype(np.float32))
    mapped = np.load(path, mmap_mode="r", allow_pickle=False)
    window = ScaledCube(mapped, fill=7.0)[2:5]
    window[:] = 0
    assert type(window) is np.ndarray
    np.testing.assert_array_equal(np.load(path, allow_pickle=False), counts)
    assert block_rows(ScaledCube(counts)) == 1


def test_dead_bands_have_no_data_where_others_have():
    cube = np.random.default_rng(2).random((200, 30, 6)).astype(np.float32)
    cube[:, :, [1, 4]] = np.nan
    cube[90:130] = np.nan  # an empty strip in the middle
    cube[40:44, :, 3] = np.nan  # lost lines of one band
    assert find_dead_bands(cube) == (1, 4)
    assert find_dead_bands(np.full((9, 5, 3), np.nan, np.float32)) == ()
    assert find_dead_bands(np.ones((1, 1, 3), np.float32)) == ()


def test_a_band_with_data_in_any_row_of_a_small_image_lives():
    cube = np.full((23, 4, 2), np.nan, np.float32)
    cube[:, :, 0] = 1
    cube[22, 3, 1] = 1
    assert find_dead_bands(cube) == ()


def test_the_only_product_of_a_folder(tmp_path):
    assert the_only([], tmp_path, "X") is None
    one, other = tmp_path / "a", tmp_path / "b"
    assert the_only([one, one], tmp_path, "X") == one
    with pytest.raises(FileFormatError, match="holds 2 X products; name a file of one, such as a"):
        the_only([other, one], tmp_path, "X")


def test_files_are_found_in_any_case(tmp_path):
    (tmp_path / "Some-METADATA.Xml").write_text("")
    (tmp_path / "folder").mkdir()
    assert files_in(tmp_path) == {"some-metadata.xml": tmp_path / "Some-METADATA.Xml"}
    assert files_in(tmp_path / "missing") == {}
