"""Checks of a label map: it fits the cube, holds whole numbers, and becomes classes 1..C without gaps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hsi.errors import SceneError

MOST_CLASSES = 1000  # an image mistaken for a label map has far more


@dataclass(frozen=True)
class CheckedLabels:
    """A label map (rows, cols) int64 with classes 1..C, and the C integers they have in the file."""

    labels: NDArray[np.int64]
    codes: tuple[int, ...]


def check_labels(
    labels: NDArray[Any], size: tuple[int, int], where: str, *, unlabelled: Sequence[int] = ()
) -> CheckedLabels:
    """Return a label map with classes 1..C without gaps.

    Parameters
    ----------
    labels
        (rows, cols) as read; floating-point maps are fine where they hold whole numbers.
    size
        (rows, cols) of the cube.
    where
        What messages call the map.
    unlabelled
        Integers that mean "no label" beside 0, such as -1 or 255.

    Raises
    ------
    SceneError
        When the map does not fit, holds anything but whole numbers >= 0, is all zero, or has a single class.
    """
    if labels.dtype.kind not in "iufb":
        raise SceneError(f"{where} holds {labels.dtype} values; labels are whole numbers.")
    if labels.shape != size:
        turned = "; it looks transposed" if labels.ndim == 2 and labels.shape[::-1] == size else ""
        raise SceneError(
            f"{where} has shape {' x '.join(map(str, labels.shape))}, but the cube is {size[0]} x {size[1]} "
            f"pixels{turned}; give the label map that belongs to this cube."
        )
    if labels.dtype.kind == "f":
        wrong = ~np.isfinite(labels) | (labels != np.round(labels))
        if wrong.any():
            row, col = np.argwhere(wrong)[0]
            raise SceneError(
                f"{where} holds {labels[row, col]:g} at row {row}, column {col}; labels are whole numbers "
                "(is this a score map or an image?)."
            )
    values, inverse = np.unique(labels.astype(np.int64), return_inverse=True)
    is_class = ~np.isin(values, (0, *unlabelled))
    codes = values[is_class]
    if len(codes) and codes[0] < 0:
        raise SceneError(
            f"{where} holds negative values ({codes[0]} is the smallest); 0 means unlabelled: list other "
            "such numbers under 'unlabelled' in a scene.toml."
        )
    if not len(codes):
        raise SceneError(f"{where} has no labelled pixel (all are 0); give a map with at least two classes.")
    if len(codes) == 1:
        raise SceneError(f"{where} has a single class ({codes[0]}); a classification needs at least two.")
    if len(codes) > MOST_CLASSES:
        raise SceneError(
            f"{where} has {len(codes)} different values; this looks like an image, not like labels."
        )
    classes = np.zeros(len(values), dtype=np.int64)
    classes[is_class] = np.arange(1, len(codes) + 1)
    return CheckedLabels(classes[inverse.reshape(labels.shape)], tuple(int(code) for code in codes))


def clear_no_data(labels: NDArray[Any], no_data: float | None) -> NDArray[Any]:
    """Return a label map with 0 in place of its file's no-data value."""
    if no_data is None or labels.dtype.kind not in "iuf":
        return labels
    missing = np.isnan(labels) if np.isnan(no_data) else labels == no_data
    return np.where(missing, labels.dtype.type(0), labels) if missing.any() else labels


def merge_maps(maps: Sequence[NDArray[Any]], where: str) -> NDArray[Any]:
    """Return the union of label maps of one scene, such as its training and its test pixels.

    Raises
    ------
    SceneError
        When the maps differ in size, or give a pixel two classes.
    """
    whole = maps[0].copy()
    for other in maps[1:]:
        if other.shape != whole.shape:
            raise SceneError(f"The label maps in {where} differ in size: {whole.shape} and {other.shape}.")
        clash = int(np.count_nonzero((whole != 0) & (other != 0) & (whole != other)))
        if clash:
            raise SceneError(
                f"The label maps in {where} give {clash} pixels two classes; they are not one scene's."
            )
        whole = np.where(whole == 0, other, whole)
    return whole
