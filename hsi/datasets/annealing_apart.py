"""The search for disjoint areas that keep a distance from each other."""

from __future__ import annotations

from hsi.datasets.annealing import NONE, TEST, TRAIN, VAL, Problem, Search


class ApartSearch(Search):
    """`Search` for areas that must keep a distance: what lies between them is left out.

    Only train and val are chosen. Every other cell is test, unless a train or val cell is within reach of it;
    then it is left out. So a whole band moves in one step. A new train cell throws out val cells in its
    reach, and the reverse. The test count is what remains, so only train and val are held to their overall
    counts; the shares left out of the classes are part of the cost.

    Parameters
    ----------
    problem, seed
        As for `Search`.
    reach
        For each cell, the others that must not be in another area.
    """

    balanced = (TRAIN, VAL)
    overall_weight = 4.0  # the counts are harder to meet here, and this holds what is met

    def __init__(self, problem: Problem, seed: int, reach: list[list[int]]) -> None:
        super().__init__(problem, seed)
        self.reach = reach
        self._chosen_near = [0] * len(reach)  # train and val cells within reach of each cell

    def _set(self, cell: int, new: int, undo: list[tuple[int, int]], labels: set[int]) -> float:
        """Put `cell` into train or val, or release it, with all that follows; borders cost nothing here."""
        area, near = self.area, self._chosen_near
        old = area[cell]
        if old in (new, NONE, TEST) and new in (old, NONE, TEST):
            return 0.0
        undo.append((cell, old))
        chosen = new in (TRAIN, VAL)
        if old in (TRAIN, VAL) and chosen:  # still near the same cells
            self._move(cell, new, labels)
        elif chosen:
            self._move(cell, new, labels)
            for other in self.reach[cell]:
                near[other] += 1
                if area[other] == TEST:
                    self._move(other, NONE, labels)
        else:
            self._move(cell, NONE if near[cell] else TEST, labels)
            for other in self.reach[cell]:
                near[other] -= 1
                if area[other] == NONE and not near[other]:
                    self._move(other, TEST, labels)
        if chosen:
            rival = VAL if new == TRAIN else TRAIN
            for other in self.reach[cell]:
                if area[other] == rival:
                    self._set(other, TEST, undo, labels)
        return 0.0

    def _border_cost(self) -> float:
        """Return 0: areas do not touch."""
        return 0.0
