"""Areas of a scene: the fields of all classes, cut into cells, dealt out by a search."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from hsi.datasets.annealing import NONE, Problem, Search
from hsi.datasets.fields import Cells, borders

MakeSearch = Callable[[Problem, int], Search]

_CUT = 0.05  # cost of a cut through a field, whatever its length
_CUT_LENGTH = 0.15  # cost of a cut that is as long as the square root of its class's pixels
_BORDER = 0.08  # the same for a border between areas that runs between fields
_TASTE = 0.5  # cost of having an area at the end of a field that the seed does not like, at most, per class
_STARTS = 3  # the best of so many searches is taken
_STEPS_PER_CELL, _FEWEST_STEPS, _MOST_STEPS = 60, 1000, 60_000  # of each search


def deal_out(
    cells: Cells,
    targets: Sequence[tuple[int, ...]],
    make_search: MakeSearch,
    seed: int,
    *,
    borders_matter: float = 1.0,
) -> NDArray[np.uint8]:
    """Deal the cells out to areas; the best of a few searches counts.

    Parameters
    ----------
    cells
        As from `cut_into_cells`.
    targets
        Wanted pixels of each class that has cells, lowest class first: left out, then in area 1, 2, ....
    make_search
        `Search` or another, called with the problem and a seed.
    seed
        Any integer >= 0; another seed gives other areas.
    borders_matter
        Factor of the costs of borders.

    Returns
    -------
    array
        ``(rows, cols)`` area of each labelled pixel, 0 where it is left out or unlabelled.
    """
    problem = _problem(cells, targets, seed, borders_matter)
    steps = min(_MOST_STEPS, max(_FEWEST_STEPS, _STEPS_PER_CELL * len(cells.size)))
    searches = []
    for start in range(_STARTS):
        search = make_search(problem, _STARTS * seed + start)
        search.run(steps)
        searches.append(search)
    best = min(searches, key=lambda search: search.cost)
    return np.array([*best.area, 0], np.uint8)[cells.index]  # the last for pixels without a cell, number -1


def _problem(cells: Cells, targets: Sequence[tuple[int, ...]], seed: int, factor: float) -> Problem:
    """Put the cells, the wanted counts and the costs of borders into the form that the search reads."""
    _, label = np.unique(cells.label, return_inverse=True)
    totals = np.bincount(label, weights=cells.size)
    pairs, inside, between = borders(cells)
    one, two = pairs.T
    scale = np.sqrt(np.minimum(totals[label[one]], totals[label[two]]))
    costs = factor * (_CUT * (inside > 0) + (_CUT_LENGTH * inside + _BORDER * between) / scale)
    meets: list[list[tuple[int, float]]] = [[] for _ in cells.size]
    for first, second, cost in zip(one.tolist(), two.tolist(), costs.tolist(), strict=True):
        meets[first].append((second, cost))
        meets[second].append((first, cost))
    bounds = cells.bounds
    # Each seed likes each area at one end of each field, so that a scene with one best answer has several
    # good ones.
    count = bounds[cells.field + 1] - bounds[cells.field]
    along = (np.arange(len(cells.size)) - bounds[cells.field] + 0.5) / count - 0.5
    tilt = np.random.default_rng(seed).uniform(-_TASTE, _TASTE, (len(bounds) - 1, len(targets[0])))
    tilt[:, NONE] = 0
    taste = tilt[cells.field] * (along * cells.size / totals[label])[:, None]
    return Problem(
        label=label.tolist(),
        size=cells.size.tolist(),
        first=bounds[cells.field].tolist(),
        last=bounds[cells.field + 1].tolist(),
        meets=meets,
        taste=[tuple(row) for row in taste.tolist()],
        targets=list(targets),
    )
