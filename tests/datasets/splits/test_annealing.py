from __future__ import annotations

from itertools import pairwise, product

import numpy as np
import pytest

from hsi.datasets.splits.annealing import NONE, SUBSETS, TEST, TRAIN, VAL, GapSearch, Problem, Search


def chain(sizes: list[int], targets: tuple[int, ...], cut: float) -> Problem:
    """One class in one field whose cells form a row; each cut costs `cut`."""
    count = len(sizes)
    return Problem(
        label=[0] * count,
        size=sizes,
        first=[0] * count,
        last=[count] * count,
        neighbours=[[(o, cut) for o in (cell - 1, cell + 1) if 0 <= o < count] for cell in range(count)],
        seed_bias=[(0.0,) * (len(targets) + 1)] * count,
        targets=[(0, *targets)],
    )


def held(problem: Problem, regions: tuple[int, ...] | list[int]) -> list[int]:
    """Pixels left out, and in train, val and test."""
    return np.bincount(regions, weights=problem.size, minlength=4).astype(int).tolist()


def expected_cost(problem: Problem, regions: tuple[int, ...], cut: float) -> float:
    """The documented cost of regions that leave nothing out, for a problem of one class."""
    counts, targets = held(problem, regions)[1:], problem.targets[0][1:]
    errors = [abs(count - target) / max(1, target) for count, target in zip(counts, targets, strict=True)]
    present = tuple(count > 0 for count in counts)
    no_test, no_val, only_train = (True, True, False), (True, False, True), (True, False, False)
    absence = {(True,) * 3: 0.0, no_val: 1.0, no_test: 1.5, only_train: 2.0}.get(present, 3.0)
    # Per class 0.5 and overall 1: with one class they are the same error.
    return 6 * absence + 1.5 * sum(errors) + cut * sum(one != two for one, two in pairwise(regions))


@pytest.mark.parametrize("sizes", [[4, 3, 5, 2, 6, 3, 4], [1, 1, 1, 9, 1, 1, 1], [2, 8, 3, 3, 7, 1, 4]])
def test_finds_the_lowest_cost_of_all_regions(sizes: list[int]) -> None:
    problem = chain(sizes, (5, 4, sum(sizes) - 9), cut=0.1)
    costs = []
    for seed in range(4):
        search = Search(problem, seed)
        search.run(2000)
        costs.append(search.cost)
    best = min(expected_cost(problem, regions, 0.1) for regions in product(SUBSETS, repeat=7))
    assert min(costs) == pytest.approx(best)


def test_the_incremental_cost_does_not_drift() -> None:
    random = np.random.default_rng(0)
    problem = chain(random.integers(1, 9, 40).tolist(), (30, 30, 120), cut=0.1)
    search = Search(problem, 1)
    search.run(500)
    assert search.cost == pytest.approx(expected_cost(problem, tuple(search.region), 0.1))
    assert search.counts[0] == held(problem, search.region)


@pytest.mark.parametrize("seed", range(3))
def test_regions_are_separated_and_only_the_gaps_are_left_out(seed: int) -> None:
    count, gap = 60, 4
    problem = chain([3] * count, (30, 24, 126), cut=0.0)
    within = [[o for o in range(count) if o != cell and abs(o - cell) <= gap] for cell in range(count)]
    search = GapSearch(problem, seed, within)
    search.run(4000)
    region = search.region
    for cell, others in enumerate(within):
        around = {region[other] for other in others} - {NONE}
        if region[cell] != NONE:
            assert around <= {region[cell]}
        else:
            assert around & {TRAIN, VAL}
    assert {TRAIN, VAL, TEST} <= set(region)
    assert region.count(NONE) == 2 * gap  # two gaps are the fewest for three regions in a row
    assert (region.count(TRAIN), region.count(VAL)) == (10, 8)
    assert search.counts[0] == held(problem, region)  # also after all the steps that were undone
