"""Writers of files for the tests of reading: as MATLAB makes them, ENVI byte by byte, GeoTIFF by rasterio."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import rasterio
from numpy.typing import NDArray

_MATLAB_CLASS = {"float64": "double", "float32": "single", "bool": "logical"}

_ENVI_TYPES = {"uint8": 1, "int16": 2, "int32": 3, "float32": 4, "float64": 5, "uint16": 12, "uint32": 13}
_ENVI_ORDERS = {"bsq": (2, 0, 1), "bil": (0, 2, 1), "bip": (0, 1, 2)}

WriteMat73 = Callable[..., Path]


@pytest.fixture
def write_mat73() -> WriteMat73:
    """A function ``(path, **arrays) -> path`` that writes as MATLAB's ``save -v7.3``: axes reversed."""

    def write(path: Path, **arrays: NDArray[Any]) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        with h5py.File(path, "w", userblock_size=512) as file:
            for name, array in arrays.items():
                stored = array.T if array.dtype != bool else array.T.astype(np.uint8)
                dataset = file.create_dataset(name, data=stored, compression="gzip", compression_opts=1)
                matlab_class = _MATLAB_CLASS.get(array.dtype.name, array.dtype.name)
                dataset.attrs["MATLAB_class"] = np.bytes_(matlab_class)
        header = b"MATLAB 7.3 MAT-file, Platform: GLNXA64, Created on: Mon Jan  1 00:00:00 2024 HDF5 "
        header += b"schema 1.00 ."
        with path.open("r+b") as file:
            file.write(header.ljust(116) + bytes(8) + b"\x00\x02IM")
        return path

    return write


@pytest.fixture(scope="session")
def write_envi() -> Callable[..., Path]:
    """A function ``(path, values, interleave, **fields) -> path.hdr``; names of fields have _ for blanks."""

    def write(
        path: Path,
        values: NDArray[Any],
        interleave: str = "bsq",
        *,
        ending: str = ".img",
        swapped: bool = False,
        offset: int = 0,
        **fields: Any,
    ) -> Path:
        cube = values if values.ndim == 3 else values[:, :, None]
        rows, cols, bands = cube.shape
        stored = np.ascontiguousarray(cube.transpose(_ENVI_ORDERS[interleave]))
        stored = stored.astype(stored.dtype.newbyteorder(">" if swapped else "<"))
        path.with_suffix(ending).write_bytes(b"x" * offset + stored.tobytes())
        lines = {
            "samples": cols, "lines": rows, "bands": bands, "header offset": offset,
            "file type": "ENVI Standard", "data type": _ENVI_TYPES[cube.dtype.name],
            "interleave": interleave, "byte order": int(swapped),
            **{name.replace("_", " "): _envi_value(value) for name, value in fields.items()},
        }  # fmt: skip
        header = path.with_suffix(".hdr")
        header.write_text("ENVI\n" + "".join(f"{name} = {value}\n" for name, value in lines.items()))
        return header

    return write


def _envi_value(value: Any) -> str:
    """Write a list over several lines, as ENVI does."""
    return value if isinstance(value, str) else "{" + ",\n ".join(map(str, value)) + "}"


@pytest.fixture(scope="session")
def write_geotiff() -> Callable[..., Path]:
    """A function ``(path, values, place, **options) -> path``; `place` is a georeference, or None."""

    def write(path: Path, values: NDArray[Any], place: dict[str, Any] | None = None, **options: Any) -> Path:
        bands = values[None] if values.ndim == 2 else values.transpose(2, 0, 1)
        where = {"crs": place["crs"], "transform": rasterio.Affine(*place["transform"])} if place else {}
        size = {"count": bands.shape[0], "height": bands.shape[1], "width": bands.shape[2]}
        with (
            warnings.catch_warnings(action="ignore"),
            rasterio.open(
                path, "w", driver="GTiff", dtype=bands.dtype.name, **size, **where, **options
            ) as file,
        ):
            file.write(bands)
        return path

    return write
