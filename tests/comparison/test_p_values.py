"""Holm's correction against statsmodels; combining dependent p values against its definition."""

from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.multitest import multipletests

from hsi.comparison import combine_by_rank, holm
from hsi.errors import InputError

P = st.one_of(st.floats(0, 1), st.sampled_from([0.0, 0.01, 0.05, 1.0]))  # with ties


@settings(deadline=None)
@given(st.lists(P, min_size=1, max_size=12))
def test_holm_is_that_of_statsmodels(p_values):
    with patch("gc.collect"):  # which it calls each time, half a second with torch loaded
        wanted = multipletests(p_values, method="holm")[1]
    np.testing.assert_allclose(holm(p_values), wanted, rtol=1e-12)


@settings(deadline=None)
@given(st.lists(P, min_size=1, max_size=8), st.integers(0, 8))
def test_a_test_that_was_not_made_does_not_count(p_values, place):
    place = min(place, len(p_values))
    corrected = holm([*p_values[:place], np.nan, *p_values[place:]])
    assert np.isnan(corrected[place])
    np.testing.assert_array_equal(np.delete(corrected, place), holm(p_values))


def test_holm_of_nothing_and_of_one():
    assert holm([]).tolist() == []
    assert holm([0.03]).tolist() == [0.03]
    assert np.isnan(holm([np.nan])).all()


@pytest.mark.parametrize("bad", [[-0.1], [0.2, 1.01], [[0.1, 0.2]]])
def test_what_is_no_p_value_is_refused(bad):
    with pytest.raises(InputError, match="from 0 to 1"):
        holm(bad)
    with pytest.raises(InputError, match="from 0 to 1"):
        combine_by_rank(bad)


def test_combining():
    assert combine_by_rank([0.03]) == 0.03
    assert combine_by_rank([0.5, 0.01]) == pytest.approx(0.02)
    assert combine_by_rank([0.9, 0.02, 0.01]) == pytest.approx(0.02 * 3 / 2)
    assert combine_by_rank([0.9, 0.8, 0.7]) == 1
    for bad in ([], [0.1, np.nan]):
        with pytest.raises(InputError, match="at least one"):
            combine_by_rank(bad)


@pytest.mark.parametrize("shared", [0.0, 0.8, 1.0])
def test_combined_p_values_hold_their_level_however_dependent_they_are(shared):
    """Correlated normal statistics; the combined p falls below 0.1 in 10 % of the cases at most."""
    from scipy.stats import norm

    random = np.random.default_rng(0)
    common = random.standard_normal((2000, 1))
    z = np.sqrt(shared) * common + np.sqrt(1 - shared) * random.standard_normal((2000, 5))
    p_values = 2 * norm.sf(abs(z))
    found = np.mean([combine_by_rank(row) <= 0.1 for row in p_values])
    assert found <= 0.1 + 3 * np.sqrt(0.1 * 0.9 / 2000)
