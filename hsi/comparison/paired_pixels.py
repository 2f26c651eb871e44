"""McNemar's exact test: two classifications of the same pixels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import binomtest

from hsi.errors import InputError


@dataclass(frozen=True)
class McNemar:
    """Pixels that only the first, and only the second classification has right; the two-sided p value."""

    first_only: int
    second_only: int
    p: float


def mcnemar(truth: ArrayLike, first: ArrayLike, second: ArrayLike) -> McNemar:
    """Test whether two classifications of the same pixels are right equally often.

    Only pixels count that one has right and the other wrong: under the null each of them is a fair coin
    (exact binomial test, two-sided). Without such pixels p is 1. Source: McNemar 1947, "Note on the sampling
    error of the difference between correlated proportions or percentages".

    The test takes pixels for independent. Test pixels of one map are not: neighbours are right or wrong
    together, so that p comes out too small. `hsi.comparison.field_test` does not assume it.

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
