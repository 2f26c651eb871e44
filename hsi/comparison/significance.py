"""Significance tests: Holm's correction, combined p values, McNemar's test, corrected resampled t-test."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats
from scipy.stats import binomtest

from hsi.errors import InputError


def holm(p_values: ArrayLike) -> NDArray[np.float64]:
    """Correct p values for multiple testing (family-wise error rate).

    The p values in ascending order are multiplied by m, m - 1, ..., 1, made monotone and clipped at 1.
    Source: Holm 1979, "A simple sequentially rejective multiple test procedure".

    Parameters
    ----------
    p_values
        ``(m,)``; NaN, a test that was not made, stays NaN and does not count in m.

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
    """Combine p values of one hypothesis under any dependence, such as those of runs on one scene.

    The value of rank r = ceil(m / 2) in ascending order, times m / r, at most 1: about twice the median.
    Source: Rüger 1978, Metrika 25.

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


@dataclass(frozen=True)
class McNemar:
    """Pixels that only the first or only the second classification has right, and the two-sided p value."""

    first_only: int
    second_only: int
    p: float


def mcnemar(truth: ArrayLike, first: ArrayLike, second: ArrayLike) -> McNemar:
    """Test whether two classifications of the same pixels are right equally often.

    Exact two-sided binomial test on the pixels that one has right and the other wrong; p is 1 without any.
    Source: McNemar 1947, "Note on the sampling error of the difference between correlated proportions or
    percentages".

    The test assumes independent pixels. Neighbouring pixels of a map are right or wrong together, so p is too
    small; `hsi.comparison.field_test` does not assume independence.

    Parameters
    ----------
    truth, first, second
        Labels of one shape.

    Raises
    ------
    InputError
        When the shapes differ.
    """
    labels, one, two = np.asarray(truth), np.asarray(first), np.asarray(second)
    if not labels.shape == one.shape == two.shape:
        raise InputError(
            f"True labels and both predictions must have one shape, not {labels.shape}, {one.shape} "
            f"and {two.shape}."
        )
    first_only = int(((one == labels) & (two != labels)).sum())
    second_only = int(((one != labels) & (two == labels)).sum())
    differing = first_only + second_only
    p = float(binomtest(first_only, differing, 0.5).pvalue) if differing else 1.0
    return McNemar(first_only, second_only, p)


_EQUAL = 1e-12  # spread of differences below which it is rounding


@dataclass(frozen=True)
class TTest:
    """A paired t-test; NaN where the runs allow no such figure.

    Attributes
    ----------
    mean, low, high
        Mean difference and the ends of its 1 - alpha interval, in the unit of the differences.
    p
        Two-sided p value of "the mean difference is 0".
    count
        Number of differences.
    """

    mean: float
    low: float
    high: float
    p: float
    count: int


def corrected_t_test(differences: ArrayLike, *, test_to_train: float = 0.0, alpha: float = 0.05) -> TTest:
    """Test whether the mean of k paired differences is 0, by the corrected resampled t-test.

    Scores of repeated random splits are not independent, since the splits share pixels. The variance of the
    mean is therefore taken as ``s^2 (1 / k + n_test / n_train)`` instead of ``s^2 / k``, with ``s`` the
    sample standard deviation (k - 1) and k - 1 degrees of freedom. Source: Nadeau and Bengio 2003, "Inference
    for the Generalization Error", Machine Learning 52, the corrected resampled t-test.

    Parameters
    ----------
    differences
        ``(k,)``, one for each split.
    test_to_train
        ``n_test / n_train``; 0 is the plain paired t-test.
    alpha
        The interval covers 1 - alpha.

    Returns
    -------
    TTest
        p and interval are NaN for one difference, and for equal differences other than 0, which come from
        runs that repeat each other and would make the formula claim certainty. Equal differences of 0 have
        p 1. A NaN among the differences makes all NaN.

    Raises
    ------
    InputError
        When there is no difference, the ratio is negative or no number, or alpha is not between 0 and 1.
    """
    values = np.asarray(differences, dtype=np.float64)
    if values.ndim != 1 or len(values) == 0:
        raise InputError(
            f"The t-test needs a list of at least one difference, not an array of shape {values.shape}."
        )
    if not 0 <= test_to_train < math.inf:
        raise InputError(f"n_test / n_train must be a number from 0 up, not {test_to_train}.")
    if not 0 < alpha < 1:
        raise InputError(f"alpha must lie between 0 and 1, not {alpha}.")
    count, mean = len(values), float(values.mean())
    if count < 2 or math.isnan(mean):
        return TTest(mean, math.nan, math.nan, math.nan, count)
    if np.ptp(values) <= _EQUAL:
        return TTest(mean, math.nan, math.nan, 1.0 if abs(mean) <= _EQUAL else math.nan, count)
    error = math.sqrt(float(values.var(ddof=1)) * (1 / count + test_to_train))
    p = float(2 * stats.t.sf(abs(mean) / error, count - 1))
    half = float(stats.t.ppf(1 - alpha / 2, count - 1)) * error
    return TTest(mean, mean - half, mean + half, p, count)
