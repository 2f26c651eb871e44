"""Split scheme ``disjoint`` with folds: k areas of a scene, of which each is tested once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hsi.datasets.annealing import PARTS, TEST, TRAIN, VAL
from hsi.datasets.annealing_folds import FoldSearch
from hsi.datasets.area_notes import area_notes
from hsi.datasets.areas import deal_out
from hsi.datasets.fields import cut_into_cells
from hsi.datasets.parts import Parts
from hsi.datasets.regions import apart_regions, nearest_regions, within
from hsi.errors import SplitError

Ints = NDArray[np.int64]
Areas = NDArray[np.uint8]

_SLICES_PER_AREA = 5  # an area holds about this many slices of each class
_FEWEST_AREAS = 3  # one for each of test, val and train
_BORDERS_MATTER = 4.0  # with guard "drop", where every border costs pixels on both of its sides


def fold_parts(
    labels: Ints, names: Sequence[str], *, folds: int, fold: int, patch: int, guard: str, seed: int
) -> Parts:
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
    areas = deal_out(cells, _targets(labels, count), FoldSearch, seed, borders_matter=borders)
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
    return Parts(train, val, test, notes, regions)


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
