"""Writers of files as MATLAB makes them, for the tests of reading."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from numpy.typing import NDArray

_MATLAB_CLASS = {"float64": "double", "float32": "single", "bool": "logical"}

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
