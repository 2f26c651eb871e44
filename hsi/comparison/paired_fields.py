"""An exact paired test with fields, not pixels, as independent observations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import permutation_test

from hsi.datasets.splits.cells import cut_into_cells
from hsi.errors import InputError, unknown

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

METRICS = ("oa", "aa", "kappa")
_DRAWS = 9999  # random exchanges if there are more than this
_SEED = 0  # of these draws
_BATCH = 500  # exchanges at a time


@dataclass(frozen=True)
class PairedPixels:
    """Test pixels of one split as two networks classified them.

    Attributes
    ----------
    field, truth, first, second
        ``(pixels,)`` field number from 0, true class 1..C, predicted class 1..C of each network.
    weight
        Share of this split in the mean difference.
    """

    field: Ints
    truth: Ints
    first: Ints
    second: Ints
    weight: float = 1.0


@dataclass(frozen=True)
class FieldTest:
    """Result of `field_test`.

    Attributes
    ----------
    difference
        Weighted mean of the metric's difference, first minus second, a fraction.
    p
        Two-sided p value.
    fields, differing
        Fields with test pixels; those in which the networks' tallies of right pixels and predictions differ.
    smallest
        The smallest p that this number of differing fields can give.
    """

    difference: float
    p: float
    fields: int
    differing: int
    smallest: float


def number_fields(labels: Ints) -> Ints:
    """Return the field 0, 1, ... of each pixel of a label map ``(rows, cols)``, -1 where unlabelled.

    A field is a connected (8 neighbours) patch of one class, as in the disjoint split.
    """
    cells = cut_into_cells(labels, 0.5)
    return np.where(cells.index < 0, -1, cells.field[cells.index]).astype(np.int64)


def field_test(pairs: Sequence[PairedPixels], classes: int, metric: str = "oa") -> FieldTest:
    """Test whether two networks are equally good on the fields of a scene, by a randomisation test.

    Pixels of one field are right or wrong together, so a field counts as one observation. Under the null
    hypothesis the two networks' results of a field are exchangeable: p is the share of all exchanges, field
    by field, with a difference at least as large as the observed one (twice the smaller tail). With more than
    13 differing fields, 9,999 random exchanges and the observed one stand for all. A field is exchanged in
    all splits at once. Fields are taken as independent, which touching ones are not quite.

    Sources: Fisher's randomisation test on pairs (1935, "The Design of Experiments"); Phipson and Smyth 2010
    for counting the observed one.

    Parameters
    ----------
    pairs
        One entry for each split or run; the difference is their weighted sum.
    classes
        Number of classes C.
    metric
        "oa", "aa" or "kappa".

    Raises
    ------
    InputError
        When there is no pixel, or for an unknown metric.
    """
    if metric not in METRICS:
        raise InputError(unknown("metric", metric, METRICS))
    if not pairs or any(len(pair.truth) == 0 for pair in pairs):
        raise InputError("The field test needs test pixels that both networks classified.")
    fields = 1 + max(int(pair.field.max()) for pair in pairs)
    tallies = [_tally(pair, fields, classes) for pair in pairs]
    tested = np.unique(np.concatenate([pair.field for pair in pairs]))
    changes = np.flatnonzero(np.any([(one != two).any(axis=1) for one, two in tallies], axis=0))
    prepared = [
        (
            one.sum(axis=0),
            two.sum(axis=0),
            (one - two)[changes],
            np.bincount(pair.truth, minlength=classes + 1)[1:].astype(np.float64),
            pair.weight,
        )
        for pair, (one, two) in zip(pairs, tallies, strict=True)
    ]

    def difference(signs: Floats, axis: int = -1) -> Floats:
        """Return the difference with the fields of sign -1 exchanged; `signs` is ``(..., fields)``."""
        exchanged = (1 - signs) / 2
        total = np.zeros(signs.shape[:-1])
        for one, two, moved, support, weight in prepared:
            move = exchanged @ moved
            total += weight * (_score(one - move, support, metric) - _score(two + move, support, metric))
        return total

    real = float(difference(np.ones(len(changes))))
    exchanges = 2.0 ** len(changes)
    smallest = min(1.0, 2 / exchanges if exchanges <= _DRAWS else 2 / (_DRAWS + 1))
    if np.isnan(real):
        p = np.nan
    elif len(changes) < 2:
        p = 1.0
    else:
        p = permutation_test(
            (np.ones(len(changes)),),
            difference,
            permutation_type="samples",
            vectorized=True,
            n_resamples=_DRAWS,
            batch=_BATCH,
            rng=np.random.default_rng(_SEED),
        ).pvalue
    return FieldTest(real, float(p), len(tested), len(changes), smallest)


def _tally(pair: PairedPixels, fields: int, classes: int) -> tuple[Floats, Floats]:
    """Count right pixels and predictions of each class, ``(fields, 2 C)`` for each network."""
    tallies = []
    for predicted in (pair.first, pair.second):
        place = pair.field * classes + predicted - 1
        right = predicted == pair.truth
        counts = [
            np.bincount(which, minlength=fields * classes).reshape(fields, classes)
            for which in (place[right], place)
        ]
        tallies.append(np.hstack(counts).astype(np.float64))
    return tallies[0], tallies[1]


def _score(tally: Floats, support: Floats, metric: str) -> Floats:
    """Compute a metric from tallies ``(..., 2 C)``, as `hsi.scoring` does from a confusion matrix."""
    right, predicted = np.split(tally, 2, axis=-1)
    total = support.sum()
    if metric == "aa":
        seen = support > 0
        return np.asarray((right[..., seen] / support[seen]).mean(axis=-1))
    agreed = right.sum(axis=-1) / total
    if metric == "oa":
        return np.asarray(agreed)
    by_chance = (predicted * support).sum(axis=-1) / total**2
    undefined = by_chance >= 1
    return np.asarray(
        np.where(undefined, np.nan, (agreed - by_chance) / np.where(undefined, 1, 1 - by_chance))
    )
