"""Maps as arrays: NumPy's .npy, and MATLAB's .mat (version 5)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hsi.errors import ConfigError
from hsi.mapping.cells import Window
from hsi.mapping.layer import Layer, Write

MAT_BYTES = 2**31
"""What one variable of a version 5 file can hold."""


@contextmanager
def write_npy(path: Path, layer: Layer) -> Iterator[Write]:
    """Write ``layer.shape`` as one array, tile by tile: the file is a memory map."""
    array = np.lib.format.open_memmap(path, mode="w+", dtype=layer.dtype, shape=layer.shape)
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


def _into(array: NDArray[Any]) -> Write:
    def write(window: Window, values: NDArray[Any]) -> None:
        array[window.top : window.bottom, window.left : window.right] = values

    return write
