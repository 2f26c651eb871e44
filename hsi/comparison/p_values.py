"""Several p values as one decision: Holm's correction, and one p value out of several dependent ones."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hsi.errors import InputError


def holm(p_values: ArrayLike) -> NDArray[np.float64]:
    """Correct p values for having looked at all of them, so that one false finding is no likelier than alpha.

    The p values in rising order are multiplied by m, m - 1, ..., 1, kept rising and cut at 1. Source: Holm
    1979, "A simple sequentially rejective multiple test procedure".

    Parameters
    ----------
    p_values
        ``(m,)``; NaN is a test that was not made: it stays NaN and does not count in m.

    Raises
    ------
    InputError
        When a value lies outside 0..1.
    """
    given = _checked(p_values)
    made = np.flatnonzero(~np.isnan(given))
    order = made[np.argsort(given[made], kind="stable")]
    corrected = np.full(given.shape, np.nan)
    steps = given[order] * np.arange(len(order), 0, -1)
    corrected[order] = np.minimum(np.maximum.accumulate(steps), 1)
    return corrected


def combine_by_rank(p_values: ArrayLike) -> float:
    """Combine p values of one hypothesis whose dependence is unknown, such as those of runs on one scene.

    The value of rank r = ceil(m / 2) in rising order, times m / r, at most 1: for one p value itself, for
    many about twice their median. Valid under any dependence. Source: Rüger 1978, Metrika 25.

    Raises
    ------
    InputError
        When there is no value, or one is NaN or lies outside 0..1.
    """
    given = np.sort(_checked(p_values))
    if len(given) == 0 or np.isnan(given).any():
        raise InputError("Combining p values needs at least one of them, and none that is not a number.")
    rank = (len(given) + 1) // 2
    return float(min(1.0, given[rank - 1] * len(given) / rank))


def _checked(p_values: ArrayLike) -> NDArray[np.float64]:
    given = np.atleast_1d(np.asarray(p_values, dtype=np.float64))
    if given.ndim != 1 or (given < 0).any() or (given > 1).any():
        raise InputError("P values must be a list of numbers from 0 to 1.")
    return given
