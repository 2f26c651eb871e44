"""Split scheme ``disjoint`` with folds: k regions of equal standing, each tested once (cross-validation)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from itertools import permutations

import numpy as np
from numpy.typing import NDArray

from hsi.datasets.splits.annealing import NONE, TEST, TRAIN, VAL, Problem, Search
from hsi.datasets.splits.cells import assign_regions, cut_into_cells
from hsi.datasets.splits.disjoint import nearest_regions, region_indices, region_notes, separate_regions
from hsi.datasets.splits.indices import SplitIndices
from hsi.datasets.splits.leakage import dilate

_MISSING_WEIGHT = 2.0  # a region without a class that could be there
_CLASS_WEIGHT = 2.0  # mean relative error of a class's counts
_OVERALL_WEIGHT = 2.0  # the same of all classes together
_MOST_PERMUTED = 4  # regions in one field whose orders are all tried at the end

_SLICES_PER_REGION = 5  # a region holds about this many slices of each class
_FEWEST_REGIONS = 3  # one each for test, val and train
_DROP_BORDER_WEIGHT = 4.0  # with guard "drop", where every border costs pixels on both of its sides


def split_fold(
    labels: NDArray[np.int64],
    names: Sequence[str],
    *,
    folds: int,
    fold: int,
    patch: int,
    guard: str,
    seed: int,
) -> SplitIndices:
    """Divide a scene into regions, one for each fold: region `fold` is test, the next val, the others train.

    Each class is spread over the regions as evenly as its fields allow, by the same kind of search as in
    `split_disjoint`. The regions depend on the labels, `folds`, `guard` and `seed`, not on `fold`: each
    labelled pixel is tested in exactly one fold of a seed. Two folds have two regions each, since val needs
    one.

    With ``guard="mask"`` a patch sees only pixels of its own subset, and no labelled pixel is lost. With
    ``guard="drop"`` patches stay whole. Test keeps all its pixels; a val pixel nearer than `patch` to a test
    pixel is left out, and so is a train pixel nearer than that to a test or remaining val pixel (the buffer
    of spatial cross-validation).

    Parameters are those of `make_split`; raises SplitError where the labels have no room for the regions.
    """
    per_fold = max(1, -(-_FEWEST_REGIONS // folds))
    count = folds * per_fold
    cells = cut_into_cells(labels, 1 / (count * _SLICES_PER_REGION))
    weight = _DROP_BORDER_WEIGHT if guard == "drop" else 1.0
    regions = assign_regions(cells, _targets(labels, count), FoldSearch, seed, border_weight=weight)
    place = (regions.astype(np.int64) - 1 - fold * per_fold) % count  # 0 to per_fold - 1: test; next: val
    assigned = np.select([regions == 0, place < per_fold, place == per_fold], [0, TEST, VAL], TRAIN)
    assigned = assigned.astype(np.uint8)
    if guard == "mask":
        regions = nearest_regions(assigned)
    else:
        assigned[(assigned == VAL) & dilate(assigned == TEST, patch - 1)] = 0
        assigned[(assigned == TRAIN) & dilate(assigned > TRAIN, patch - 1)] = 0
        regions = separate_regions(labels, assigned, patch)
    alternative = "fewer folds, a smaller patch or guard='mask'" if guard == "drop" else "fewer folds"
    no_room = (
        f"{count} separate regions with patch {patch}, so fold {fold} of {folds} lacks train, val or test "
        f"pixels; use {alternative}."
    )
    shares = ((count - per_fold - 1) / count, 1 / count)
    notes = partial(region_notes, labels, names, assigned, cells, shares, guard)
    return region_indices(assigned, regions, notes, no_room)


def _targets(labels: NDArray[np.int64], count: int) -> list[tuple[int, ...]]:
    """Return the target pixels of each class that has any: left out (none), then in each of `count` regions.

    The remainder after equal shares goes to other regions for each class, so that no region gets them all.
    """
    targets, turn = [], 0
    for total in np.bincount(labels.ravel())[1:].tolist():
        if total:
            share, rest = divmod(total, count)
            extra = {(turn + step) % count for step in range(rest)}
            targets.append((0, *(share + (region in extra) for region in range(count))))
            turn += rest
    return targets


class FoldSearch(Search):
    """`Search` for k regions of equal standing, each to hold the k-th part of every class.

    The cost is the sum, by decreasing weight, of: regions that lack a class (a class of fewer pixels than
    regions is to be in as many as it has pixels), relative errors of the counts, and borders.
    """

    def __init__(self, problem: Problem, seed: int) -> None:
        self.balanced = tuple(range(1, len(problem.targets[0])))
        self.overall_weight = _OVERALL_WEIGHT / len(self.balanced)
        super().__init__(problem, seed)

    def _orders(self, first: int, last: int) -> Iterable[Sequence[int]]:
        """Return the orders of the regions in the field: those of all regions would be too many."""
        inside = sorted(set(self.region[first:last]))
        if len(inside) > _MOST_PERMUTED:
            return ()
        rest = [region for region in (NONE, *self.regions) if region not in inside]
        return ((*order, *rest) for order in permutations(inside))

    def _class_cost(self, label: int) -> float:
        missing, error = 0, 0.0
        for count, target in zip(self.counts[label][1:], self.problem.targets[label][1:], strict=True):
            missing += not count and target > 0
            error += abs(count - target) / max(1, target)
        return _MISSING_WEIGHT * missing + _CLASS_WEIGHT * error / len(self.regions)
