"""Maps as arrays: NumPy's .npy, and MATLAB's .mat (version 5)."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hsi.errors import ConfigError
from hsi.mapping.cells import Window
from hsi.mapping.layer import Layer, Write

ROOM_BYTES = 2**22
"""Zeros that are written at a time where a system cannot give a file its room at once."""
MAT_BYTES = 2**31
"""What one variable of a version 5 file can hold."""


@contextmanager
def write_npy(path: Path, layer: Layer) -> Iterator[Write]:
    """Write ``layer.shape`` as one array, tile by tile: the file is a memory map."""
    array = np.lib.format.open_memmap(path, mode="w+", dtype=layer.dtype, shape=layer.shape)
    _take_room(path, array.offset)
    yield _into(array)
    array.flush()


@contextmanager
def write_mat(path: Path, layer: Layer) -> Iterator[Write]:
    """Write a variable called as the layer's kind, and ``class_names``; the layer is held in memory.

    Raises
    ------
    ConfigError
        For a layer that no such file can hold.
    """
    from scipy.io import savemat

    size = int(np.prod(layer.shape, dtype=np.int64)) * layer.dtype.itemsize
    if size >= MAT_BYTES:
        raise ConfigError(
            f"A .mat file cannot hold {layer.kind} of {size / 2**30:.1f} GiB; write .npy or .tif instead."
        )
    array = np.zeros(layer.shape, layer.dtype)
    yield _into(array)
    names = np.array(layer.class_names, dtype=object)
    with path.open("wb") as file:  # given a name, SciPy would add .mat to it
        savemat(file, {layer.kind: array, "class_names": names}, do_compression=True)


def _take_room(path: Path, offset: int) -> None:
    """Give a file with nothing but zeros after `offset` its room on the disk.

    A full disk says so here; later it would end the process that writes into the map.
    """
    size = path.stat().st_size
    with path.open("rb+") as file:
        if hasattr(os, "posix_fallocate"):
            try:
                os.posix_fallocate(file.fileno(), 0, size)
                return
            except OSError as error:
                if error.errno not in (errno.EINVAL, errno.EOPNOTSUPP):
                    raise
        file.seek(offset)
        for start in range(offset, size, ROOM_BYTES):
            file.write(bytes(min(ROOM_BYTES, size - start)))


def _into(array: NDArray[Any]) -> Write:
    def write(window: Window, values: NDArray[Any]) -> None:
        array[window.top : window.bottom, window.left : window.right] = values

    return write
