"""Split schemes that draw single pixels: ``random``, ``paper`` and ``per-class``.

Their patches overlap from part to part, so their scores are optimistic; see `hsi.datasets.splits.leakage`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hsi.datasets.splits.indices import Pixels, SplitIndices, class_name, class_pixels, concat, wanted_counts
from hsi.errors import SplitError


def random_parts(
    labels: NDArray[np.int64], names: Sequence[str], *, train: float, val: float, seed: int
) -> SplitIndices:
    """Draw every part stratified: each class gives the same share of its pixels to train, val and test.

    Counts are rounded to the nearest; a class of three or more pixels has at least one in every part.
    Drawn by ``numpy.random.default_rng(seed)``, class by class in rising order.

    Parameters
    ----------
    labels
        Label map ``(rows, cols)``; 0 is unlabelled.
    names
        Class names, class 1 first, for the notes.
    train, val
        Shares of each class's pixels; the rest is test.
    seed
        Any integer >= 0.
    """
    generator = np.random.default_rng(seed)
    blocks: tuple[list[Pixels], list[Pixels], list[Pixels]] = ([], [], [])
    notes = []
    for label, pixels in class_pixels(labels):
        counts = wanted_counts(len(pixels), train, val)
        if len(pixels) < 3:
            notes.append(too_few(names, label, len(pixels)))
        _deal(blocks, generator.permutation(pixels), counts)
    first_part, second_part, rest = (concat(part) for part in blocks)
    return SplitIndices(first_part, second_part, rest, tuple(notes))


def per_class_parts(
    labels: NDArray[np.int64], names: Sequence[str], *, per_class: int, val: float, seed: int
) -> SplitIndices:
    """Draw the same number of training pixels from every class.

    A class of fewer than ``2 * per_class`` pixels gives half of them (our decision), so that something is
    left to score; this is noted. Validation is the share `val` of each class's pixels, at least one where
    the class has three or more, and never more than half of what training leaves.
    Drawn by ``numpy.random.default_rng(seed)``, class by class in rising order.

    Raises
    ------
    SplitError
        When no class has more than `per_class` pixels.
    """
    classes = list(class_pixels(labels))
    largest = max(len(pixels) for _, pixels in classes)
    if per_class >= largest:
        raise SplitError(
            f"per_class={per_class} leaves nothing to test on: the largest class has {largest} pixels; "
            f"ask for at most {max(1, largest // 2)}."
        )
    generator = np.random.default_rng(seed)
    blocks: tuple[list[Pixels], list[Pixels], list[Pixels]] = ([], [], [])
    notes = []
    for label, pixels in classes:
        total = len(pixels)
        first = max(1, min(per_class, total // 2))
        second = min(max(1, int(val * total + 0.5)), (total - first) // 2)
        if total < 3:
            notes.append(too_few(names, label, total))
        elif first < per_class:
            notes.append(
                f"{class_name(names, label)} has {total} pixels: "
                f"{first} are for training instead of {per_class}."
            )
        _deal(blocks, generator.permutation(pixels), (first, second, total - first - second))
    first_part, second_part, rest = (concat(part) for part in blocks)
    return SplitIndices(first_part, second_part, rest, tuple(notes))


def paper_parts(
    labels: NDArray[np.int64], names: Sequence[str], *, train: float, val: float, seed: int
) -> SplitIndices:
    """Split by the rule of the released code of KANet and EKGNet (the papers' 6:1:3 for train 0.6, val 0.1).

    For each class of n pixels, shuffled, the last ``max(int((1 - train) * n), 3)`` go to a hold-out pool and
    the rest to train. The pool is shuffled; its last ``int(val * N)`` pixels (N labelled ones in all) are val
    and the others test, so val and test are *not* stratified and may lack a rare class, which is noted.

    `seed` is handed to ``numpy.random.RandomState`` as it is. Run k of the released code (k = 0, 1, ...)
    calls ``np.random.seed(1331 + k)``, so give ``seed=1331 + k``. Shuffled in this order from that one
    generator: classes 1..C, the training list, the pool. All three parts are returned in rising order. Sizes
    are the released code's; that its pixels are the very same is not claimed.
    """
    generator = np.random.RandomState(seed)  # as the released code
    kept: list[int] = []
    pool: list[int] = []
    labelled = 0
    for _, pixels in class_pixels(labels):
        shuffled = pixels.tolist()
        generator.shuffle(shuffled)
        held = max(int((1 - train) * len(shuffled)), 3)
        kept += shuffled[:-held]
        pool += shuffled[-held:]
        labelled += len(shuffled)
    generator.shuffle(kept)
    generator.shuffle(pool)
    held = int(val * labelled)
    if held >= len(pool):
        raise SplitError(
            f"val={val:g} takes all {len(pool)} pixels that train={train:g} leaves; lower one of the two."
        )
    cut = len(pool) - held
    parts = [np.array(sorted(part), np.int64) for part in (kept, pool[:cut], pool[cut:])]
    chosen = SplitIndices(parts[0], parts[2], parts[1])
    return chosen._replace(notes=_absent(labels, names, chosen))


def _deal(blocks: tuple[list[Pixels], ...], shuffled: Pixels, counts: tuple[int, int, int]) -> None:
    """Append the first, second and last of `shuffled` to the three lists, by `counts`."""
    cuts = np.cumsum(counts)[:-1]
    for block, pixels in zip(blocks, np.split(shuffled, cuts), strict=True):
        block.append(pixels)


def too_few(names: Sequence[str], label: int, pixels: int) -> str:
    """Say where the pixels of a class of one or two went."""
    if pixels == 1:
        return f"{class_name(names, label)} has 1 pixel: it is for training, so the class is not tested."
    return f"{class_name(names, label)} has 2 pixels: one is for training, one for test, none for validation."


def _absent(labels: NDArray[np.int64], names: Sequence[str], parts: SplitIndices) -> tuple[str, ...]:
    """One sentence for each part that lacks classes."""
    flat = labels.ravel()
    present = np.unique(flat[flat > 0])
    words = {"train": "training", "val": "validation", "test": "test"}
    notes = []
    for part, word in words.items():
        missing = np.setdiff1d(present, flat[getattr(parts, part)])
        if len(missing):
            lacking = ", ".join(class_name(names, int(label)) for label in missing)
            notes.append(f"No {word} pixel of: {lacking} (this rule does not stratify).")
    return tuple(notes)
