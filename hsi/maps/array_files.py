"""Maps as arrays and pictures: NumPy's .npy, MATLAB's .mat (version 5), PNG."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hsi.datasets.cube import Window
from hsi.datasets.scene import UNLABELLED, to_rgb
from hsi.errors import ConfigError
from hsi.maps.map_product import FRACTIONS, MapProduct, Write

CHUNK_BYTES = 2**22
"""Zeros written at a time where the system cannot allocate a file."""
MAT_BYTES = 2**31
"""The limit of one variable of a version 5 file."""


@contextmanager
def write_npy(path: Path, product: MapProduct) -> Iterator[Write]:
    """Write one array, tile by tile: the file is a memory map. It has no place for metadata."""
    array = np.lib.format.open_memmap(path, mode="w+", dtype=product.dtype, shape=product.shape)
    _allocate(path, array.offset)
    yield _write_to(array)
    array.flush()


@contextmanager
def write_mat(path: Path, product: MapProduct) -> Iterator[Write]:
    """Write the layer under the name of its kind; the map is in memory meanwhile.

    Beside it ``class_names``, and ``metadata``, if there is any: n x 2 cells, names and values.

    Raises
    ------
    ConfigError
        For a map that is too large for the format.
    """
    from scipy.io import savemat

    size = int(np.prod(product.shape, dtype=np.int64)) * product.dtype.itemsize
    if size >= MAT_BYTES:
        raise ConfigError(
            f"A .mat file cannot hold {product.kind} of {size / 2**30:.1f} GiB; write .npy or .tif instead."
        )
    array = np.zeros(product.shape, product.dtype)
    yield _write_to(array)
    variables = {product.kind: array, "class_names": np.array(product.class_names, dtype=object)}
    if product.metadata:
        variables["metadata"] = np.array(list(product.metadata.items()), dtype=object)
    with path.open("wb") as file:  # given a name, SciPy would add .mat to it
        savemat(file, variables, do_compression=True)


def _allocate(path: Path, offset: int) -> None:
    """Allocate a file of zeros after `offset` on the disk.

    A full disk raises an error here; later it would kill the process that writes into the memory map.
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
        for start in range(offset, size, CHUNK_BYTES):
            file.write(bytes(min(CHUNK_BYTES, size - start)))


def _write_to(array: NDArray[Any]) -> Write:
    def write(window: Window, values: NDArray[Any]) -> None:
        array[window.top : window.bottom, window.left : window.right] = values

    return write


PALETTE_COLORS = 256


@contextmanager
def write_png(path: Path, product: MapProduct) -> Iterator[Write]:
    """Write 8 bits a pixel; the map is in memory meanwhile, its metadata become text chunks.

    Labels have a palette, pixels without data black. Fractions are grey, from 0 (also where there is no data)
    to 255 (1.0). A "set_size" is the number itself, 255 where there is no data.

    Raises
    ------
    ConfigError
        For probabilities, or more classes than a palette has colours beside those for no data and rejection.
    """
    from PIL import Image, PngImagePlugin

    if product.kind == "proba":
        raise ConfigError(
            "A PNG cannot hold the probability of each class; write .tif, .npy or .mat instead."
        )
    if product.dtype.itemsize > 1 and product.kind not in FRACTIONS:
        most = PALETTE_COLORS - (1 if product.no_data == 0 else 2)
        raise ConfigError(
            f"A PNG has {most} colours for classes, not {len(product.class_names)}; write "
            ".tif, .npy or .mat instead."
        )
    array = np.zeros((product.rows, product.cols), np.uint8)

    def write(window: Window, values: NDArray[Any]) -> None:
        if product.kind in FRACTIONS:
            values = np.rint(255 * np.clip(np.nan_to_num(values, nan=0.0), 0, 1))
        array[window.top : window.bottom, window.left : window.right] = values

    yield write
    image = Image.fromarray(array)
    if product.kind == "map":
        image.putpalette(palette(product).tobytes())
    text = PngImagePlugin.PngInfo()
    for name, value in product.metadata.items():
        text.add_text(name, value)
    image.save(path, format="PNG", pnginfo=text)


def palette(product: MapProduct) -> NDArray[np.uint8]:
    """Return red, green and blue of each value of a label map from 0 on, black of those without a meaning."""
    last = max(int(product.no_data), len(product.class_names))
    colors = [UNLABELLED] * (last + 1)
    for entry in product.legend:
        colors[entry.value] = entry.color
    return to_rgb(tuple(colors))
