"""Generated scenes for growth: fields of one size, so that a larger scene has more of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hsi.datasets.scene import Scene

FIELD_SIDE = 16
"""Rows and columns of a field."""
ROWS_PER_WRITE = 64


def field_labels(side: int, classes: int, labelled: int | None = None) -> NDArray[np.uint8]:
    """Return labels ``(side, side)``: square fields of random classes 1..C, from a fixed seed.

    Parameters
    ----------
    side
        Rows and columns.
    classes
        C; each has a field if there are enough fields.
    labelled
        Number of first rows and columns that are labelled; default all. The rest is 0.
    """
    labels = np.zeros((side, side), np.uint8)
    inside = min(side, labelled or side)
    fields = -(-inside // FIELD_SIDE)
    drawn = np.random.default_rng(0).integers(1, classes + 1, (fields, fields))
    first = min(classes, drawn.size)
    drawn.ravel()[:first] = np.arange(1, first + 1)
    whole = drawn.repeat(FIELD_SIDE, 0).repeat(FIELD_SIDE, 1).astype(np.uint8)
    labels[:inside, :inside] = whole[:inside, :inside]
    return labels


def write_scene(folder: Path, labels: NDArray[np.uint8], bands: int) -> tuple[Path, Path]:
    """Write a float32 cube, one spectrum per class with noise, and its labels; return both ``.npy`` files.

    The cube is written in blocks of rows, so this process never holds it.
    """
    side = len(labels)
    cube_path, labels_path = folder / f"cube{side}.npy", folder / f"labels{side}.npy"
    np.save(labels_path, labels)
    shape = (*labels.shape, bands)
    cube = np.lib.format.open_memmap(cube_path, mode="w+", dtype=np.dtype(np.float32), shape=shape)
    random = np.random.default_rng(1)
    spectra = random.random((int(labels.max()) + 1, bands), np.float32)
    for top in range(0, side, ROWS_PER_WRITE):
        rows = labels[top : top + ROWS_PER_WRITE]
        cube[top : top + len(rows)] = spectra[rows] + 0.3 * random.standard_normal(
            (*rows.shape, bands), np.float32
        )
    cube.flush()
    return cube_path, labels_path


def scene_of(labels: NDArray[np.uint8]) -> Scene:
    """Return a scene with these labels and one band, for splits."""
    classes = int(labels.max())
    no_cube: NDArray[Any] = np.zeros((*labels.shape, 1), np.float32)
    return Scene(
        name="growth",
        title="Generated fields",
        cube=no_cube,
        labels=labels.astype(np.int64),
        class_names=tuple(f"class {number}" for number in range(1, classes + 1)),
        colors=("#000000",) * classes,
        label_codes=tuple(range(1, classes + 1)),
        synthetic=True,
    )
