"""Significance tests against statsmodels, scipy, written-out formulas, and simulation."""

import math
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar as reference
from statsmodels.stats.multitest import multipletests

from hsi.comparison import combine_by_rank, corrected_t_test, holm, mcnemar
from hsi.errors import InputError

P = st.one_of(st.floats(0, 1), st.sampled_from([0.0, 0.01, 0.05, 1.0]))  # with ties


@settings(deadline=None)
@given(st.lists(P, min_size=1, max_size=12))
def test_holm_is_that_of_statsmodels(p_values):
    with patch("gc.collect"):  # which it calls each time, half a second with torch loaded
        expected = multipletests(p_values, method="holm")[1]
    np.testing.assert_allclose(holm(p_values), expected, rtol=1e-12)


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


@settings(deadline=None)
@given(*[st.integers(0, 60)] * 4)
def test_it_is_that_of_statsmodels(both, first_only, second_only, neither):
    """From a 2 x 2 table to pixels of class 1, right (1) or wrong (2), and back."""
    first = np.repeat([1, 1, 2, 2], [both, first_only, second_only, neither])
    second = np.repeat([1, 2, 1, 2], [both, first_only, second_only, neither])
    found = mcnemar(np.ones_like(first), first, second)
    assert (found.first_only, found.second_only) == (first_only, second_only)
    expected = reference([[both, first_only], [second_only, neither]], exact=True).pvalue
    assert found.p == pytest.approx(expected, rel=1e-9)
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


DIFFERENCES = st.lists(st.floats(-1, 1), min_size=2, max_size=12)


@settings(deadline=None)
@given(DIFFERENCES, st.floats(0, 10), st.floats(0.001, 0.5))
def test_it_is_the_formula(differences, ratio, alpha):
    assume(np.ptp(differences) > 1e-6)
    k = len(differences)
    mean = sum(differences) / k
    variance = sum((d - mean) ** 2 for d in differences) / (k - 1)
    error = math.sqrt((1 / k + ratio) * variance)
    found = corrected_t_test(differences, test_to_train=ratio, alpha=alpha)
    assert found.p == pytest.approx(2 * stats.t.cdf(-abs(mean / error), df=k - 1), rel=1e-6)
    low, high = stats.t.interval(1 - alpha, df=k - 1, loc=mean, scale=error)
    assert (found.low, found.high) == (pytest.approx(low, abs=1e-9), pytest.approx(high, abs=1e-9))
    assert (found.mean, found.count) == (pytest.approx(mean, abs=1e-12), k)
    if abs(found.p - alpha) > 1e-9:  # test and interval say the same
        assert (found.p < alpha) == (not found.low <= 0 <= found.high)


@settings(deadline=None)
@given(DIFFERENCES)
def test_without_overlap_it_is_the_plain_paired_test(differences):
    assume(np.ptp(differences) > 1e-6)
    assert corrected_t_test(differences).p == pytest.approx(
        stats.ttest_1samp(differences, 0).pvalue, rel=1e-6
    )


@pytest.mark.parametrize(
    ("differences", "p"), [([0.1], math.nan), ([0.0], math.nan), ([0.1] * 5, math.nan), ([0.0] * 5, 1.0)]
)
def test_where_nothing_varies_nothing_is_claimed(differences, p):
    found = corrected_t_test(differences, test_to_train=0.5)
    assert found.p == pytest.approx(p, nan_ok=True)
    assert math.isnan(found.low)
    assert math.isnan(found.high)
    assert found.mean == pytest.approx(differences[0])


def test_a_score_without_meaning_makes_none_of_the_test():
    found = corrected_t_test([0.1, math.nan, 0.2])
    assert all(math.isnan(value) for value in (found.mean, found.low, found.high, found.p))


@pytest.mark.parametrize(
    "bad",
    [{"differences": []}, {"test_to_train": -1}, {"test_to_train": math.inf}, {"alpha": 0}, {"alpha": 1}],
)
def test_bad_input(bad):
    with pytest.raises(InputError):
        corrected_t_test(**{"differences": [0.1, 0.2], **bad})


def test_it_holds_its_level_on_overlapping_splits_where_the_plain_test_does_not():
    """100 pixels on which two networks are equally good in truth; ten random splits 2:1 of them."""
    random = np.random.default_rng(0)
    plain, corrected, worlds = 0, 0, 1500
    for _ in range(worlds):
        better = random.standard_normal(100)  # first minus second, pixel by pixel
        differences = [better[random.permutation(100)[:33]].mean() for _ in range(10)]
        plain += corrected_t_test(differences).p < 0.05
        corrected += corrected_t_test(differences, test_to_train=33 / 67).p < 0.05
    assert plain / worlds > 0.2
    assert corrected / worlds < 0.05 + 3 * math.sqrt(0.05 * 0.95 / worlds)
