"""Hyperparameters chosen over whole fields, against scikit-learn's own search; class scores."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsClassifier
from sklearn.svm import SVC

from hsi.models import classical_tuning
from hsi.models.classical_tuning import FOLDS, RECIPES, choose, class_scores, spatial_folds


def noisy(count: int = 150, seed: int = 0):
    """Three classes that overlap, five fields each."""
    random = np.random.default_rng(seed)
    targets = random.integers(0, 3, count)
    features = np.eye(3)[targets].repeat(2, axis=1) + random.normal(0, 0.8, (count, 6))
    return features, targets, targets * 5 + random.integers(0, 5, count)


@pytest.mark.parametrize(
    ("name", "estimator"),
    [
        ("svm", SVC(break_ties=True)),
        ("logistic", LogisticRegression(max_iter=5000)),
        ("knn", KNeighborsClassifier()),
    ],
)
def test_chooses_what_a_grid_search_chooses(name, estimator):
    features, targets, groups = noisy()
    chosen, notes = choose(RECIPES[name], features, targets, groups, seed=0, balanced=False)
    folds = spatial_folds(targets, groups)
    grid = RECIPES[name].grid(features, min(len(train) for train, _ in folds))
    if name == "knn":
        grid = {"n_neighbors": grid["k"]}
    search = GridSearchCV(estimator, grid, cv=folds, scoring="accuracy", refit=False).fit(features, targets)
    assert list(chosen.values()) == list(search.best_params_.values())
    assert len(np.unique(search.cv_results_["mean_test_score"])) > 1, "a flat grid would show nothing"
    assert f"OA there {100 * search.best_score_:.2f} %" in notes[0]


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000), count=st.integers(2, 80), classes=st.integers(2, 5))
def test_folds_hold_out_every_pixel_once_and_never_share_a_piece(seed, count, classes):
    random = np.random.default_rng(seed)
    targets = random.integers(0, classes, count)
    targets[:2] = 0, 1
    groups = targets * 100 + random.integers(0, 1 + count // 5, count)
    folds = spatial_folds(targets, groups)
    if not folds:
        return
    assert len(folds) == FOLDS
    assert sorted(np.concatenate([held for _, held in folds]).tolist()) == list(range(count))
    for train, held in folds:
        assert len(held)
        assert not set(groups[train]) & set(groups[held])
        assert sorted([*train, *held]) == list(range(count))
        assert len(np.unique(targets[train])) > 1


def test_pieces_enough_for_each_class_give_folds_with_all_classes():
    targets = np.repeat(np.arange(4), 30)
    groups = targets * 3 + np.tile(np.arange(3), 40)
    for train, held in spatial_folds(targets, groups):
        assert set(targets[train]) == set(targets[held]) == {0, 1, 2, 3}


@pytest.mark.parametrize("targets", [[0, 1], [0, 0, 1, 1], [0, 0, 0, 1]])
def test_too_few_pixels_take_the_default_with_a_note(targets):
    targets = np.array(targets)
    features = np.random.default_rng(0).normal(size=(len(targets), 4))
    groups = np.arange(len(targets))
    if len(targets) == 4 and targets.sum() == 1:
        groups = targets  # one field per class: every fold would lose a class
    chosen, notes = choose(RECIPES["logistic"], features, targets, groups, seed=0, balanced=False)
    assert chosen == {"C": 1.0}
    assert notes == ["Too few training pixels for cross-validation; defaults used: C 1."]


def test_a_forest_has_nothing_to_choose():
    assert choose(RECIPES["forest"], *noisy(), seed=0, balanced=False) == ({}, [])


def test_many_pixels_are_subsampled_alike_in_each_class(monkeypatch):
    monkeypatch.setattr(classical_tuning, "MAX_TUNING_PIXELS", 50)
    targets = np.repeat([0, 1, 2], [600, 390, 10])
    kept = classical_tuning._stratified_subset(targets, seed=1)
    assert np.bincount(targets[kept]).tolist() == [30, 20, 1]
    assert np.array_equal(kept, np.unique(kept))
    assert np.array_equal(kept, classical_tuning._stratified_subset(targets, seed=1))
    assert not np.array_equal(kept, classical_tuning._stratified_subset(targets, seed=2))


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
