from __future__ import annotations

from itertools import pairwise, product

import numpy as np
import pytest

from hsi.datasets.annealing import Problem
from hsi.datasets.annealing_folds import FoldSearch


def chain(sizes: list[int], targets: tuple[int, ...], cut: float) -> Problem:
    """One class in one field whose cells stand in a row; each cut costs `cut`."""
    count = len(sizes)
    return Problem(
        label=[0] * count,
        size=sizes,
        first=[0] * count,
        last=[count] * count,
        meets=[[(o, cut) for o in (cell - 1, cell + 1) if 0 <= o < count] for cell in range(count)],
        taste=[(0.0,) * (len(targets) + 1)] * count,
        targets=[(0, *targets)],
    )


def written_out(problem: Problem, areas: tuple[int, ...], cut: float) -> float:
    """The cost of given areas, by the formula of the class's words."""
    targets = problem.targets[0][1:]
    held = [
        sum(size for size, area in zip(problem.size, areas, strict=True) if area == number)
        for number in range(1, len(targets) + 1)
    ]
    errors = [abs(h - t) / max(1, t) for h, t in zip(held, targets, strict=True)]
    missing = sum(not h and t > 0 for h, t in zip(held, targets, strict=True))
    cuts = sum(one != two for one, two in pairwise(areas))
    # Classes and all together weigh 2 each; with one class they are the same error.
    return 2.0 * missing + (2.0 + 2.0) * sum(errors) / len(targets) + cut * cuts


@pytest.mark.parametrize("sizes", [[4, 3, 5, 2, 6, 3, 4], [1, 1, 1, 9, 1, 1, 1], [2, 8, 3, 3, 7, 1, 4]])
def test_finds_the_best_of_all_areas(sizes: list[int]) -> None:
    share = sum(sizes) // 4
    problem = chain(sizes, (share, share, share, sum(sizes) - 3 * share), cut=0.1)
    costs = []
    for seed in range(4):
        search = FoldSearch(problem, seed)
        search.run(20_000)
        assert search.cost == pytest.approx(written_out(problem, tuple(search.area), 0.1))
        costs.append(search.cost)
    best = min(written_out(problem, areas, 0.1) for areas in product(range(1, 5), repeat=7))
    assert min(costs) == pytest.approx(best)


def test_many_areas_are_searched_in_time() -> None:
    problem = chain(np.random.default_rng(0).integers(1, 5, 60).tolist(), (7,) * 20, cut=0.01)
    search = FoldSearch(problem, 0)  # the orders of 21 areas could never all be tried
    search.run(1000)
    assert set(search.area) == set(range(1, 21))
