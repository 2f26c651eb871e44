"""Cubes in files of named arrays: in structs, pixels in a row, bands first, wavelengths beside."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.io import netcdf_file, savemat

from hsi.datasets.formats.facts import ArrayInfo
from hsi.datasets.formats.hdf5_files import Hdf5Cube
from hsi.datasets.formats.named_arrays import find_axes, numbers_of_attribute, place_of_axes, table_of_pixels
from hsi.datasets.formats.readers import list_arrays, open_cube, read_array, read_facts
from hsi.errors import FileFormatError

RANDOM = np.random.default_rng(0)
CUBE = RANDOM.integers(0, 4000, (12, 10, 6)).astype(np.uint16)
LABELS = RANDOM.integers(0, 4, (12, 10)).astype(np.uint8)
NM = np.linspace(400, 900, 6)
FLAT = CUBE.reshape(-1, 6, order="F")  # as MATLAB's reshape(cube, [], 6)


@pytest.mark.parametrize(
    ("rows", "cols"),
    [("nRow", "nCol"), ("rows", "cols"), ("lines", "samples"), ("height", "width"), ("M", "N")],
)
@pytest.mark.parametrize("bands_first", [True, False])
@pytest.mark.parametrize("kind", ["mat", "v73.mat", "npz"])
def test_pixels_in_a_row_with_sizes_beside(
    tmp_path: Path, write_mat73: Callable[..., Path], rows: str, cols: str, bands_first: bool, kind: str
) -> None:
    path = tmp_path / f"a.{kind}"
    order: Any = "C" if kind == "npz" else "F"
    flat = CUBE.reshape(-1, 6, order=order)
    arrays: dict[str, Any] = {
        "Y": flat.T if bands_first else flat, "gt": LABELS.reshape(-1, 1, order=order),
        rows: np.array([[12.0]]), cols: np.array([[10.0]]), "wavelength": NM[None],
    }  # fmt: skip
    if kind == "mat":
        savemat(path, arrays)
    elif kind == "npz":
        np.savez(path, allow_pickle=False, **arrays)
    else:
        write_mat73(path, **arrays)
    np.testing.assert_array_equal(read_array(path, ndim=3), CUBE)
    np.testing.assert_array_equal(np.asarray(open_cube(path)), CUBE)
    np.testing.assert_array_equal(read_array(path, ndim=2, key="gt"), LABELS)
    facts = read_facts(path)
    np.testing.assert_allclose(facts.wavelengths_nm, NM)
    words = "row by row" if kind == "npz" else "column by column"
    assert f"12 rows and 10 columns, {words}" in facts.notes[0]


def test_sizes_that_do_not_fit_change_nothing(tmp_path: Path) -> None:
    savemat(tmp_path / "a.mat", {"Y": FLAT, "nRow": 12, "nCol": 11, "gt": LABELS})
    with pytest.raises(
        FileFormatError, match=r"table of pixels, Y \(120 x 6 uint16\), no image.*'nRow' and 'nCol'"
    ):
        read_array(tmp_path / "a.mat", ndim=3)
    np.testing.assert_array_equal(read_array(tmp_path / "a.mat", ndim=2, key="Y"), FLAT)
    # 12 x 10 labels beside sizes of 12 and 10 stay what they are.
    savemat(tmp_path / "b.mat", {"cube": CUBE, "gt": LABELS, "rows": 12, "cols": 10})
    np.testing.assert_array_equal(read_array(tmp_path / "b.mat", ndim=2), LABELS)


@pytest.mark.parametrize(
    ("shapes", "found"),
    [
        ([(120, 6), (120, 1)], True),
        ([(6, 120), (1, 120)], True),
        ([(162, 94249)], True),
        ([(145, 145)], False),
        ([(145, 145), (145, 1)], False),
        ([(610, 340)], False),
        ([(6, 6, 2)], False),
        ([], False),
    ],
)
def test_what_a_table_of_pixels_looks_like(shapes: list[tuple[int, ...]], found: bool) -> None:
    infos = [ArrayInfo(f"a{at}", shape, "float64", True) for at, shape in enumerate(shapes)]
    assert bool(table_of_pixels(infos)) == found


def test_structs(tmp_path: Path) -> None:
    path = tmp_path / "a.mat"
    savemat(
        path, {"hsi": {"Data": CUBE, "info": {"wavelength": NM / 1000, "name": "x"}}, "gt": {"map": LABELS}}
    )
    np.testing.assert_array_equal(read_array(path, ndim=3), CUBE)
    for key in ("hsi.Data", "HSI.DATA", "hsi/Data"):
        np.testing.assert_array_equal(read_array(path, ndim=3, key=key), CUBE)
    np.testing.assert_array_equal(read_array(path, ndim=2, key="gt.map"), LABELS)
    np.testing.assert_allclose(read_facts(path).wavelengths_nm, NM)
    with pytest.raises(FileFormatError, match=r"no array 'hsi\.Date'\. Did you mean 'hsi\.Data'\?"):
        read_array(path, ndim=3, key="hsi.Date")
    with pytest.raises(
        FileFormatError, match=r"hsi \(1 x 1 struct\) is not a 3-D.*hsi\.Data \(12 x 10 x 6 uint16\)"
    ):
        read_array(path, ndim=3, key="hsi")
    savemat(path, {"hsi": {"a": CUBE, "b": CUBE}})
    with pytest.raises(FileFormatError, match=r"several arrays.*hsi\.a \(12 x 10 x 6.*--cube-key"):
        read_array(path, ndim=3)
    savemat(path, {"c": np.array([[CUBE, "a"]], dtype=object)})
    with pytest.raises(FileFormatError, match=r"no array that is 3-D.*c \(1 x 2 cell\)"):
        read_array(path, ndim=3)


def test_structs_of_version_73(tmp_path: Path, write_mat73: Callable[..., Path]) -> None:
    path = write_mat73(tmp_path / "a.mat", gt=LABELS)
    with h5py.File(path, "r+") as file:
        group = file.create_group("hsi")
        group.attrs["MATLAB_class"] = np.bytes_("struct")
        group["Data"] = CUBE.T
        group["info/wavelength"] = NM[:, None]
    assert "hsi.Data (12 x 10 x 6 uint16)" in [str(one) for one in list_arrays(path)]
    for key in (None, "hsi.Data", "hsi/data"):
        np.testing.assert_array_equal(read_array(path, ndim=3, key=key), CUBE)
    np.testing.assert_allclose(read_facts(path).wavelengths_nm, NM)


@pytest.mark.parametrize("where", ["dataset", "of the cube", "of the group", "of the file", "text"])
def test_wavelengths_and_fill_of_hdf5(tmp_path: Path, where: str) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        cube = file.create_dataset("scene/cube", data=CUBE)
        cube.attrs["_FillValue"] = np.array([65535], np.uint16)
        file["scene/other"] = np.arange(6.0)
        if where == "dataset":
            file["scene/wavelength"] = NM
        elif where == "text":
            cube.attrs["Wavelength"] = "{" + ", ".join(map(str, NM)) + "}"
        else:
            owner = {"of the cube": cube, "of the group": file["scene"], "of the file": file}[where]
            owner.attrs["wavelengths"] = NM
        file.attrs["odd"] = h5py.Empty("f4")
    facts = read_facts(path)
    np.testing.assert_allclose(facts.wavelengths_nm, NM)
    assert facts.no_data == 65535
    cube_ = open_cube(path)
    assert isinstance(cube_, Hdf5Cube)
    np.testing.assert_array_equal(np.asarray(cube_), CUBE)


def test_bands_first_in_hdf5(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file["cube"] = CUBE.transpose(2, 0, 1)
    assert open_cube(path).shape == (6, 12, 10)
    with h5py.File(path, "r+") as file:
        file["centers_nm"] = NM
    for read in (read_array(path, ndim=3), np.asarray(open_cube(path))):
        np.testing.assert_array_equal(read, CUBE)
    facts = read_facts(path)
    np.testing.assert_allclose(facts.wavelengths_nm, NM)
    assert "taken for that of the bands" in facts.notes[0]


def test_names_of_axes_in_netcdf4(tmp_path: Path) -> None:
    path = tmp_path / "a.nc"
    with h5py.File(path, "w") as file:
        file["reflectance"] = CUBE.transpose(2, 0, 1)
        for axis, (name, size) in enumerate((("band", 6), ("y", 12), ("x", 10))):
            file[name] = np.arange(float(size))
            file[name].make_scale(name)
            file["reflectance"].dims[axis].attach_scale(file[name])
    np.testing.assert_array_equal(read_array(path, ndim=3), CUBE)
    facts = read_facts(path)
    assert facts.notes == ()
    assert facts.georeference == {"crs": "", "transform": [1, 0, -0.5, 0, 1, -0.5]}


@pytest.mark.parametrize(
    ("names", "system", "expected"),
    [
        (("y", "x"), "EPSG:32633", "EPSG:32633"),
        (("lat", "lon"), "", "EPSG:4326"),
        (("y", "x"), "http://127.0.0.1/system", ""),
        (("y", "x"), "/etc/hosts", ""),
    ],
)
@pytest.mark.parametrize("classic", [True, False])
def test_coordinates_of_netcdf_place_the_cube(
    tmp_path: Path, names: tuple[str, str], system: str, expected: str, classic: bool
) -> None:
    path = tmp_path / "a.nc"
    y, x = 4_100_000 - 15 - 30.0 * np.arange(12), 500_000 + 15 + 30.0 * np.arange(10)
    if classic:
        with netcdf_file(path, "w") as file:
            for name, size in zip((*names, "band"), CUBE.shape, strict=True):
                file.createDimension(name, size)
            for name, values in zip(names, (y, x), strict=True):
                file.createVariable(name, "f8", (name,))[:] = values
            cube = file.createVariable("cube", "i2", (*names, "band"))
            cube[:] = CUBE.astype(np.int16)
            cube.grid_mapping = "spatial_ref"
            file.createVariable("spatial_ref", "i4", ()).crs_wkt = system
    else:
        with h5py.File(path, "w") as file:
            node = file.create_dataset("cube", data=CUBE)
            node.attrs["grid_mapping"] = "spatial_ref"
            for axis, (name, values) in enumerate(zip(names, (y, x), strict=True)):
                file[name] = values
                file[name].make_scale(name)
                node.dims[axis].attach_scale(file[name])
            file.create_dataset("spatial_ref", data=0).attrs["crs_wkt"] = system
    facts = read_facts(path, key="cube")
    place = {"crs": expected, "transform": [30, 0, 500_000, 0, -30, 4_100_000]}
    assert facts.georeference == place


def test_coordinates_that_are_not_even_place_nothing() -> None:
    assert place_of_axes([1, 2, 4], [1, 2, 3], ["y", "x"], []) is None
    assert place_of_axes([1, 1, 1], [1, 2, 3], ["y", "x"], []) is None
    assert place_of_axes([1.0], [1.0, 2.0], ["y", "x"], []) is None


def test_the_key_decides_whose_wavelengths(tmp_path: Path) -> None:
    path = tmp_path / "a.mat"
    savemat(path, {"a": CUBE, "b": CUBE[:, :, :4], "wavelength": NM[:4]})
    assert read_facts(path).wavelengths_nm == ()
    assert read_facts(path, key="a").wavelengths_nm == ()
    np.testing.assert_allclose(read_facts(path, key="b").wavelengths_nm, NM[:4])


@given(st.permutations(["row", "col", "band"]), st.tuples(*[st.integers(2, 9)] * 3))
def test_names_of_axes_decide(names: list[str], shape: tuple[int, int, int]) -> None:
    axes, note = find_axes(shape, names, {"wavelength": NM})
    assert [names[axis] for axis in axes] == ["row", "col", "band"]
    assert note == ""


def test_numbers_in_attributes() -> None:
    assert numbers_of_attribute(b"{400, 410.5}") == [400, 410.5]
    assert numbers_of_attribute("[1 2]") == [1, 2]
    assert numbers_of_attribute(np.array([[1, 2]])) == [1, 2]
    for value in ("a, b", None, object(), [["a"]]):
        assert [one for one in numbers_of_attribute(value) if one == one] == []
