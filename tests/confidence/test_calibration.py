"""Calibration against scikit-learn and SciPy, on easy, hard and hopeless validation pixels."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.optimize import minimize, minimize_scalar
from scipy.special import log_softmax, softmax
from sklearn.metrics import log_loss

from hsi.confidence.calibration import (
    LOSSES,
    TEMPERATURES,
    Calibration,
    fit_dirichlet,
    fit_temperature,
)
from hsi.confidence.reliability import calibration_error
from hsi.errors import InputError


def drawn(n, classes, temperature, seed=0, spread=3.0):
    """Logits, and targets drawn from their softmax at a temperature: the right answer is known."""
    rng = np.random.default_rng(seed)
    logits = spread * rng.normal(size=(n, classes))
    proba = softmax(logits / temperature, axis=1)
    targets = (proba.cumsum(axis=1) < rng.random((n, 1))).sum(axis=1).clip(0, classes - 1)
    return logits.astype(np.float32), targets


def slow_loss(temperature, logits, targets, weights=None, loss="confidence"):
    """The documented loss, pixel by pixel, in Python floats."""
    n = len(targets)
    weights = np.ones(n) if weights is None else weights
    shares = [float(w) / float(np.sum(weights)) for w in weights]
    doubt = 1 / (1 / sum(share**2 for share in shares) + 2)
    total = 0.0
    for row, true, share in zip(np.float64(logits), targets, shares, strict=True):
        scaled = [float(z) / temperature for z in row]
        top = max(scaled)
        log_sum = top + math.log(sum(math.exp(z - top) for z in scaled))
        if loss == "confidence":
            best = int(np.argmax(row))
            rest = [z for k, z in enumerate(scaled) if k != best]
            log_rest = max(rest) + math.log(sum(math.exp(z - max(rest)) for z in rest))
            right = 1 - doubt if best == true else doubt
            total += share * (right * (log_sum - top) + (1 - right) * (log_sum - log_rest))
        else:
            rival = max((k for k in range(len(row)) if k != true), key=lambda k: row[k])
            total += share * ((1 - doubt) * (log_sum - scaled[true]) + doubt * (log_sum - scaled[rival]))
    return total


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("temperature", [0.3, 1.0, 4.0])
def test_the_temperature_that_drew_the_targets_is_found(temperature, loss):
    logits, targets = drawn(40_000, 6, temperature)
    found = fit_temperature(logits, targets, loss=loss)
    assert found.temperature == pytest.approx(temperature, rel=0.04)
    assert found.pixels == 40_000
    proba = found(logits)
    assert proba.dtype == np.float32
    before = log_loss(targets, np.float64(softmax(np.float64(logits), axis=1)), labels=range(6))
    assert log_loss(targets, proba / np.float64(proba).sum(axis=1, keepdims=True), labels=range(6)) <= before
    assert calibration_error(proba, targets) < 0.012


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("n", [1, 2, 7, 60])
@pytest.mark.parametrize("weighted", [False, True])
def test_the_temperature_has_the_lowest_loss_that_scipy_finds(n, weighted, loss):
    logits, targets = drawn(n, 4, 2.0, seed=n)
    weights = np.random.default_rng(n).random(n) + 0.1 if weighted else None
    found = fit_temperature(logits, targets, weights=weights, loss=loss)

    def of(log_temperature):
        return slow_loss(math.exp(log_temperature), logits, targets, weights, loss)

    low, high = np.log(TEMPERATURES)
    grid = min(np.linspace(low, high, 200), key=of)
    bounds = (max(low, grid - 0.1), min(high, grid + 0.1))
    best = minimize_scalar(of, bounds=bounds, method="bounded", options={"xatol": 1e-9})
    assert of(math.log(found.temperature)) <= best.fun + 1e-9


@given(n=st.integers(1, 400), classes=st.integers(2, 6), scale=st.floats(0.5, 20), seed=st.integers(0, 99))
@settings(max_examples=40, deadline=None)
def test_pixels_that_are_all_right_give_the_confidence_of_the_rule_of_succession(n, classes, scale, seed):
    for loss in LOSSES:
        check_all_right(n, classes, scale, seed, loss)


def check_all_right(n, classes, scale, seed, loss):
    targets = np.random.default_rng(seed).integers(0, classes, n)
    logits = np.full((n, classes), -np.inf)  # two classes in play: the rule is exact then
    logits[np.arange(n), (targets + 1) % classes] = 0
    logits[np.arange(n), targets] = scale
    found = fit_temperature(logits, targets, loss=loss)
    confidence = found(logits).max(axis=1)
    np.testing.assert_allclose(confidence, 1 - 1 / (n + 2), rtol=1e-5)
    assert any("are right" in note for note in found.notes)


@pytest.mark.parametrize(("right", "n"), [(3, 4), (30, 40), (40, 40)])
def test_confidence_is_the_share_of_right_pixels_where_all_logits_are_alike(right, n):
    logits = np.tile([3.0, 1.0, 1.0, 0.0, -2.0], (n, 1))
    found = fit_temperature(logits, np.array([0] * right + [4] * (n - right)))
    share = right / n
    expected = (share * (n + 1) + (1 - share)) / (n + 2)  # one more pixel right, one wrong, as for Platt
    assert found(logits).max() == pytest.approx(expected, rel=1e-4)


def test_votes_are_calibrated_for_confidence_whatever_the_order_behind_the_first():
    rng = np.random.default_rng(0)
    places = np.stack([rng.permutation(12) for _ in range(4000)])
    votes = -places.astype(float)  # 0 for the winner, then -1, -2 ...
    targets = np.where(rng.random(4000) < 0.6, votes.argmax(axis=1), rng.integers(0, 12, 4000))
    errors = [
        calibration_error(fit_temperature(votes, targets, loss=loss)(votes), targets) for loss in LOSSES
    ]
    assert errors[0] < 0.005
    assert errors[1] > 0.1


def test_the_scale_of_the_logits_does_not_matter():
    logits, targets = drawn(300, 5, 1.0)
    one, ten = fit_temperature(logits, targets), fit_temperature(10 * logits, targets)
    assert ten.temperature == pytest.approx(10 * one.temperature, rel=1e-5)
    np.testing.assert_allclose(one(logits), ten(10 * logits), atol=1e-5)


def test_pixels_that_are_all_wrong_take_the_confidence_away():
    logits = np.array([[4.0, 1.0, 0.0], [5.0, -1.0, 0.0]] * 20)
    found = fit_temperature(logits, np.array([2, 1] * 20))
    assert found.temperature == pytest.approx(TEMPERATURES[1])
    assert found(logits).max() < 0.35
    assert (found(logits).argmax(axis=1) == 0).all()
    assert any("made equal" in note for note in found.notes)


def test_equal_logits_say_nothing():
    found = fit_temperature(np.zeros((9, 3)), np.zeros(9, int))
    np.testing.assert_allclose(found(np.zeros((2, 3))), 1 / 3, rtol=1e-6)


def test_one_class_alone_is_certain():
    found = fit_temperature(np.array([[3.0], [1.0]]), np.array([0, 0]))
    np.testing.assert_array_equal(found([[5.0], [-2.0]]), 1)


def test_without_pixels_nothing_changes_and_a_note_says_so():
    for fit in (fit_temperature, fit_dirichlet):
        found = fit(np.zeros((0, 3)), np.zeros(0, int))
        assert (found.method, found.temperature, found.pixels) == ("temperature", 1.0, 0)
        assert "no pixels" in found.notes[0]
        logits = np.array([[1.0, 2.0, -3.0]], np.float32)
        np.testing.assert_allclose(found(logits), softmax(logits, axis=1), rtol=1e-6)


def test_a_class_without_training_pixels_has_no_probability():
    logits = np.array([[2.0, -np.inf, 1.0], [0.0, -np.inf, 5.0], [-np.inf] * 3])
    for calibration in (
        Calibration(temperature=2.0),
        Calibration("dirichlet", weights=((0.5, 0.1, 0), (0, 1, 0), (0, 0.1, 0.7)), bias=(0.1, 4.0, 0)),
    ):
        proba = calibration(logits)
        assert (proba[:2, 1] == 0).all()
        np.testing.assert_allclose(proba.sum(axis=1), 1, rtol=1e-6)
        np.testing.assert_allclose(proba[2], 1 / 3, rtol=1e-6)
    np.testing.assert_allclose(
        Calibration(temperature=2.0)(logits)[0, [0, 2]], softmax([1.0, 0.5]), rtol=1e-6
    )


def test_a_true_class_without_logit_counts_as_the_last_one():
    logits, targets = drawn(200, 4, 1.0)
    logits[:, 3] = logits.min(axis=1) - 1
    floored = fit_temperature(logits, targets, loss="likelihood")
    missing = logits.copy()
    missing[:, 3] = -np.inf
    known = targets != 3
    with_unknown = fit_temperature(missing, targets, loss="likelihood")
    without = fit_temperature(missing[known], targets[known], loss="likelihood")
    assert (~known).sum() > 10
    assert math.isfinite(with_unknown.temperature)
    assert with_unknown.temperature > without.temperature
    assert floored.temperature > without.temperature
    for loss in LOSSES:
        all_unknown = fit_temperature(missing, np.full(200, 3), loss=loss)
        assert all_unknown.temperature == pytest.approx(TEMPERATURES[1])


def test_each_group_weighs_the_same():
    logits, targets = drawn(60, 3, 2.0)
    groups = np.array([7] * 50 + [2] * 6 + [5] * 4)
    grouped = fit_temperature(logits, targets, groups=groups)
    weights = 1 / np.array([50] * 50 + [6] * 6 + [4] * 4)
    weighted = fit_temperature(logits, targets, weights=weights)
    assert grouped.temperature == pytest.approx(weighted.temperature)
    assert grouped.temperature != pytest.approx(fit_temperature(logits, targets).temperature, rel=1e-3)


def test_pixels_of_weight_zero_do_not_matter():
    logits, targets = drawn(80, 4, 1.5)
    weights = np.ones(80)
    weights[30:] = 0
    some = fit_temperature(logits, targets, weights=weights)
    assert some.temperature == pytest.approx(fit_temperature(logits[:30], targets[:30]).temperature)


@given(
    hnp.arrays(np.float32, hnp.array_shapes(min_dims=1, max_dims=4, max_side=5),
               elements=st.floats(-200, 200, width=32)),
    st.floats(0.05, 50),
)  # fmt: skip
@settings(deadline=None)
def test_any_shape_becomes_probabilities_in_the_same_order(logits, temperature):
    proba = Calibration(temperature=temperature)(logits)
    assert proba.shape == logits.shape
    np.testing.assert_allclose(proba, softmax(np.float64(logits) / temperature, axis=-1), atol=2e-6)
    np.testing.assert_allclose(proba.sum(axis=-1), 1, rtol=1e-5)
    top = np.take_along_axis(proba, logits.argmax(axis=-1)[..., None], axis=-1)
    assert (top == proba.max(axis=-1, keepdims=True)).all()


def test_many_rows_are_done_in_pieces():
    logits = np.random.default_rng(0).normal(size=(300_000, 2)).astype(np.float32)
    np.testing.assert_allclose(Calibration(temperature=3.0)(logits), softmax(logits / 3, axis=1), atol=1e-6)


def test_probabilities_can_be_calibrated_again():
    logits, targets = drawn(500, 4, 1.0)
    proba = Calibration(temperature=0.5)(logits)
    second = fit_temperature(np.log(proba), targets)
    once = fit_temperature(logits, targets)
    assert second.temperature == pytest.approx(2 * once.temperature, rel=0.01)
    np.testing.assert_allclose(second.on_probabilities(proba), once(logits), atol=2e-3)
    some = second.on_probabilities([[0.0, 0.25, 0.75, 0.0]])
    assert some[0, 0] == some[0, 3] == 0
    power = np.array([0.25, 0.75]) ** (1 / second.temperature)
    np.testing.assert_allclose(some[0, 1:3], power / power.sum(), rtol=1e-5)


def dirichlet_loss(flat, q, targets, temperature, penalty):
    """The documented loss of Dirichlet calibration, without its gradient."""
    classes, n = q.shape[1], len(q)
    matrix, bias = flat[:-classes].reshape(classes, classes), flat[-classes:]
    log_proba = log_softmax(q @ matrix.T + bias, axis=1)
    rival = np.where(np.eye(classes, dtype=bool)[targets], -np.inf, q).argmax(axis=1)
    rows = np.arange(n)
    doubt = 1 / (n + 2)
    loss = -((1 - doubt) * log_proba[rows, targets] + doubt * log_proba[rows, rival]).mean()
    return loss + penalty * (((matrix - np.eye(classes) / temperature) ** 2).mean() + (bias**2).mean())


@pytest.mark.parametrize("penalty", [0.01, 1.0])
def test_dirichlet_calibration_has_the_lowest_loss_that_scipy_finds(penalty):
    logits, targets = drawn(150, 3, 2.0, seed=4)
    targets[logits.argmax(axis=1) == 0] = 1  # class 0 is always taken for class 1
    found = fit_dirichlet(logits, targets, penalty=penalty)
    assert found.method == "dirichlet"
    q = log_softmax(np.float64(logits), axis=1)
    temperature = fit_temperature(logits, targets, loss="likelihood").temperature
    ours = np.concatenate([np.ravel(found.weights), found.bias])
    start = np.concatenate([(np.eye(3) / temperature).ravel(), np.zeros(3)])
    arguments = (np.maximum(q, -30), targets, temperature, penalty)
    theirs = minimize(dirichlet_loss, start, args=arguments, method="BFGS", options={"gtol": 1e-7})
    assert dirichlet_loss(ours, *arguments) <= theirs.fun + 1e-6
    assert (found(logits).argmax(axis=1) == targets).mean() > (logits.argmax(axis=1) == targets).mean()
    expected = softmax(q @ np.array(found.weights).T + np.array(found.bias), axis=1)
    np.testing.assert_allclose(found(logits), expected, atol=1e-5)


def test_dirichlet_calibration_is_kept_only_where_it_helps():
    logits, targets = drawn(600, 3, 1.0, seed=2)
    assert fit_dirichlet(logits, targets).method in ("temperature", "dirichlet")
    swapped = np.where(targets == 2, 1, targets)  # no pixel of class 2: the matrix has something to learn
    logits_of_three = logits.copy()
    found = fit_dirichlet(logits_of_three, swapped)
    assert found.method == "dirichlet"
    one = fit_temperature(logits, swapped, loss="likelihood")
    rows = np.arange(600)
    assert -np.log(found(logits)[rows, swapped]).mean() < -np.log(one(logits)[rows, swapped]).mean()
    few = fit_dirichlet(logits[:40], targets[:40], groups=np.arange(40) % 2)  # two groups make no three folds
    assert few.method == "temperature"
    assert any("no better" in note for note in few.notes)


def test_a_strong_penalty_is_temperature_scaling_and_a_class_without_pixels_stays():
    logits, targets = drawn(400, 4, 3.0, seed=8)
    strong = fit_dirichlet(logits, targets, penalty=1e6)
    plain = fit_temperature(logits, targets, loss="likelihood")
    np.testing.assert_allclose(strong(logits), plain(logits), atol=1e-3)
    seen = targets != 3
    logits[:, 3] = -8  # never in question where validation pixels lie
    found = fit_dirichlet(logits[seen], targets[seen], penalty=1.0)
    assert found(np.array([[0.0, 0.0, 0.0, 25.0]])).argmax() == 3


@pytest.mark.parametrize("fit", [fit_temperature, fit_dirichlet])
def test_a_calibration_survives_json(fit):
    logits, targets = drawn(90, 3, 2.0)
    found = fit(logits, targets, **({"penalty": 0.1} if fit is fit_dirichlet else {}))
    again = Calibration.from_dict(json.loads(json.dumps(found.as_dict())))
    assert again == found
    np.testing.assert_array_equal(again(logits), found(logits))


@pytest.mark.parametrize(
    "table",
    [
        {},
        {"method": "platt"},
        {"method": "temperature", "temperature": 0},
        {"method": "temperature", "temperature": "warm"},
        {"method": "temperature", "temperature": math.nan},
        {"method": "temperature", "temperature": 1, "bias": [1.0]},
        {"method": "dirichlet"},
        {"method": "dirichlet", "weights": [[1, 0]], "bias": [0, 0]},
        {"method": "dirichlet", "weights": 3, "bias": [0]},
        {"method": "dirichlet", "weights": [[math.inf]], "bias": [0]},
    ],
)
def test_a_damaged_calibration_is_told_in_one_sentence(table):
    with pytest.raises(InputError, match=r"fit it again|must be one of"):
        Calibration.from_dict(table)


@pytest.mark.parametrize(
    ("logits", "targets", "options", "words"),
    [
        (np.zeros((2, 3)), [0], {}, "logits \\(n, classes\\)"),
        (np.zeros(3), [0, 1, 2], {}, "logits \\(n, classes\\)"),
        (np.zeros((2, 3)), [0, 3], {}, "from 0 to 2"),
        (np.zeros((2, 3)), [-1, 0], {}, "from 0 to 2"),
        (np.zeros((2, 3)), [0.5, 1.0], {}, "whole numbers"),
        (np.array([[0, np.nan]]), [0], {}, "not finite"),
        (np.array([[0, np.inf]]), [0], {}, "not finite"),
        (np.array([[-np.inf, -np.inf]]), [0], {}, "not finite"),
        (np.zeros((2, 3)), [0, 1], {"weights": [1.0]}, "weights must be"),
        (np.zeros((2, 3)), [0, 1], {"weights": [0.0, 0.0]}, "not all 0"),
        (np.zeros((2, 3)), [0, 1], {"weights": [-1.0, 3.0]}, "0 or more"),
        (np.zeros((2, 3)), [0, 1], {"groups": [1, 2, 3]}, "groups must be"),
    ],
)
def test_bad_input_is_told_in_one_sentence(logits, targets, options, words):
    for fit in (fit_temperature, fit_dirichlet):
        with pytest.raises(InputError, match=words):
            fit(logits, np.array(targets), **options)


def test_bad_sizes_losses_and_penalties_are_told():
    with pytest.raises(InputError, match="must be one of confidence, likelihood"):
        fit_temperature(np.zeros((2, 2)), np.array([0, 1]), loss="brier")
    calibration = Calibration("dirichlet", weights=((1.0, 0.0), (0.0, 1.0)), bias=(0.0, 0.0))
    with pytest.raises(InputError, match="for 2 classes, not 3"):
        calibration(np.zeros((4, 3)))
    with pytest.raises(InputError, match="Logits must be"):
        Calibration()(np.zeros((4, 0)))
    for penalty in (0.0, -1.0, math.nan):
        with pytest.raises(InputError, match="penalty must be above 0"):
            fit_dirichlet(np.zeros((2, 2)), np.array([0, 1]), penalty=penalty)
