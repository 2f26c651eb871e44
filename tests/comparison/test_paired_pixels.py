"""McNemar's test against statsmodels."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.contingency_tables import mcnemar as reference

from hsi.comparison import mcnemar
from hsi.errors import InputError


@settings(deadline=None)
@given(*[st.integers(0, 60)] * 4)
def test_it_is_that_of_statsmodels(both, first_only, second_only, neither):
    """From a 2 x 2 table to pixels of class 1, right (1) or wrong (2), and back."""
    first = np.repeat([1, 1, 2, 2], [both, first_only, second_only, neither])
    second = np.repeat([1, 2, 1, 2], [both, first_only, second_only, neither])
    found = mcnemar(np.ones_like(first), first, second)
    assert (found.first_only, found.second_only) == (first_only, second_only)
    wanted = reference([[both, first_only], [second_only, neither]], exact=True).pvalue
    assert found.p == pytest.approx(wanted, rel=1e-9)
    assert mcnemar(np.ones_like(first), second, first).p == found.p


def test_both_wrong_in_different_ways_says_nothing():
    assert mcnemar([1, 1, 2], [2, 3, 2], [3, 2, 2]).p == 1


def test_many_pixels_are_no_trouble():
    truth = np.ones(40_000, int)
    first, second = truth.copy(), truth.copy()
    first[:20_000], second[10_000:] = 2, 2
    found = mcnemar(truth, first, second)
    assert (found.first_only, found.second_only) == (20_000, 10_000)
    assert 0 <= found.p < 1e-300


def test_other_shapes_are_refused():
    with pytest.raises(InputError, match="one shape"):
        mcnemar([1, 2], [1, 2], [1, 2, 3])
