"""Simulated annealing that assigns the cells of a scene's fields to the regions of a disjoint split."""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import permutations

NONE, TRAIN, VAL, TEST = 0, 1, 2, 3
SUBSETS = (TRAIN, VAL, TEST)

# Cost by which subsets hold a class, as a set of bits 1 train, 2 val, 4 test. Test pixels of a class that is
# never learnt are worse than none of that class.
_PRESENCE = {7: 0.0, 5: 1.0, 3: 1.5, 1: 2.0, 0: 2.5, 2: 3.0, 4: 3.0, 6: 3.0}
_PRESENCE_WEIGHT = 6.0
_CLASS_WEIGHT = 0.5  # relative error of a class's counts
_OVERALL_WEIGHT = 1.0  # the same of all classes together; more would hold back large classes
_LEFT_OUT_WEIGHT = 0.5  # share of a class that is left out
_START_TEMPERATURE, _END_TEMPERATURE = 1.0, 0.005  # in units of the cost


@dataclass(frozen=True)
class Problem:
    """The n cells to assign, as plain lists, which are faster to read one by one than arrays.

    Attributes
    ----------
    label, size
        Class (0..C-1 here) and number of pixels of each cell.
    first, last
        First cell of each cell's field, and one past its last. The cells of a field are numbered in order.
    neighbours
        For each cell, (other cell, cost if the two are in different regions).
    seed_bias
        For each cell, small costs of being left out and of being in region 1, 2, ..., which vary by seed.
    targets
        For each class, target pixels: left out, then in region 1, 2, .... Train, val and test are 1 to 3.
    """

    label: list[int]
    size: list[int]
    first: list[int]
    last: list[int]
    neighbours: list[list[tuple[int, float]]]
    seed_bias: list[tuple[float, ...]]
    targets: list[tuple[int, ...]]


class Search:
    """Assigns every cell to a region (train, val or test) at the lowest cost found.

    The cost is the sum, by decreasing weight, of: subsets that lack a class; relative errors of the counts,
    per class and overall; and borders between regions. A step changes one segment (consecutive cells of a
    field in the same region), makes or moves a cut, rearranges a field, or exchanges two segments of a class.
    """

    balanced: tuple[int, ...] = SUBSETS  # regions whose overall counts have a target
    overall_weight = _OVERALL_WEIGHT

    def __init__(self, problem: Problem, seed: int) -> None:
        self.problem = problem
        self.random = random.Random(seed)
        self.regions = range(1, len(problem.targets[0]))
        self.region = [self.regions[-1]] * len(problem.size)  # of each cell
        self._bias_cost = sum(bias[-1] for bias in problem.seed_bias)
        self.counts = [[0] * len(targets) for targets in problem.targets]
        self._cells_of: list[list[int]] = [[] for _ in problem.targets]
        for cell, (label, size) in enumerate(zip(problem.label, problem.size, strict=True)):
            self.counts[label][-1] += size
            self._cells_of[label].append(cell)
        self._totals = [max(1, sum(column)) for column in zip(*problem.targets, strict=True)]
        self._class_costs = [self._class_cost(label) for label in range(len(problem.targets))]
        self._overall = self._overall_cost()

    @property
    def cost(self) -> float:
        """The cost of the current regions."""
        return sum(self._class_costs) + self._overall + self._border_cost() + self._bias_cost

    def run(self, steps: int) -> None:
        """Anneal for `steps` steps, then apply every small change that lowers the cost."""
        cooling = (_END_TEMPERATURE / _START_TEMPERATURE) ** (1 / max(1, steps))
        temperature = _START_TEMPERATURE
        cells = len(self.region)
        for _ in range(steps):
            temperature *= cooling
            self._try(self._propose(int(self.random.random() * cells)), temperature)
        for first, last in sorted(set(zip(self.problem.first, self.problem.last, strict=True))):
            for order in self._orders(first, last):
                self._try(self._rearrange(first, last, order), 0.0)
        for cell in range(cells):
            for region in self.regions:
                self._try([(cell, region)], 0.0)

    def _orders(self, first: int, last: int) -> Iterable[Sequence[int]]:
        """Return the orders of regions to try in a field at the end."""
        return permutations((NONE, *self.regions))

    def _propose(self, cell: int) -> list[tuple[int, int]]:
        """Return a random change near `cell`, as (cell, new region)."""
        region, chance = self.region, self.random.random()
        first, last = self.problem.first[cell], self.problem.last[cell]
        start, stop = self._segment(cell)
        if chance < 0.1:  # make a cut
            new = self._other(region[cell])
            return [(one, new) for one in (range(start, cell + 1) if chance < 0.05 else range(cell, stop))]
        if chance < 0.35 and stop - start < last - first:  # move a cut at one end of the segment
            if start > first and (stop == last or chance < 0.225):
                return [(one, region[start - 1]) for one in range(start, min(stop, start + self._few()))]
            return [(one, region[stop]) for one in range(max(start, stop - self._few()), stop)]
        if chance < 0.55:  # the whole segment
            new = self._other(region[cell])
            return [(one, new) for one in range(start, stop)]
        if chance < 0.65:  # the whole field
            new = self._other(region[cell])
            return [(one, new) for one in range(first, last)]
        if chance < 0.8 and self.problem.neighbours[cell]:  # join a neighbour's region
            new = region[self.random.choice(self.problem.neighbours[cell])[0]]
            return [(one, new) for one in range(start, stop)]
        if chance < 0.85 and stop - start < last - first:
            order = list(range(len(self.regions) + 1))
            self.random.shuffle(order)
            return self._rearrange(first, last, order)
        return self._exchange(cell, self.random.choice(self._cells_of[self.problem.label[cell]]))

    def _exchange(self, cell: int, partner: int) -> list[tuple[int, int]]:
        """Exchange `cell`'s segment with that of `partner`, or with a piece of it of about the same size."""
        size = self.problem.size
        start, stop = self._segment(cell)
        low, high = self._segment(partner)
        missing = sum(size[start:stop])
        if sum(size[low:high]) > missing:
            end, low, high = high, partner, partner
            while missing > 0 and high < end:
                missing -= size[high]
                high += 1
        here, there = self.region[cell], self.region[partner]
        return [(one, there) for one in range(start, stop)] + [(one, here) for one in range(low, high)]

    def _rearrange(self, first: int, last: int, order: Sequence[int]) -> list[tuple[int, int]]:
        """Give each region one segment of the field, as large as all its segments there, in `order`."""
        pixels = [0] * (len(self.regions) + 1)
        for cell in range(first, last):
            pixels[self.region[cell]] += self.problem.size[cell]
        changes, turn, done, end = [], 0, 0, pixels[order[0]]
        for cell in range(first, last):
            size = self.problem.size[cell]
            while 2 * done + size > 2 * end:  # the cell's middle lies past the segment's end
                turn += 1
                end += pixels[order[turn]]
            changes.append((cell, order[turn]))
            done += size
        return changes

    def _segment(self, cell: int) -> tuple[int, int]:
        """Return the first cell of `cell`'s segment, and one past its last."""
        region, first, last = self.region, self.problem.first[cell], self.problem.last[cell]
        start, stop, here = cell, cell + 1, region[cell]
        while start > first and region[start - 1] == here:
            start -= 1
        while stop < last and region[stop] == here:
            stop += 1
        return start, stop

    def _few(self) -> int:
        """Return 1 to 4, small numbers more often."""
        return 1 + int(4 * self.random.random() ** 2)

    def _other(self, region: int) -> int:
        return self.random.choice([other for other in self.regions if other != region])

    def _try(self, changes: list[tuple[int, int]], temperature: float) -> None:
        """Apply `changes`; undo them if the cost rises and the Metropolis criterion rejects that."""
        undo: list[tuple[int, int]] = []
        labels: set[int] = set()
        rise = -self._bias_cost
        for cell, new in changes:
            rise += self._set(cell, new, undo, labels)
        if not undo:
            return
        costs = {label: self._class_cost(label) for label in sorted(labels)}
        overall = self._overall_cost()
        rise += self._bias_cost + overall - self._overall
        for label, cost in costs.items():
            rise += cost - self._class_costs[label]
        if rise <= 0 or (temperature > 0 and self.random.random() < math.exp(-rise / temperature)):
            for label, cost in costs.items():
                self._class_costs[label] = cost
            self._overall = overall
        else:
            for cell, old in reversed(undo):
                self._set(cell, old, [], labels)

    def _set(self, cell: int, new: int, undo: list[tuple[int, int]], labels: set[int]) -> float:
        """Put `cell` into region `new` and return the change of the border cost.

        Appends the old region to `undo`, and adds the classes whose counts change to `labels`.
        """
        region = self.region
        old = region[cell]
        if old == new:
            return 0.0
        undo.append((cell, old))
        change = 0.0
        for other, cost in self.problem.neighbours[cell]:
            there = region[other]
            if there == old:
                change += cost
            elif there == new:
                change -= cost
        self._move(cell, new, labels)
        return change

    def _move(self, cell: int, new: int, labels: set[int]) -> None:
        """Update the region of `cell`, the counts and the bias."""
        label, size, old = self.problem.label[cell], self.problem.size[cell], self.region[cell]
        counts, bias = self.counts[label], self.problem.seed_bias[cell]
        counts[old] -= size
        counts[new] += size
        self._bias_cost += bias[new] - bias[old]
        self.region[cell] = new
        labels.add(label)

    def _border_cost(self) -> float:
        region = self.region
        return 0.5 * sum(  # each border is listed at both of its cells
            cost
            for cell, others in enumerate(self.problem.neighbours)
            for other, cost in others
            if region[cell] != region[other]
        )

    def _class_cost(self, label: int) -> float:
        """Return the cost of one class's counts."""
        left_out, train, val, test = self.counts[label]
        _, target_train, target_val, target_test = self.problem.targets[label]
        present = (train > 0) + 2 * (val > 0) + 4 * (test > 0)
        error = (
            abs(train - target_train) / max(1, target_train)
            + abs(val - target_val) / max(1, target_val)
            + abs(test - target_test) / max(1, target_test)
        )
        lost = left_out / (target_train + target_val + target_test)
        return _PRESENCE_WEIGHT * _PRESENCE[present] + _CLASS_WEIGHT * error + _LEFT_OUT_WEIGHT * lost

    def _overall_cost(self) -> float:
        """Return the cost of the counts of all classes together."""
        error = 0.0
        for region in self.balanced:
            total = 0
            for counts in self.counts:
                total += counts[region]
            error += abs(total - self._totals[region]) / self._totals[region]
        return self.overall_weight * error


class GapSearch(Search):
    """`Search` for regions that keep a distance: the cells between them are left out.

    Only train and val are chosen. Every other cell is test, unless a train or val cell is near; then it is
    left out, so a whole gap moves in one step. A new train cell releases the val cells near it, and the
    reverse. The test count is what remains, so only train and val have overall targets.

    Parameters
    ----------
    problem, seed
        As for `Search`.
    within
        For each cell, the others so near that they must not be in another region.
    """

    balanced = (TRAIN, VAL)
    overall_weight = 4.0  # counts are harder to meet here

    def __init__(self, problem: Problem, seed: int, within: list[list[int]]) -> None:
        super().__init__(problem, seed)
        self.within = within
        self._chosen_near = [0] * len(within)  # number of train and val cells near each cell

    def _set(self, cell: int, new: int, undo: list[tuple[int, int]], labels: set[int]) -> float:
        """Put `cell` into train or val, or release it, and update the gaps; borders cost nothing here."""
        region, near = self.region, self._chosen_near
        old = region[cell]
        if old in (new, NONE, TEST) and new in (old, NONE, TEST):
            return 0.0
        undo.append((cell, old))
        chosen = new in (TRAIN, VAL)
        if old in (TRAIN, VAL) and chosen:  # still near the same cells
            self._move(cell, new, labels)
        elif chosen:
            self._move(cell, new, labels)
            for other in self.within[cell]:
                near[other] += 1
                if region[other] == TEST:
                    self._move(other, NONE, labels)
        else:
            self._move(cell, NONE if near[cell] else TEST, labels)
            for other in self.within[cell]:
                near[other] -= 1
                if region[other] == NONE and not near[other]:
                    self._move(other, TEST, labels)
        if chosen:
            rival = VAL if new == TRAIN else TRAIN
            for other in self.within[cell]:
                if region[other] == rival:
                    self._set(other, TEST, undo, labels)
        return 0.0

    def _border_cost(self) -> float:
        return 0.0
