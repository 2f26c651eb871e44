"""Split schemes that draw single pixels: ``random``, ``paper`` and ``per-class``.

Patches of different subsets overlap, so scores are optimistic; see `hsi.datasets.splits.leakage`. Parameters
are those of `hsi.datasets.splits.schemes.make_split`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hsi.datasets.splits.indices import Pixels, SplitIndices, class_name, class_pixels, concat, subset_counts
from hsi.errors import SplitError


def split_random(
    labels: NDArray[np.int64], names: Sequence[str], *, train: float, val: float, seed: int
) -> SplitIndices:
    """Draw a stratified split: each class gives the same share of its pixels to train, val and test.

    Counts are rounded to the nearest; a class of three or more pixels has at least one in every subset.
    Drawn by ``numpy.random.default_rng(seed)``, class by class in rising order.
    """
    draws, notes = [], []
    for label, pixels in class_pixels(labels):
        draws.append((pixels, subset_counts(len(pixels), train, val)))
        if len(pixels) < 3:
            notes.append(note_tiny_class(names, label, len(pixels)))
    return _draw(draws, notes, seed)


def split_per_class(
    labels: NDArray[np.int64], names: Sequence[str], *, per_class: int, val: float, seed: int
) -> SplitIndices:
    """Draw the same number of training pixels from every class.

    A class of fewer than ``2 * per_class`` pixels gives half of them, so that some are left to score; this is
    noted. Validation is the share `val` of each class's pixels, at least one where the class has three or
    more, and never more than half of what training leaves.
    Drawn by ``numpy.random.default_rng(seed)``, class by class in rising order.
    """
    classes = list(class_pixels(labels))
    largest = max(len(pixels) for _, pixels in classes)
    if per_class >= largest:
        raise SplitError(
            f"per_class={per_class} leaves nothing to test on: the largest class has {largest} pixels; "
            f"ask for at most {max(1, largest // 2)}."
        )
    draws, notes = [], []
    for label, pixels in classes:
        total = len(pixels)
        train_count = max(1, min(per_class, total // 2))
        val_count = min(max(1, int(val * total + 0.5)), (total - train_count) // 2)
        draws.append((pixels, (train_count, val_count, total - train_count - val_count)))
        if total < 3:
            notes.append(note_tiny_class(names, label, total))
        elif train_count < per_class:
            notes.append(
                f"{class_name(names, label)} has {total} pixels: "
                f"{train_count} are for training instead of {per_class}."
            )
    return _draw(draws, notes, seed)


def _draw(draws: list[tuple[Pixels, tuple[int, int, int]]], notes: list[str], seed: int) -> SplitIndices:
    """Draw train, val and test from the pixels of each class, by their counts."""
    generator = np.random.default_rng(seed)
    drawn = [np.split(generator.permutation(pixels), np.cumsum(counts)[:-1]) for pixels, counts in draws]
    train, val, test = (concat(blocks) for blocks in zip(*drawn, strict=True))
    return SplitIndices(train, val, test, tuple(notes))


def split_paper(
    labels: NDArray[np.int64], names: Sequence[str], *, train: float, val: float, seed: int
) -> SplitIndices:
    """Split by the rule of the released code of KANet and EKGNet (the papers' 6:1:3 for train 0.6, val 0.1).

    For each class of n pixels, shuffled, the last ``max(int((1 - train) * n), 3)`` go to a hold-out pool and
    the rest to train. The pool is shuffled; its last ``int(val * N)`` pixels (N labelled ones in all) are val
    and the others test, so val and test are *not* stratified and may lack a rare class, which is noted.

    `seed` goes to ``numpy.random.RandomState`` unchanged. Run k of the released code (k = 0, 1, ...) calls
    ``np.random.seed(1331 + k)``, so give ``seed=1331 + k``. Shuffled in this order from that one generator:
    classes 1..C, the training list, the pool. Subset sizes equal the released code's; that the pixels are
    the same is not claimed.
    """
    generator = np.random.RandomState(seed)
    kept: list[int] = []
    pool: list[int] = []
    labelled = 0
    for _, pixels in class_pixels(labels):
        shuffled = pixels.tolist()
        generator.shuffle(shuffled)
        held_out = max(int((1 - train) * len(shuffled)), 3)
        kept += shuffled[:-held_out]
        pool += shuffled[-held_out:]
        labelled += len(shuffled)
    generator.shuffle(kept)
    generator.shuffle(pool)
    val_count = int(val * labelled)
    if val_count >= len(pool):
        raise SplitError(
            f"val={val:g} takes all {len(pool)} pixels that train={train:g} leaves; lower one of the two."
        )
    cut = len(pool) - val_count
    train_pixels, test, val_pixels = (
        np.array(sorted(pixels), np.int64) for pixels in (kept, pool[:cut], pool[cut:])
    )
    subsets = {"training": train_pixels, "validation": val_pixels, "test": test}
    notes = absence_notes(labels, names, subsets, "this rule does not stratify")
    return SplitIndices(train_pixels, val_pixels, test, notes)


def note_tiny_class(names: Sequence[str], label: int, pixels: int) -> str:
    """Return the note on a class of one or two pixels."""
    if pixels == 1:
        return f"{class_name(names, label)} has 1 pixel: it is for training, so the class is not tested."
    return f"{class_name(names, label)} has 2 pixels: one is for training, one for test, none for validation."


def absence_notes(
    labels: NDArray[np.int64], names: Sequence[str], subsets: dict[str, Pixels], reason: str
) -> tuple[str, ...]:
    """Return a sentence for each of `subsets` (word -> pixels) that lacks classes."""
    present = np.unique(labels[labels > 0])
    notes = []
    for word, pixels in subsets.items():
        missing = np.setdiff1d(present, labels.ravel()[pixels])
        if len(missing):
            listed = ", ".join(class_name(names, int(label)) for label in missing)
            notes.append(f"No {word} pixel of: {listed} ({reason}).")
    return tuple(notes)
