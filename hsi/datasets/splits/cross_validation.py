"""The search for areas that are all alike: the folds of a cross-validation.

Split scheme ``disjoint`` with folds: k areas of a scene, of which each is tested once.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import permutations

import numpy as np
from numpy.typing import NDArray

from hsi.datasets.splits.annealing import NONE, PARTS, TEST, TRAIN, VAL, Problem, Search
from hsi.datasets.splits.cells import assign_regions, cut_into_cells
from hsi.datasets.splits.disjoint import apart_regions, area_notes, nearest_regions, within
from hsi.datasets.splits.indices import SplitIndices
from hsi.errors import SplitError

_MISSING_WEIGHT = 2.0  # an area without a class that could be there
_CLASS_WEIGHT = 2.0  # mean relative error of a class's counts
_OVERALL_WEIGHT = 2.0  # the same of all classes together
_MOST_ORDERED = 4  # areas in one field whose orders are all tried at the end


class FoldSearch(Search):
    """`Search` for k areas of equal standing, each to hold the k-th part of every class.

    The cost adds up, in order of weight: areas that lack a class (a class of fewer pixels than areas is to
    be in as many as it has pixels), relative errors of the wanted counts, and borders.

    Parameters
    ----------
    problem, seed
        As for `Search`; the targets say how many areas there are.
    """

    def __init__(self, problem: Problem, seed: int) -> None:
        self.balanced = tuple(range(1, len(problem.targets[0])))
        self.overall_weight = _OVERALL_WEIGHT / len(self.balanced)
        super().__init__(problem, seed)

    def _orders(self, first: int, last: int) -> Iterable[Sequence[int]]:
        """Return the orders of the areas that the field holds: those of all areas would be too many."""
        held = sorted(set(self.area[first:last]))
        rest = [area for area in (NONE, *self.areas) if area not in held]
        if len(held) > _MOST_ORDERED:
            return ()
        return ((*order, *rest) for order in permutations(held))

    def _cost_of(self, label: int) -> float:
        """Return the cost of one class's counts."""
        missing, error = 0, 0.0
        for held, wanted in zip(self.counts[label][1:], self.problem.targets[label][1:], strict=True):
            missing += not held and wanted > 0
            error += abs(held - wanted) / max(1, wanted)
        return _MISSING_WEIGHT * missing + _CLASS_WEIGHT * error / len(self.areas)


Ints = NDArray[np.int64]
Areas = NDArray[np.uint8]

_SLICES_PER_AREA = 5  # an area holds about this many slices of each class
_FEWEST_AREAS = 3  # one for each of test, val and train
_BORDERS_MATTER = 4.0  # with guard "drop", where every border costs pixels on both of its sides


def fold_parts(
    labels: Ints, names: Sequence[str], *, folds: int, fold: int, patch: int, guard: str, seed: int
) -> SplitIndices:
    """Divide a scene into areas, one for each fold: area `fold` is test, the next one val, the others train.

    Each class is spread over the areas as evenly as its fields allow, by the same kind of search as for
    `disjoint_parts`. The areas depend on the labels, `folds`, `guard` and `seed`, not on `fold`: the folds of
    a seed fit together, and each labelled pixel is tested in exactly one of them. Two folds have two areas
    each, since one of them is needed for val. The method is our decision.

    With ``guard="mask"`` a patch sees only pixels of its own part, and no labelled pixel is lost. With
    ``guard="drop"`` patches stay whole. Test keeps all its pixels; a val pixel nearer than `patch` to one of
    test is left out, and so is a train pixel nearer than that to one of test or of what is left of val (the
    buffer of spatial cross-validation).

    Parameters
    ----------
    labels
        Label map ``(rows, cols)``; 0 is unlabelled.
    names
        Class names, class 1 first, for the notes.
    folds, fold
        Number of folds, 2 or more, and the one that is tested, 0 to ``folds - 1``.
    patch
        Odd patch width in pixels.
    guard
        "mask" or "drop".
    seed
        Any integer >= 0; another seed gives other areas.

    Returns
    -------
    Parts
        With the area map as ``regions`` (1 train, 2 val, 3 test), and notes on what could not be met.

    Raises
    ------
    SplitError
        Where the labels have no room for so many areas.
    """
    share = max(1, -(-_FEWEST_AREAS // folds))  # areas of a fold
    count = folds * share
    cells = cut_into_cells(labels, 1 / (count * _SLICES_PER_AREA))
    borders = _BORDERS_MATTER if guard == "drop" else 1.0
    areas = assign_regions(cells, _targets(labels, count), FoldSearch, seed, borders_matter=borders)
    place = (areas.astype(np.int64) - 1 - fold * share) % count  # 0 to share - 1: test, the next: val
    parts = np.select([areas == 0, place < share, place == share], [0, TEST, VAL], TRAIN).astype(np.uint8)
    if guard == "mask":
        regions = nearest_regions(parts)
    else:
        parts[(parts == VAL) & within(parts == TEST, patch - 1)] = 0
        parts[(parts == TRAIN) & within(parts > TRAIN, patch - 1)] = 0
        regions = apart_regions(labels, parts, patch)
    train, val, test = (np.flatnonzero(parts == part) for part in PARTS)
    if not (len(train) and len(val) and len(test)):
        way_out = "fewer folds, a smaller patch or guard='mask'" if guard == "drop" else "fewer folds"
        raise SplitError(
            f"These labels have no room for {count} separate areas with patch {patch}, so fold {fold} of "
            f"{folds} lacks train, val or test pixels; use {way_out}."
        )
    wanted = ((count - share - 1) / count, 1 / count)
    notes = area_notes(labels, names, parts, cells, wanted, guard)
    return SplitIndices(train, val, test, notes, regions)


def _targets(labels: Ints, count: int) -> list[tuple[int, ...]]:
    """Return the wanted pixels of each class that has any: left out (none), then in each of `count` areas.

    Pixels that remain after equal shares go to other areas for each class, so that no area gets them all.
    """
    targets, turn = [], 0
    for total in np.bincount(labels.ravel())[1:].tolist():
        if total:
            share, rest = divmod(total, count)
            extra = {(turn + step) % count for step in range(rest)}
            targets.append((0, *(share + (area in extra) for area in range(count))))
            turn += rest
    return targets
