"""What a division into areas could not meet, as sentences."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hsi.datasets.annealing import PARTS
from hsi.datasets.fields import Cells
from hsi.datasets.parts import class_name
from hsi.datasets.sampling import too_few

Ints = NDArray[np.int64]

_FEW_PIXELS = 5  # smaller parts of a class are named
_NEAR_ENOUGH = 0.25  # larger relative errors of a class's share are named


def area_notes(
    labels: Ints,
    names: Sequence[str],
    areas: NDArray[np.uint8],
    cells: Cells,
    wanted: tuple[float, float],
    guard: str,
) -> tuple[str, ...]:
    """Say what could not be met, a sentence for each kind.

    Parameters
    ----------
    labels, names
        Label map ``(rows, cols)``, 0 unlabelled; class names, class 1 first.
    areas
        ``(rows, cols)`` part of each labelled pixel: 1 train, 2 val, 3 test, 0 left out.
    cells
        The cells that the areas are made of.
    wanted
        Wanted shares of train and val.
    guard
        "mask" or "drop".
    """
    classes = int(labels.max()) + 1
    total = np.bincount(labels.ravel(), minlength=classes)
    counts = np.stack([np.bincount(labels[areas == part], minlength=classes) for part in PARTS])
    present = [label for label in range(1, classes) if total[label]]
    notes = [
        too_few(names, label, int(total[label])) for label in present if guard == "mask" and total[label] < 3
    ]
    lost = int(total[1:].sum() - counts[:, 1:].sum())
    if lost:
        notes.append(f"{lost} of {total[1:].sum()} labelled pixels lie between the areas and are left out.")
    for row, word in zip(counts, ("training", "validation", "test"), strict=True):
        lacking = [
            class_name(names, label) for label in present if not row[label] and (lost or total[label] > 2)
        ]
        if lacking:
            notes.append(
                f"No {word} pixel of: {', '.join(lacking)}; their fields are too small or too close."
            )
    for row, share, word in zip(counts, wanted, ("Training", "Validation"), strict=False):
        reached = row.sum() / total[1:].sum()
        if abs(reached - share) > _NEAR_ENOUGH * share:
            notes.append(f"{word} holds {reached:.2f} of all labelled pixels instead of {share:g}.")
        off = [
            f"{class_name(names, label)} {row[label] / total[label]:.2f}"
            for label in present
            if row[label]
            and abs(row[label] - share * total[label]) > max(1.0, _NEAR_ENOUGH * share * total[label])
        ]
        if off:
            notes.append(
                f"{word} share differs from {share:g} by more than a quarter of it for: {', '.join(off)}."
            )
    small = [
        f"{class_name(names, label)} {'/'.join(str(row[label]) for row in counts)}"
        for label in present
        if total[label] > 2 and (counts[:, label] > 0).all() and counts[:, label].min() < _FEW_PIXELS
    ]
    if small:
        notes.append(f"Fewer than {_FEW_PIXELS} pixels (train/val/test) in a part: {', '.join(small)}.")
    cut = _cut_classes(cells, areas) if guard == "mask" else []
    if cut:
        listed = ", ".join(class_name(names, label) for label in cut)
        notes.append(f"Fields are cut, so that areas touch inside them, for: {listed}.")
    return tuple(notes)


def _cut_classes(cells: Cells, areas: NDArray[np.uint8]) -> list[int]:
    """Return the classes that have a field in more than one area."""
    inside = cells.index >= 0
    cell = cells.index[inside]
    pairs = np.unique(np.stack([cells.field[cell], areas[inside], cells.label[cell]]), axis=1)
    fields, parts = np.unique(pairs[0], return_counts=True)
    return [int(label) for label in np.unique(pairs[2][np.isin(pairs[0], fields[parts > 1])])]
