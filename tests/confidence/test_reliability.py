"""Calibration error and its kin against scikit-learn and slow loops."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss, log_loss

from hsi.confidence.reliability import (
    brier_score,
    calibration_error,
    calibration_scores,
    negative_log_likelihood,
    reliability_bins,
)
from hsi.errors import InputError


@st.composite
def forecasts(draw):
    n, classes, seed = draw(st.integers(1, 200)), draw(st.integers(2, 7)), draw(st.integers(0, 999))
    rng = np.random.default_rng(seed)
    proba = rng.dirichlet(np.full(classes, draw(st.floats(0.1, 3))), n)
    targets = np.where(rng.random(n) < 0.6, proba.argmax(axis=1), rng.integers(0, classes, n))
    return proba, targets


def slow_error(proba, targets, bins):
    total = 0.0
    for number in range(bins):
        inside = [
            (max(row), int(row.argmax() == true))
            for row, true in zip(proba, targets, strict=True)
            if number / bins < max(row) <= (number + 1) / bins
        ]
        if inside:
            confidence = math.fsum(c for c, _ in inside) / len(inside)
            accuracy = sum(r for _, r in inside) / len(inside)
            total += len(inside) / len(targets) * abs(confidence - accuracy)
    return total


@settings(max_examples=60, deadline=None)
@given(forecasts(), st.integers(1, 20))
def test_the_error_equals_a_slow_loop_and_the_bins_those_of_scikit_learn(case, bins):
    proba, targets = case
    assert calibration_error(proba, targets, bins) == pytest.approx(slow_error(proba, targets, bins))
    right = proba.argmax(axis=1) == targets
    found = [one for one in reliability_bins(proba, targets, bins) if one.pixels]
    accuracy, confidence = calibration_curve(right, proba.max(axis=1), n_bins=bins)
    np.testing.assert_allclose([one.accuracy for one in found], accuracy)
    np.testing.assert_allclose([one.confidence for one in found], confidence)
    assert sum(one.pixels for one in found) == len(targets)


@settings(max_examples=60, deadline=None)
@given(forecasts())
def test_brier_score_and_log_loss_equal_scikit_learn(case):
    proba, targets = case
    classes = proba.shape[1]
    expected = log_loss(targets, np.maximum(proba, 1e-12), labels=range(classes))
    assert negative_log_likelihood(proba, targets) == pytest.approx(expected, rel=1e-4)
    each = sum(
        np.mean((proba[:, k] - (targets == k)) ** 2) for k in range(classes)
    )  # class by class, as for a binary forecast
    assert brier_score(proba, targets) == pytest.approx(each)
    if classes == 2 and len(set(targets)) == 2:
        assert brier_score(proba, targets) == pytest.approx(2 * brier_score_loss(targets, proba[:, 1]))


@settings(max_examples=40, deadline=None)
@given(forecasts(), st.integers(1, 12))
def test_bins_of_equal_counts_hold_equal_counts(case, bins):
    proba, targets = case
    found = reliability_bins(proba, targets, bins, equal_counts=True)
    n = len(targets)
    assert sum(one.pixels for one in found) == n
    confidence = proba.max(axis=1)
    if len(np.unique(confidence)) == n:
        assert max(one.pixels for one in found) - min(one.pixels for one in found) <= 1 or n < bins
    for low, high in pairwise(found):
        assert low.confidence < high.confidence


def test_equal_confidences_are_one_bin():
    proba = np.tile([0.7, 0.3], (50, 1))
    targets = np.array([0] * 30 + [1] * 20)
    for equal_counts in (False, True):
        assert calibration_error(proba, targets, equal_counts=equal_counts) == pytest.approx(0.1)
    (one,) = reliability_bins(proba, targets, equal_counts=True)
    assert one.gap == pytest.approx(-0.1)


def test_calibrated_forecasts_have_no_error_and_certain_ones_all_of_theirs():
    rng = np.random.default_rng(0)
    proba = rng.dirichlet(np.ones(5), 100_000)
    drawn = (proba.cumsum(axis=1) < rng.random((100_000, 1))).sum(axis=1).clip(0, 4)
    assert calibration_error(proba, drawn) < 0.01
    certain = np.eye(5)[rng.integers(0, 5, 1000)]
    wrong = (certain.argmax(axis=1) + 1) % 5
    assert calibration_error(certain, wrong) == 1
    assert calibration_error(certain, certain.argmax(axis=1)) == 0


def test_by_hand():
    # Bins of one half: confidences 0.4 (wrong); 0.9 (right), 0.7 (wrong).
    proba = [[0.4, 0.3, 0.3], [0.9, 0.05, 0.05], [0.2, 0.7, 0.1]]
    targets = [1, 0, 0]
    assert calibration_error(proba, targets, 2) == pytest.approx(0.4 / 3 + 2 / 3 * 0.3)
    scores = calibration_scores(proba, targets)
    assert scores["pixels"] == 3
    assert scores["oa"] == pytest.approx(1 / 3)
    assert scores["confidence"] == pytest.approx(2 / 3)
    assert scores["nll"] == pytest.approx(-(math.log(0.3) + math.log(0.9) + math.log(0.2)) / 3)
    assert scores["brier"] == pytest.approx(
        (0.4**2 + 0.7**2 + 0.3**2 + 0.1**2 + 2 * 0.05**2 + 0.8**2 + 0.7**2 + 0.1**2) / 3
    )


def test_without_pixels_there_is_no_score():
    nothing = np.zeros((0, 3)), np.zeros(0, int)
    for function in (calibration_error, brier_score, negative_log_likelihood):
        assert math.isnan(function(*nothing))
    assert calibration_scores(*nothing) == {
        "pixels": 0, "oa": None, "confidence": None, "ece": None, "ece_equal_counts": None, "brier": None,
        "nll": None,
    }  # fmt: skip
    assert reliability_bins(*nothing, equal_counts=True) == []
    assert {one.accuracy for one in reliability_bins(*nothing)} == {None}


def test_probability_zero_of_the_true_class_costs_a_finite_loss():
    assert negative_log_likelihood([[1.0, 0.0]], [1]) == pytest.approx(-math.log(1e-12))


@pytest.mark.parametrize(
    ("proba", "targets", "words"),
    [
        ([[0.5, 0.5]], [0, 1], "must be"),
        ([0.5, 0.5], [0, 1], "must be"),
        ([[0.5, 0.5]], [2], "from 0 to 1"),
        ([[0.5, 0.5]], [-1], "unlabelled"),
        ([[0.5, 0.5]], [0.0], "whole numbers"),
        ([[3.0, -2.0]], [0], "not logits"),
        ([[np.nan, 0.5]], [0], "not logits"),
    ],
)
def test_bad_input_is_told_in_one_sentence(proba, targets, words):
    for function in (calibration_error, brier_score, negative_log_likelihood, calibration_scores):
        with pytest.raises(InputError, match=words):
            function(np.array(proba), np.array(targets))


def test_a_diagram_without_bins_is_refused():
    with pytest.raises(InputError, match="at least 1 bin"):
        reliability_bins([[1.0]], [0], 0)
