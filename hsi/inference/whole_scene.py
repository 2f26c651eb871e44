"""Probabilities of every pixel of a scene at once, in memory or, if they are large, in a temporary file."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hsi.datasets.cube import Window
from hsi.inference.tiles import SceneBlocks
from hsi.runs.postprocessing import Guide, Postprocessing
from hsi.smoothing.methods import blocks as fixed_blocks
from hsi.smoothing.methods import smooth_window

IN_MEMORY_BYTES = 2**28
"""Larger maps of probabilities lie in a temporary file."""

_WRITTEN_BYTES = 2**22  # at a time

Watch = Callable[[int, int], object]
"""Called with finished pixels and all pixels."""


@dataclass(frozen=True)
class ClassifiedTile:
    """A part of a scene with its probabilities.

    Attributes
    ----------
    window
        Where it lies.
    proba
        ``(h, w, C)`` float32: calibrated probability of each class.
    missing
        ``(h, w)``: pixels without data.
    rejected
        ``(h, w)``: pixels that look like nothing in training; None where that was not asked for.
    """

    window: Window
    proba: NDArray[np.float32]
    missing: NDArray[np.bool_]
    rejected: NDArray[np.bool_] | None = None


@dataclass(frozen=True, eq=False)
class WholeScene:
    """Probabilities ``(rows, cols, C)`` float32 of a scene, and which pixels have no data.

    `raw` are the probabilities without calibration, where they were asked for.
    """

    proba: NDArray[np.float32]
    missing: NDArray[np.bool_]
    raw: NDArray[np.float32] | None = None

    def groups(self, regions: NDArray[Any] | None) -> NDArray[np.int32]:
        """Return the group of each pixel for smoothing: its region plus one, 0 without data."""
        return group_numbers(self.missing, regions)

    def smoothed(
        self, post: Postprocessing, blocks: SceneBlocks, regions: NDArray[Any] | None
    ) -> Iterator[ClassifiedTile]:
        """Yield the scene in windows, smoothed and calibrated; the windows do not change any value."""
        rows, cols = self.missing.shape

        def read(
            top: int, bottom: int, left: int, right: int
        ) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.int32]]:
            window = Window(top, bottom, left, right)
            box = window.slices
            groups = group_numbers(self.missing[box], None if regions is None else regions[box])
            return np.asarray(self.proba[box]), guide_of(post.guide, blocks, window), groups

        for block in fixed_blocks((rows, cols)):
            window = Window(*block)
            proba = smooth_window(read, block, (rows, cols), post.smoothing)
            yield ClassifiedTile(window, post.after.on_probabilities(proba), self.missing[window.slices])


def group_numbers(missing: NDArray[np.bool_], regions: NDArray[Any] | None) -> NDArray[np.int32]:
    """Return the group of each pixel for smoothing: its region plus one, 0 where it is `missing`."""
    inside = np.ones(missing.shape, np.int32) if regions is None else regions.astype(np.int32) + 1
    return np.where(missing, 0, inside).astype(np.int32)


def guide_of(guide: Guide | None, blocks: SceneBlocks, window: Window) -> NDArray[np.float32]:
    """Return the guide ``(h, w, K)`` of a window; without one, an array of no components."""
    if guide is None:
        return np.zeros((*window.shape, 0), np.float32)
    return guide(blocks.features_of(window))


@contextmanager
def large_array(shape: tuple[int, ...], folder: Path | None) -> Iterator[NDArray[np.float32]]:
    """Give a float32 array of zeros, which lies in a temporary file of `folder` if it is large.

    Raises
    ------
    OSError
        When the disk is full.
    """
    size = 4 * int(np.prod(shape, dtype=np.int64))
    if size <= IN_MEMORY_BYTES:
        yield np.zeros(shape, np.float32)
        return
    with tempfile.TemporaryFile(dir=folder) as file:
        # Written, not only sized: a full disk raises an error here, and would kill the process later.
        for start in range(0, size, _WRITTEN_BYTES):
            file.write(bytes(min(_WRITTEN_BYTES, size - start)))
        file.flush()
        yield np.memmap(file, np.float32, "r+", shape=shape)
