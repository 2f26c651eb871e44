"""What every split scheme works on and hands back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.int64]
AREAS = ("train", "val", "test")


class Labelled(Protocol):
    """Anything with a label map and class names; `hsi.datasets.scene.Scene` is one."""

    @property
    def labels(self) -> NDArray[Any]:
        """Label map ``(rows, cols)``; 0 is unlabelled, classes are 1..C."""

    @property
    def class_names(self) -> Sequence[str]:
        """C names, class 1 first."""


class Parts(NamedTuple):
    """The three parts of a split, as flat row-major pixel indices, and what could not be met.

    ``regions`` is the ``(rows, cols)`` area map of a scheme that works with areas, else None.
    """

    train: Pixels
    val: Pixels
    test: Pixels
    notes: tuple[str, ...] = ()
    regions: NDArray[np.uint8] | None = None


def class_pixels(labels: NDArray[np.int64]) -> Iterator[tuple[int, Pixels]]:
    """Yield each class that has pixels, lowest first, with its flat row-major indices in rising order."""
    flat = labels.ravel()
    order = np.argsort(flat, kind="stable")
    for block in np.split(order, np.flatnonzero(np.diff(flat[order])) + 1):
        if flat[block[0]] > 0:
            yield int(flat[block[0]]), block.astype(np.int64)


def class_name(names: Sequence[str], label: int) -> str:
    """Return how notes call class `label`: its name, or its number where it has none."""
    return names[label - 1] if label <= len(names) else f"class {label}"


def joined(blocks: Sequence[Pixels]) -> Pixels:
    """Return all pixels of `blocks` as one sorted array (empty where there are none)."""
    return np.sort(np.concatenate(blocks)) if len(blocks) else np.empty(0, np.int64)


def wanted_counts(pixels: int, train: float, val: float) -> tuple[int, int, int]:
    """Return how many of a class's pixels go to train, val and test for the given fractions.

    Rounded to the nearest count; from three pixels on every part gets at least one. Two pixels are one for
    train and one for test, a single one is for train (our decision: what is scored can then be learnt).
    """
    if pixels < 3:
        return (1, 0, pixels - 1) if pixels else (0, 0, 0)
    first = min(max(1, int(train * pixels + 0.5)), pixels - 2)
    second = min(max(1, int(val * pixels + 0.5)), pixels - first - 1)
    return first, second, pixels - first - second
