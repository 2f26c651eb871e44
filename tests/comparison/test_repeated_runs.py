"""The corrected t-test: against the formula written out, and by simulation of what it is for."""

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import stats

from hsi.comparison import corrected_t_test
from hsi.errors import InputError

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
