"""Spatial regularisation of class probabilities: named methods and strengths, on whole scenes and windows.

Pixels of different groups (regions of a split, or 0 for no data) never mix. What a pixel gets does not depend
on how a scene is cut into windows, bit for bit: averages and the Potts model reach a fixed number of pixels,
and segments are made in blocks of a fixed grid.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from hsi.errors import InputError
from hsi.smoothing.choice import CANDIDATES, METHODS, NONE, Smoothing, candidates, parse
from hsi.smoothing.guide import in_units_of_contrast
from hsi.smoothing.neighbourhood import Bools, Floats, Groups, dilate_within, edge_mean, local_mean
from hsi.smoothing.potts import mean_field
from hsi.smoothing.segments import segment, segment_mean, spread_in_segments

__all__ = [
    "BLOCK", "CANDIDATES", "METHODS", "NONE", "SEGMENT_MARGIN", "Smoothing", "blocks", "candidates",
    "in_units_of_contrast", "parse", "reach", "smooth", "smooth_window",
]  # fmt: skip

BLOCK = 512
"""Rows and columns of the blocks that segments are made in; windows of whole blocks do no work twice."""

SEGMENT_MARGIN = 64
"""Pixels by which a block sees beyond itself, so that its borders cut segments where nobody looks."""

Window = tuple[int, int, int, int]  # top, bottom, left, right
Read = Callable[[int, int, int, int], tuple[Floats, Floats, Groups]]


def blocks(shape: tuple[int, ...], block: int = BLOCK) -> Iterator[Window]:
    """Cut a scene of ``(rows, cols)`` into the fixed blocks, row by row: (top, bottom, left, right)."""
    rows, cols = shape[:2]
    for top in range(0, rows, block):
        for left in range(0, cols, block):
            yield top, min(top + block, rows), left, min(left + block, cols)


def smooth(
    proba: Floats, guide: Floats, groups: Groups, smoothing: Smoothing, *, block: int = BLOCK
) -> Floats:
    """Return class probabilities regularised in space.

    Parameters
    ----------
    proba
        ``(rows, cols, C)`` float32; rows sum to 1 where `groups` is above 0.
    guide
        ``(rows, cols, F)`` float32, an image whose edges segments and weights follow: the first principal
        components, scaled by `hsi.smoothing.guide.in_units_of_contrast`.
    groups
        ``(rows, cols)`` integers; 0 is no data: left as it is, and never used. Pixels of different groups
        never mix.
    smoothing
        Method and strength.
    block
        Rows and columns of the blocks of the scene's grid; segments depend on it, other methods do not.

    Raises
    ------
    InputError
        If shapes do not match, or values in a group are not finite.
    """
    _check_shapes(proba, guide, groups)

    def read(top: int, bottom: int, left: int, right: int) -> tuple[Floats, Floats, Groups]:
        box = (slice(top, bottom), slice(left, right))
        return proba[box], guide[box], groups[box]

    out = np.empty(proba.shape, np.float32)
    for top, bottom, left, right in blocks(groups.shape, block):
        window = (top, bottom, left, right)
        out[top:bottom, left:right] = smooth_window(read, window, groups.shape, smoothing, block=block)
    return out


def smooth_window(
    read: Read, window: Window, shape: tuple[int, ...], smoothing: Smoothing, *, block: int = BLOCK
) -> Floats:
    """Return what `smooth` returns, bit for bit, for one window of a scene that need not fit in memory.

    Parameters
    ----------
    read
        ``read(top, bottom, left, right)`` returns (proba, guide, groups) of a window inside the scene. It is
        called once for each method, once for each block in `window` for segments.
    window
        (top, bottom, left, right) inside the scene. Segments cost least with the windows of `blocks`.
    shape
        ``(rows, cols)`` of the scene.
    smoothing, block
        As in `smooth`.

    Returns
    -------
    ``(bottom - top, right - left, C)`` float32.
    """
    return mean_of([_one_method(read, window, shape, smoothing, part, block) for part in smoothing.parts])


def mean_of(results: Sequence[Floats]) -> Floats:
    """Return the mean of what several methods made of the same pixels; a single result as it is."""
    if len(results) == 1:
        return results[0]
    total = results[0] + results[1]
    for other in results[2:]:
        total += other
    total /= np.float32(len(results))
    return total


def _one_method(
    read: Read, window: Window, shape: tuple[int, ...], smoothing: Smoothing, part: str, block: int
) -> Floats:
    if part == "segments":
        return _by_segments(read, window, shape, smoothing, block)
    box = _grown(window, smoothing.reach_of(part), shape)
    proba, guide, groups = _read(read, box)
    if part == "mean":
        found = local_mean(proba, groups, [1.0] * int(smoothing["width"]))
    elif part == "mrf":
        found = mean_field(
            proba, guide, groups, smoothing["beta"], smoothing["contrast"], int(smoothing["iterations"])
        )
    elif part == "edges":
        found = edge_mean(proba, guide, groups, int(smoothing["radius"]), smoothing["tolerance"])
    else:
        found = proba
    return np.array(found[_inside(window, box)])


def _by_segments(
    read: Read, window: Window, shape: tuple[int, ...], smoothing: Smoothing, block: int
) -> Floats:
    top, bottom, left, right = window
    out: Floats | None = None
    for piece in _blocks_of(window, shape, block):
        box = _grown(piece, SEGMENT_MARGIN, shape)
        proba, guide, groups = _read(read, box)
        means = segment_mean(proba, _segments_of(guide, groups, smoothing))
        shared = (max(top, piece[0]), min(bottom, piece[1]), max(left, piece[2]), min(right, piece[3]))
        if out is None:
            out = np.empty((bottom - top, right - left, proba.shape[2]), np.float32)
        out[_inside(shared, window)] = means[_inside(shared, box)]
    if out is None:
        raise InputError(f"The window {window} has no pixels.")
    return out


def _segments_of(guide: Floats, groups: Groups, smoothing: Smoothing) -> NDArray[np.int32]:
    return segment(guide, groups, smoothing["scale"], int(smoothing["min_size"]), smoothing["sigma"])


def _blocks_of(window: Window, shape: tuple[int, ...], block: int) -> Iterator[Window]:
    """Yield the blocks of the scene's grid that share a pixel with a window."""
    top, bottom, left, right = window
    for start in range(top // block * block, bottom, block):
        for first in range(left // block * block, right, block):
            yield start, min(start + block, shape[0]), first, min(first + block, shape[1])


def _grown(window: Window, margin: int, shape: tuple[int, ...]) -> Window:
    top, bottom, left, right = window
    return (
        max(0, top - margin),
        min(shape[0], bottom + margin),
        max(0, left - margin),
        min(shape[1], right + margin),
    )


def _inside(window: Window, box: Window) -> tuple[slice, slice]:
    """Return the place of a window in an array that holds `box`."""
    top, bottom, left, right = window
    return slice(top - box[0], bottom - box[0]), slice(left - box[2], right - box[2])


def _read(read: Read, box: Window) -> tuple[Floats, Floats, Groups]:
    """Read a window; raise InputError for values in a group that are not finite."""
    proba, guide, groups = read(*box)
    _check_shapes(proba, guide, groups)
    outside = groups <= 0
    if not all((np.isfinite(values).all(axis=2) | outside).all() for values in (proba, guide)):
        raise InputError(
            "Probabilities or the guide image have NaN or infinite values inside a group; pixels without "
            "data must belong to group 0."
        )
    return np.asarray(proba, np.float32), np.asarray(guide, np.float32), groups


def _check_shapes(proba: Floats, guide: Floats, groups: Groups) -> None:
    if proba.ndim != 3 or guide.ndim != 3 or not proba.shape[:2] == guide.shape[:2] == groups.shape:
        raise InputError(
            f"Smoothing needs probabilities (rows, cols, classes), a guide (rows, cols, features) and groups "
            f"(rows, cols) of one scene; got {proba.shape}, {guide.shape} and {groups.shape}."
        )


def reach(marked: Bools, guide: Floats, groups: Groups, smoothing: Smoothing, *, block: int = BLOCK) -> Bools:
    """Return the pixels whose smoothed probabilities depend on those of a marked pixel.

    What leaks after smoothing: with training pixels marked, the test pixels that their probabilities flow
    into. Marked pixels are in it. The guide is made without labels and does not count.

    Parameters
    ----------
    marked
        ``(rows, cols)``.
    guide, groups, smoothing, block
        As in `smooth`.
    """
    if marked.shape != groups.shape:
        raise InputError(f"Marked pixels have the shape {marked.shape}, the groups {groups.shape}.")
    out = marked.copy()
    for part in smoothing.parts:
        if part == "segments":
            out |= _reach_of_segments(marked, guide, groups, smoothing, block)
        elif part == "mrf":
            out |= dilate_within(marked, groups, 1, int(smoothing["iterations"]))
        elif part in ("mean", "edges"):
            out |= dilate_within(marked, groups, smoothing.reach_of(part), 1)
    return out


def _reach_of_segments(
    marked: Bools, guide: Floats, groups: Groups, smoothing: Smoothing, block: int
) -> Bools:
    out = np.zeros(groups.shape, bool)

    def read(top: int, bottom: int, left: int, right: int) -> tuple[Floats, Floats, Groups]:
        there = (slice(top, bottom), slice(left, right))
        return np.zeros((*groups[there].shape, 0), np.float32), guide[there], groups[there]

    for piece in blocks(groups.shape, block):
        box = _grown(piece, SEGMENT_MARGIN, groups.shape)
        _, near, inside = _read(read, box)
        here = marked[box[0] : box[1], box[2] : box[3]]
        reached = spread_in_segments(here, _segments_of(near, inside, smoothing))
        out[piece[0] : piece[1], piece[2] : piece[3]] = reached[_inside(piece, box)]
    return out
