"""The t-test for repeated runs whose training and test pixels overlap from run to run."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from hsi.errors import InputError

_EQUAL = 1e-12  # differences of fractions that are this close have no spread beyond rounding


@dataclass(frozen=True)
class TTest:
    """A paired t-test: mean difference, its interval, two-sided p; NaN where the runs allow no such figure.

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
        One difference has no spread: p and interval are NaN. So they are for several equal differences other
        than 0, where the formula would claim certainty (our decision: equal differences come from runs that
        repeat each other); equal differences of 0 have p 1. A NaN among the differences makes all NaN.

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
    reach = float(stats.t.ppf(1 - alpha / 2, count - 1)) * error
    return TTest(mean, mean - reach, mean + reach, p, count)
