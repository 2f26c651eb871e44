"""Scores against scikit-learn and by hand; their mean and spread over runs."""

from __future__ import annotations

import math

import numpy as np
import pytest
import sklearn.metrics as sk
from hypothesis import given, settings
from hypothesis import strategies as st

from hsi.errors import InputError
from hsi.scoring import confusion_matrix, score, scores_of
from hsi.scoring.scores import SCORES, mean_and_std, spread_of


@st.composite
def labelled_pixels(draw):
    classes = draw(st.integers(2, 9))
    pairs = st.tuples(st.integers(1, classes), st.integers(1, classes))
    truth, pred = zip(*draw(st.lists(pairs, min_size=1, max_size=60)), strict=True)
    return np.array(truth), np.array(pred), classes


@settings(max_examples=60, deadline=None)
@given(labelled_pixels())
def test_every_score_equals_scikit_learn(case):
    truth, pred, classes = case
    ours = score(truth, pred, classes)
    present = np.unique(truth)
    assert ours.oa == pytest.approx(sk.accuracy_score(truth, pred))
    assert ours.aa == pytest.approx(
        sk.recall_score(truth, pred, labels=present, average="macro", zero_division=0)
    )
    assert ours.mean_precision == pytest.approx(
        sk.precision_score(truth, pred, average="macro", zero_division=0)
    )
    assert ours.f1_macro == pytest.approx(sk.f1_score(truth, pred, average="macro", zero_division=0))
    np.testing.assert_array_equal(
        ours.confusion, sk.confusion_matrix(truth, pred, labels=range(1, classes + 1))
    )
    if len(np.union1d(truth, pred)) > 1:
        assert ours.kappa == pytest.approx(sk.cohen_kappa_score(truth, pred))


def test_aa_is_mean_recall_not_mean_precision():
    # By hand: class 1 has 4 pixels (3 right), class 2 has 2 (1 right), class 3 has 1 (right).
    confusion = [[3, 1, 0], [0, 1, 1], [0, 0, 1]]
    ours = scores_of(confusion)
    assert ours.aa == pytest.approx((3 / 4 + 1 / 2 + 1) / 3)
    assert ours.mean_precision == pytest.approx((1 + 1 / 2 + 1 / 2) / 3)
    assert ours.aa != pytest.approx(ours.mean_precision)
    assert ours.oa == pytest.approx(5 / 7)


def test_transposing_swaps_recall_and_precision_only():
    confusion = np.array([[5, 2, 0], [1, 7, 3], [0, 0, 4]])
    one, other = scores_of(confusion), scores_of(confusion.T)
    np.testing.assert_allclose(one.recall, other.precision)
    assert one.kappa == pytest.approx(other.kappa)
    assert one.oa == other.oa


def test_unlabelled_pixels_are_left_out_and_no_class_zero_is_counted():
    ours = score([0, 0, 1, 2], [1, 2, 1, 1], 2)
    assert ours.support.tolist() == [1, 1]
    assert ours.oa == 0.5


def test_class_without_pixels_is_left_out_of_aa():
    ours = score([1, 1, 2], [1, 1, 1], 3)
    assert ours.recall[0] == 1
    assert ours.recall[1] == 0
    assert math.isnan(ours.recall[2])
    assert ours.aa == 0.5
    assert ours.as_dict()["recall"] == [1.0, 0.0, None]


def test_kappa_of_one_class_has_no_meaning():
    assert math.isnan(score([1, 1], [1, 1], 2).kappa)
    assert score([1, 1], [1, 1], 2).as_dict()["kappa"] is None


@pytest.mark.parametrize(
    ("truth", "pred", "classes", "sentence"),
    [
        ([1, 2], [1], 2, "one shape"),
        ([1, 3], [1, 1], 2, r"lie in 1..2"),
        ([1, 2], [1, 0], 2, r"Predicted labels .* lie in 1..2"),
        ([1.0, 2.0], [1, 1], 2, "must be integers"),
        ([0, 0], [1, 1], 2, "at least one of them above zero"),
        ([1], [1], 0, "at least 1"),
    ],
)
def test_bad_input_is_one_sentence(truth, pred, classes, sentence):
    with pytest.raises(InputError, match=sentence):
        score(truth, pred, classes)


def test_a_matrix_that_is_not_square_is_refused():
    with pytest.raises(InputError, match="square"):
        scores_of([[1, 2, 3], [1, 2, 3]])


def test_rows_are_truth():
    assert confusion_matrix([1, 1], [2, 2], 2).tolist() == [[0, 2], [0, 0]]


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_mean_and_standard_deviation_are_numpys_with_n_minus_1(values):
    mean, std = mean_and_std(values)
    assert mean == pytest.approx(np.mean(values))
    assert (std is None) == (len(values) == 1)
    if std is not None:
        assert std == pytest.approx(np.std(values, ddof=1), abs=1e-12)


def test_the_spread_of_each_score():
    metrics = [
        {"test": dict.fromkeys(SCORES, value), "val": dict.fromkeys(SCORES, 9.0)} for value in (0.2, 0.4)
    ]
    spread = spread_of(metrics)
    assert set(spread) == set(SCORES)
    assert spread["aa"] == {"mean": pytest.approx(0.3), "std": pytest.approx(0.02**0.5)}
    metrics[0]["test"]["kappa"] = None
    assert spread_of(metrics)["kappa"] == {"mean": None, "std": None}
    assert spread_of(metrics)["oa"] == spread["oa"]
    with pytest.raises(ValueError, match="no value"):
        mean_and_std([])
