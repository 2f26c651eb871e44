"""Classic netCDF files that SciPy wrote, against the arrays that went in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.io import netcdf_file

from hsi.datasets.formats.readers import kind_of, list_arrays, open_cube, read_array, read_facts
from hsi.errors import FileFormatError, SceneError

CUBE = np.random.default_rng(0).integers(0, 4000, (12, 10, 6)).astype(np.int16)
NM = np.linspace(0.4, 0.9, 6).astype(np.float32)


def write(path: Path, names: tuple[str, ...], values: NDArray[Any], version: int = 1, **more: Any) -> Path:
    with netcdf_file(path, "w", version=version) as file:
        for name, size in zip(names, values.shape, strict=True):
            file.createDimension(name, size)
        variable = file.createVariable("reflectance", values.dtype, names)
        variable[:] = values
        for name, value in more.items():
            setattr(variable, name, value)
        if "wavelength" in names:
            centres = file.createVariable("wavelength", "f4", ("wavelength",))
            centres[:] = NM
            centres.units = "um"
    return path


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize(
    ("names", "axes"),
    [
        (("y", "x", "wavelength"), (0, 1, 2)),
        (("wavelength", "lat", "lon"), (2, 0, 1)),
        (("line", "wavelength", "sample"), (0, 2, 1)),
        (("wavelength", "a", "b"), (2, 0, 1)),
        (("a", "b", "c"), (0, 1, 2)),
    ],
)
def test_the_axes_are_told_by_names_and_wavelengths(
    tmp_path: Path, version: int, names: tuple[str, ...], axes: tuple[int, ...]
) -> None:
    path = write(tmp_path / "a.nc", names, CUBE.transpose(axes), version, _FillValue=np.int16(-99))
    assert kind_of(path) == "netcdf3"
    np.testing.assert_array_equal(read_array(path, ndim=3), CUBE)
    cube = open_cube(path)
    np.testing.assert_array_equal(np.asarray(cube[2:5, 1:9]), CUBE[2:5, 1:9])
    facts = read_facts(path)
    assert facts.no_data == -99
    if "wavelength" in names:
        np.testing.assert_allclose(facts.wavelengths_nm, NM * 1000, rtol=1e-6)
    guessed = names == ("wavelength", "a", "b")
    assert ("taken for that of the bands" in " ".join(facts.notes)) == guessed


def test_several_variables_are_named(tmp_path: Path) -> None:
    path = tmp_path / "a.nc"
    with netcdf_file(path, "w") as file:
        for name, size in (("y", 4), ("x", 5), ("b", 3)):
            file.createDimension(name, size)
        for name in ("first", "second"):
            file.createVariable(name, "f4", ("y", "x", "b"))[:] = len(name)
        file.createVariable("gt", "i1", ("y", "x"))[:] = 2
    with pytest.raises(
        FileFormatError, match=r"several arrays.*first \(4 x 5 x 3 float32\), second.*--cube-key"
    ):
        open_cube(path)
    assert (np.asarray(open_cube(path, "second")) == 6).all()
    assert (read_array(path, ndim=2) == 2).all()


def test_damaged_bytes_give_arrays_or_one_sentence(tmp_path: Path) -> None:
    whole = write(tmp_path / "a.nc", ("y", "x", "wavelength"), CUBE).read_bytes()
    path = tmp_path / "b.nc"
    random = np.random.default_rng(0)
    for at in range(200):
        content = bytearray(whole[: int(random.integers(len(whole)))] if at % 5 == 0 else whole)
        for _ in range(int(random.integers(1, 5))):
            content[int(random.integers(4, 400)) % len(content)] = int(random.integers(256))
        path.write_bytes(content)
        try:
            assert all(len(str(one)) for one in list_arrays(path))
            read_facts(path)
            read_array(path, ndim=3)
        except SceneError as error:
            assert "\n" not in str(error)  # noqa: PT017


def test_cdf5_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.nc").write_bytes(b"CDF\x05" + bytes(60))
    with pytest.raises(FileFormatError, match=r"CDF-5.*gdal_translate a\.nc a\.tif"):
        kind_of(tmp_path / "a.nc")
