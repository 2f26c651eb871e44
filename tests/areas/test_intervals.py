"""Intervals: against SciPy, and by the rate at which they hold a simulated truth."""

import numpy as np
import pytest
from scipy.stats import binomtest, norm

from hsi.areas import allocate_sample, estimate_areas, stratified_sample
from hsi.areas.intervals import normal_interval, wilson_interval


@pytest.mark.parametrize(("right", "units"), [(0, 12), (3, 12), (12, 12), (90, 100)])
@pytest.mark.parametrize("level", [0.8, 0.95])
def test_wilsons_interval_of_a_simple_sample_is_scipys(right, units, level):
    share = right / units
    found = wilson_interval(share, np.sqrt(share * (1 - share) / units), units, 0.0, level)
    wanted = binomtest(right, units).proportion_ci(level, method="wilson")
    assert (found.low, found.high) == pytest.approx((wanted.low, wanted.high), abs=1e-12)


def test_the_normal_interval_is_cut_where_shares_end():
    found = normal_interval(0.01, 0.02, 0.9)
    assert (found.low, found.high) == pytest.approx((0, 0.01 + norm.ppf(0.95) * 0.02))


def simulate(random, classes, pixels):
    """Return the pixels of a map and their truth ``(C, C)``: rare classes, each mistaken for a few others."""
    shares = random.lognormal(0, 1.2, classes)
    mapped = np.maximum(pixels * shares / shares.sum(), pixels // 200).astype(np.int64)
    truth = np.zeros((classes, classes), np.int64)
    for number in range(classes):
        wrong = random.gamma(0.4, 1, classes) * np.sqrt(mapped) + 1e-9
        wrong[number] = 0
        right = random.uniform(0.6, 0.98)
        wrong = (1 - right) * wrong / wrong.sum()
        wrong[number] = right
        truth[number] = random.multinomial(mapped[number], wrong)
    return truth


@pytest.mark.parametrize(("classes", "pixels"), [(5, 10**6), (8, 10**6), (8, 12_000)])
def test_95_percent_intervals_hold_the_truth_in_95_of_100_maps(classes, pixels, monkeypatch):
    """1,000 maps with 300 sample units each; the standard error of a rate is 0.7 points a class."""
    monkeypatch.setattr(stratified_sample, "DRAWS", 400)
    random = np.random.default_rng(classes + pixels)
    held = {"area": [], "user": [], "producer": [], "overall": [], "rarest": []}
    for _ in range(1000):
        truth = simulate(random, classes, pixels)
        mapped, whole = truth.sum(axis=1), truth.sum()
        sizes = allocate_sample(mapped.tolist(), 300)
        matrix = [
            random.multivariate_hypergeometric(row, size) for row, size in zip(truth, sizes, strict=True)
        ]
        made = estimate_areas(np.array(matrix), mapped.tolist())
        areas = truth.sum(axis=0)
        right = np.diagonal(truth)
        true = {"area": areas / whole, "user": right / mapped, "producer": right / np.maximum(areas, 1)}
        found = {
            "area": [one.proportion for one in made.classes],
            "user": [one.users_accuracy for one in made.classes],
            "producer": [one.producers_accuracy for one in made.classes],
        }
        for what, values in true.items():
            within = [
                one.low - 1e-12 <= value <= one.high + 1e-12
                for one, value in zip(found[what], values, strict=True)
                if one is not None
            ]
            held[what] += within
            if what == "area":
                held["rarest"].append(within[int(areas.argmin())])
        overall = made.overall_accuracy
        held["overall"].append(overall.low <= right.sum() / whole <= overall.high)
    rates = {what: np.mean(within) for what, within in held.items()}
    assert all(0.93 <= rate <= 0.97 for what, rate in rates.items() if what != "rarest"), rates
    assert 0.93 <= rates["rarest"] <= 0.98, rates
