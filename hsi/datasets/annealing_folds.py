"""The search for areas that are all alike: the folds of a cross-validation."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import permutations

from hsi.datasets.annealing import NONE, Problem, Search

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
