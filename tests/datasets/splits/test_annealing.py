from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from hsi.datasets.splits.annealing import NONE, PARTS, TEST, TRAIN, VAL, ApartSearch, Problem, Search


def chain(sizes: list[int], targets: tuple[int, int, int], cut: float) -> Problem:
    """One class in one field whose cells stand in a row; each cut costs `cut`."""
    count = len(sizes)
    meets = [[(other, cut) for other in (cell - 1, cell + 1) if 0 <= other < count] for cell in range(count)]
    return Problem(
        label=[0] * count,
        size=sizes,
        first=[0] * count,
        last=[count] * count,
        meets=meets,
        taste=[(0.0, 0.0, 0.0, 0.0)] * count,
        targets=[(0, *targets)],
    )


def cost_of(problem: Problem, areas: tuple[int, ...]) -> float:
    """The cost of given areas by a search that is put there step by step."""
    search = Search(problem, 0)
    undo: list[tuple[int, int]] = []
    for cell, area in enumerate(areas):
        search._set(cell, area, undo, set())
    search._class_cost = [search._cost_of(0)]
    search._overall_cost = search._overall()
    return search.cost


@pytest.mark.parametrize("sizes", [[4, 3, 5, 2, 6, 3, 4], [1, 1, 1, 9, 1, 1, 1], [2, 8, 3, 3, 7, 1, 4]])
def test_finds_the_best_of_all_areas(sizes: list[int]) -> None:
    problem = chain(sizes, (5, 4, sum(sizes) - 9), cut=0.1)
    costs = []
    for seed in range(4):
        search = Search(problem, seed)
        search.run(2000)
        costs.append(search.cost)
    best = min(cost_of(problem, areas) for areas in product(PARTS, repeat=7))
    assert min(costs) == pytest.approx(best)


def test_the_running_cost_stays_true() -> None:
    random = np.random.default_rng(0)
    problem = chain(random.integers(1, 9, 40).tolist(), (30, 30, 120), cut=0.1)
    search = Search(problem, 1)
    search.run(500)
    again = cost_of(problem, tuple(search.area))
    assert search.cost == pytest.approx(again)
    for part in PARTS:
        held = sum(size for size, area in zip(problem.size, search.area, strict=True) if area == part)
        assert search.counts[0][part] == held


@pytest.mark.parametrize("seed", range(3))
def test_areas_keep_apart_and_only_what_is_between_is_left_out(seed: int) -> None:
    count, gap = 60, 4
    problem = chain([3] * count, (30, 24, 126), cut=0.0)
    near = [[o for o in range(count) if o != cell and abs(o - cell) <= gap] for cell in range(count)]
    search = ApartSearch(problem, seed, near)
    search.run(4000)
    area = search.area
    for cell, others in enumerate(near):
        around = {area[other] for other in others} - {NONE}
        if area[cell] != NONE:
            assert around <= {area[cell]}
        else:
            assert around & {TRAIN, VAL}
    assert {TRAIN, VAL, TEST} <= set(area)
    assert area.count(NONE) == 2 * gap  # two gaps are the fewest for three areas in a row
    assert (area.count(TRAIN), area.count(VAL)) == (10, 8)


def test_undoing_restores_everything() -> None:
    count = 30
    problem = chain([2] * count, (10, 10, 40), cut=0.0)
    near = [[o for o in range(count) if o != cell and abs(o - cell) <= 3] for cell in range(count)]
    search = ApartSearch(problem, 0, near)
    search.run(300)
    random = np.random.default_rng(0)
    for _ in range(200):
        before = (search.area.copy(), search._chosen_near.copy(), [c.copy() for c in search.counts])
        undo: list[tuple[int, int]] = []
        for cell in random.integers(0, count, 5):
            search._set(int(cell), int(random.choice(PARTS)), undo, set())
        for cell, old in reversed(undo):
            search._set(cell, old, [], set())
        assert (search.area, search._chosen_near, search.counts) == before
