"""Scores whose largest is what the estimator predicts, however close the second."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hsi.models.classical_estimators import RECIPES, class_scores


class Fixed:
    """A classifier with given decision values or probabilities."""

    def __init__(self, values: np.ndarray, classes: list[int], method: str) -> None:
        self.classes_ = np.array(classes)
        setattr(self, method, lambda features: values)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    trained=st.integers(2, 6),
    method=st.sampled_from(["decision_function", "predict_proba"]),
)
def test_close_seconds_stay_second_in_single_precision(seed: int, trained: int, method: str) -> None:
    random = np.random.default_rng(seed)
    values = random.random((50, trained)) / trained
    winner = random.integers(0, trained, 50)
    second = (winner + 1 + random.integers(0, trained - 1, 50)) % trained
    rows = np.arange(50)
    values[rows, winner] = 1.0
    values[rows, second] = np.nextafter(1.0, 0.0)
    if method == "decision_function" and trained == 2:
        values = values[:, 1] - values[:, 0]
    classes = sorted(random.choice(8, trained, replace=False).tolist())
    scores = class_scores(Fixed(values, classes, method), np.zeros((50, 1)), 8)
    found = torch.from_numpy(scores).float().argmax(dim=1).numpy()
    assert np.array_equal(found, np.array(classes)[winner])
    assert np.isneginf(np.delete(scores, classes, axis=1)).all()


def test_no_votes_is_no_warning() -> None:
    with np.errstate(all="raise"):
        scores = class_scores(
            Fixed(np.array([[0.0, 1.0, 0.0]]), [0, 1, 2], "predict_proba"), np.zeros((1, 1)), 3
        )
    assert scores.tolist() == [[-np.inf, 0.0, -np.inf]]


def test_grids_follow_the_features() -> None:
    random = np.random.default_rng(0)
    features = random.normal(0, 3, (500, 8))
    grid = RECIPES["svm"].grid(features, 300)
    usual = 1 / (8 * features.var())
    assert min(grid["gamma"]) < usual / 128
    assert max(grid["gamma"]) > usual * 2
    assert all(np.log2(value).is_integer() for value in [*grid["gamma"], *grid["C"]])
    assert RECIPES["svm"].grid(np.zeros((4, 2)), 3)["gamma"] == [4.0**n for n in range(-4, 2)]
    assert RECIPES["knn"].grid(features, 8) == {"k": [7, 5, 3, 1]}
    assert RECIPES["forest"].grid(features, 300) == {}


@pytest.mark.parametrize("name", RECIPES)
def test_defaults_make_an_estimator(name: str) -> None:
    features, targets = np.random.default_rng(0).normal(size=(6, 3)), np.array([0, 0, 0, 1, 1, 1])
    recipe = RECIPES[name]
    estimator = recipe.make(recipe.default(features), 0, True)
    if name == "forest":
        assert estimator.get_params()["n_estimators"] == 500
        estimator.set_params(n_estimators=10)
    assert estimator.fit(features, targets).predict(features).shape == (6,)
