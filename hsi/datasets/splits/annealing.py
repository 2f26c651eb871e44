"""The search for disjoint areas: simulated annealing over the cells of a scene's fields.

The search for disjoint areas that keep a distance from each other.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import permutations

NONE, TRAIN, VAL, TEST = 0, 1, 2, 3
PARTS = (TRAIN, VAL, TEST)

# Cost of the parts that hold a class, as a set of bits 1 train, 2 val, 4 test (our decision). All three come
# first. Then what can be learnt and scored; test pixels of a class that is never learnt are worse than none
# of that class.
_PRESENCE = {7: 0.0, 5: 1.0, 3: 1.5, 1: 2.0, 0: 2.5, 2: 3.0, 4: 3.0, 6: 3.0}
_PRESENCE_WEIGHT = 6.0
_CLASS_WEIGHT = 0.5  # relative error of a class's counts
# The same of all classes together; with more, a large class that moves to its wanted counts slice by slice
# would be held back.
_OVERALL_WEIGHT = 1.0
_LOSS_WEIGHT = 0.5  # share of a class that is left out
_WARM, _COLD = 1.0, 0.005  # temperatures, in units of the cost


@dataclass(frozen=True)
class Problem:
    """What the search needs to know of n cells, in plain lists since it reads them one by one.

    Attributes
    ----------
    label, size
        Class (0..C-1 here) and pixels of each cell.
    first, last
        First cell of each cell's field, and the one behind its last: cells of a field are neighbours in
        number.
    meets
        For each cell, (other cell, cost if the two are in different areas).
    taste
        For each cell, small costs of being left out and of being in area 1, 2, ..., by which seeds differ.
    targets
        For each class, wanted pixels: left out, then in area 1, 2, .... Train, val and test are areas 1 to 3.
    """

    label: list[int]
    size: list[int]
    first: list[int]
    last: list[int]
    meets: list[list[tuple[int, float]]]
    taste: list[tuple[float, ...]]
    targets: list[tuple[int, ...]]


class Search:
    """Assigns every cell to an area (train, val or test), at the lowest cost it finds.

    The cost adds up, in order of weight: parts that lack a class; relative errors of the wanted counts, of
    each class and of all together; and borders between areas. One step changes one run (neighbouring cells of
    a field that share an area), moves or makes a cut, lays a field out anew, or exchanges two runs of a
    class; a change that makes the cost worse is kept with a probability that falls as the search cools.

    Parameters
    ----------
    problem
        The cells.
    seed
        Any integer; the same seed gives the same areas.
    """

    balanced: tuple[int, ...] = PARTS  # parts whose overall counts are held to the wanted ones
    overall_weight = _OVERALL_WEIGHT

    def __init__(self, problem: Problem, seed: int) -> None:
        self.problem = problem
        self.random = random.Random(seed)
        self.areas = range(1, len(problem.targets[0]))
        self.area = [self.areas[-1]] * len(problem.size)
        self._taste = sum(taste[-1] for taste in problem.taste)
        self.counts = [[0] * len(targets) for targets in problem.targets]
        self.members: list[list[int]] = [[] for _ in problem.targets]
        for cell, (label, size) in enumerate(zip(problem.label, problem.size, strict=True)):
            self.counts[label][-1] += size
            self.members[label].append(cell)
        self.wanted = [max(1, sum(column)) for column in zip(*problem.targets, strict=True)]
        self._class_cost = [self._cost_of(label) for label in range(len(problem.targets))]
        self._overall_cost = self._overall()

    @property
    def cost(self) -> float:
        """The cost of the areas as they are now."""
        return sum(self._class_cost) + self._overall_cost + self._border_cost() + self._taste

    def run(self, steps: int) -> None:
        """Anneal for `steps` steps, then take every small change that helps; `area` holds the outcome."""
        cooling = (_COLD / _WARM) ** (1 / max(1, steps))
        temperature = _WARM
        cells = len(self.area)
        for _ in range(steps):
            temperature *= cooling
            self._try(self._propose(int(self.random.random() * cells)), temperature)
        for first, last in sorted(set(zip(self.problem.first, self.problem.last, strict=True))):
            for order in self._orders(first, last):
                self._try(self._laid_out(first, last, order), 0.0)
        for cell in range(cells):
            for area in self.areas:
                self._try([(cell, area)], 0.0)

    def _orders(self, first: int, last: int) -> Iterable[Sequence[int]]:
        """Return the orders in which the areas of a field are tried to be laid out."""
        return permutations((NONE, *self.areas))

    def _propose(self, cell: int) -> list[tuple[int, int]]:
        """Return one change near `cell`, as (cell, new area)."""
        area, chance = self.area, self.random.random()
        first, last = self.problem.first[cell], self.problem.last[cell]
        start, stop = self._run(cell)
        if chance < 0.1:  # make a cut
            new = self._other(area[cell])
            return [(one, new) for one in (range(start, cell + 1) if chance < 0.05 else range(cell, stop))]
        if chance < 0.35 and stop - start < last - first:  # move a cut at one end of the run
            if start > first and (stop == last or chance < 0.225):
                return [(one, area[start - 1]) for one in range(start, min(stop, start + self._few()))]
            return [(one, area[stop]) for one in range(max(start, stop - self._few()), stop)]
        if chance < 0.55:
            new = self._other(area[cell])
            return [(one, new) for one in range(start, stop)]
        if chance < 0.65:
            new = self._other(area[cell])
            return [(one, new) for one in range(first, last)]
        if chance < 0.8 and self.problem.meets[cell]:
            beside = area[self.random.choice(self.problem.meets[cell])[0]]
            return [(one, beside) for one in range(start, stop)]
        if chance < 0.85 and stop - start < last - first:  # one run for each area, in any order
            order = list(range(len(self.areas) + 1))
            self.random.shuffle(order)
            return self._laid_out(first, last, order)
        return self._exchange(cell, self.random.choice(self.members[self.problem.label[cell]]))

    def _exchange(self, cell: int, partner: int) -> list[tuple[int, int]]:
        """Return the exchange of `cell`'s run with that of `partner`, or with as large a piece of it."""
        size = self.problem.size
        start, stop = self._run(cell)
        low, high = self._run(partner)
        wanted = sum(size[start:stop])
        if sum(size[low:high]) > wanted:
            end, low, high = high, partner, partner
            while wanted > 0 and high < end:
                wanted -= size[high]
                high += 1
        here, there = self.area[cell], self.area[partner]
        return [(one, there) for one in range(start, stop)] + [(one, here) for one in range(low, high)]

    def _laid_out(self, first: int, last: int, order: Sequence[int]) -> list[tuple[int, int]]:
        """Return the change that joins each area of a field to one run of the same size, in `order`."""
        held = [0] * (len(self.areas) + 1)
        for cell in range(first, last):
            held[self.area[cell]] += self.problem.size[cell]
        changes, turn, done, end = [], 0, 0, held[order[0]]
        for cell in range(first, last):
            size = self.problem.size[cell]
            while 2 * done + size > 2 * end:  # the cell's middle lies behind the run's end
                turn += 1
                end += held[order[turn]]
            changes.append((cell, order[turn]))
            done += size
        return changes

    def _run(self, cell: int) -> tuple[int, int]:
        """Return the first cell of `cell`'s run, and the one behind its last."""
        area, first, last = self.area, self.problem.first[cell], self.problem.last[cell]
        start, stop, here = cell, cell + 1, area[cell]
        while start > first and area[start - 1] == here:
            start -= 1
        while stop < last and area[stop] == here:
            stop += 1
        return start, stop

    def _few(self) -> int:
        """Return 1 to 4, small ones more often."""
        return 1 + int(4 * self.random.random() ** 2)

    def _other(self, area: int) -> int:
        """Return another area at random."""
        return self.random.choice([other for other in self.areas if other != area])

    def _try(self, changes: list[tuple[int, int]], temperature: float) -> None:
        """Make `changes`, and undo them if the cost is not acceptable."""
        undo: list[tuple[int, int]] = []
        labels: set[int] = set()
        rise = -self._taste
        for cell, new in changes:
            rise += self._set(cell, new, undo, labels)
        if not undo:
            return
        costs = {label: self._cost_of(label) for label in sorted(labels)}
        overall = self._overall()
        rise += self._taste + overall - self._overall_cost
        for label, cost in costs.items():
            rise += cost - self._class_cost[label]
        if rise <= 0 or (temperature > 0 and self.random.random() < math.exp(-rise / temperature)):
            for label, cost in costs.items():
                self._class_cost[label] = cost
            self._overall_cost = overall
        else:
            for cell, old in reversed(undo):
                self._set(cell, old, [], labels)

    def _set(self, cell: int, new: int, undo: list[tuple[int, int]], labels: set[int]) -> float:
        """Put `cell` into area `new` and return the change of the border cost.

        What was goes to `undo`, the classes whose counts change to `labels`.
        """
        area = self.area
        old = area[cell]
        if old == new:
            return 0.0
        undo.append((cell, old))
        change = 0.0
        for other, cost in self.problem.meets[cell]:
            there = area[other]
            if there == old:
                change += cost
            elif there == new:
                change -= cost
        self._move(cell, new, labels)
        return change

    def _move(self, cell: int, new: int, labels: set[int]) -> None:
        """Record that `cell` now counts for `new`."""
        label, size = self.problem.label[cell], self.problem.size[cell]
        counts = self.counts[label]
        counts[self.area[cell]] -= size
        counts[new] += size
        taste = self.problem.taste[cell]
        self._taste += taste[new] - taste[self.area[cell]]
        self.area[cell] = new
        labels.add(label)

    def _border_cost(self) -> float:
        """Return the cost of all borders between areas; each is listed at both of its cells."""
        area = self.area
        return 0.5 * sum(
            cost
            for cell, others in enumerate(self.problem.meets)
            for other, cost in others
            if area[cell] != area[other]
        )

    def _cost_of(self, label: int) -> float:
        """Return the cost of one class's counts."""
        left_out, train, val, test = self.counts[label]
        _, want_train, want_val, want_test = self.problem.targets[label]
        present = (train > 0) + 2 * (val > 0) + 4 * (test > 0)
        error = (
            abs(train - want_train) / max(1, want_train)
            + abs(val - want_val) / max(1, want_val)
            + abs(test - want_test) / max(1, want_test)
        )
        lost = left_out / (want_train + want_val + want_test)
        return _PRESENCE_WEIGHT * _PRESENCE[present] + _CLASS_WEIGHT * error + _LOSS_WEIGHT * lost

    def _overall(self) -> float:
        """Return the cost of the counts of all classes together."""
        error = 0.0
        for part in self.balanced:
            total = 0
            for counts in self.counts:
                total += counts[part]
            error += abs(total - self.wanted[part]) / self.wanted[part]
        return self.overall_weight * error


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
