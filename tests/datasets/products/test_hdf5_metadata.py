"""Texts and numbers in HDF5 files, as different writers store them."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from hsi.datasets.products.hdf5_metadata import (
    epsg_code,
    epsg_or_wkt,
    find_hdf5,
    number,
    numbers,
    sort_bands,
    text,
    texts,
)
from hsi.errors import FileFormatError

WORDS = [
    "WGS-84",
    np.bytes_("WGS-84"),
    np.array(["WGS-84"], h5py.string_dtype()),
    np.array([b"WGS-84\0\0"], "S8"),
    np.array([[b"WGS-84  "]]),
]
NUMBERS = [4.0, 4, np.float32(4), np.array([4]), np.array([[4.0]]), "4", b"4.0", np.array([b"4"]), " 4.0 "]


@pytest.fixture
def file(tmp_path):
    with h5py.File(tmp_path / "file.h5", "w") as opened:
        yield opened


@pytest.mark.parametrize("word", WORDS)
def test_texts_of_every_kind(file, word):
    file.attrs["word"] = word
    file["word"] = word
    assert texts(file, "word") == texts(file["word"]) == ("WGS-84",)
    assert text(file, "word") == "WGS-84"
    assert len(numbers(file, "word")) == 0


@pytest.mark.parametrize("value", NUMBERS)
def test_numbers_of_every_kind(file, value):
    file.attrs["value"] = value
    file["value"] = value
    assert number(file, "value") == number(file["value"]) == 4


def test_lists_may_be_written_as_text(file):
    file.attrs["list"] = "1.5, 2 -3e2"
    assert numbers(file, "list").tolist() == [1.5, 2, -300]


def test_what_is_missing_or_of_another_kind_is_empty(file):
    file.create_group("group")
    file.attrs["empty"] = h5py.Empty("f4")
    file.attrs["reference"] = file["group"].ref
    file.attrs["nan"] = np.nan
    file.attrs["many"] = np.zeros((2, 2), np.dtype([("a", "i4")]))
    for name in ("none", "empty", "reference", "many"):
        assert texts(file, name) == ()
        assert text(file, name) == ""
        assert len(numbers(file, name)) == 0
        assert number(file, name) is None
    assert number(file, "nan") is None
    assert texts(file["group"]) == texts(None) == ()
    file.create_dataset("large", (1 << 30,), "f8", chunks=True)
    assert len(numbers(file["large"])) == 0


def test_bands_are_sorted_and_equal_ones_keep_their_order():
    bad = np.array([True, False, False, True])
    bands = sort_bands(Path("x"), 4, np.array([900.0, 500, 900, 400]), np.array([1.0, 2, 3, 4]), bad)
    assert bands.order.tolist() == [3, 1, 0, 2]
    assert bands.wavelengths_nm == (400, 500, 900, 900)
    assert bands.fwhm_nm == (4, 2, 1, 3)
    assert bands.bad_bands([1]) == (0, 1, 2)


def test_widths_that_do_not_fit_are_left_out():
    bands = sort_bands(Path("x"), 2, np.array([0.4, 0.5]), np.array([0.01]))
    assert (bands.wavelengths_nm, bands.fwhm_nm) == ((400, 500), ())
    assert len(bands.notes) == 1
    assert sort_bands(Path("x"), 2, np.array([400.0, 500]), np.array([0.0, 0])).fwhm_nm == ()


@pytest.mark.parametrize("wavelengths", [[1.0], [], [0, 500], [-1, 500], [np.nan, 500], [np.inf, 500]])
def test_wavelengths_that_cannot_be_are_refused(wavelengths):
    with pytest.raises(FileFormatError, match="wavelengths"):
        sort_bands(Path("x"), 2, np.array(wavelengths, float), np.empty(0))


def test_only_codes_and_wkt_name_a_coordinate_system():
    assert epsg_code(32633.0) == "EPSG:32633"
    assert [epsg_code(code) for code in (0, -1, None, "32633", 1e30, float("nan"))] == [""] * 6
    assert [epsg_or_wkt(word) for word in ("", "/etc/passwd", "https://example.org/a.prj")] == [""] * 3
    assert epsg_or_wkt('LOCAL_CS["here",UNIT["m",1]]').startswith("LOCAL_CS")


def test_a_damaged_wkt_is_left_out_silently(capfd):
    pytest.importorskip("rasterio")
    assert epsg_or_wkt('GEOGCS["x",DATUM["y"') == ""
    assert capfd.readouterr() == ("", "")


def test_a_folder_is_searched_for_one_file(tmp_path):
    for name in ("a.h5", "b.nc", "c.txt"):
        with h5py.File(tmp_path / name, "w") as opened:
            opened.attrs["name"] = name

    def holds(name):
        return lambda opened: text(opened, "name") == name

    assert find_hdf5(tmp_path, "X", holds("b.nc")) == tmp_path / "b.nc"
    assert find_hdf5(tmp_path, "X", holds("c.txt")) is None
    assert find_hdf5(tmp_path / "c.txt", "X", holds("c.txt")) == tmp_path / "c.txt"
    assert find_hdf5(tmp_path, "X", lambda opened: opened["none"]) is None
    with pytest.raises(FileFormatError, match="2 X products"):
        find_hdf5(tmp_path, "X", lambda opened: True)
