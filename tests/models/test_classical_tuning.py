"""Settings chosen over separate pieces of ground, against scikit-learn's own search."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsClassifier
from sklearn.svm import SVC

from hsi.models import classical_tuning
from hsi.models.classical_estimators import RECIPES
from hsi.models.classical_tuning import FOLDS, choose, spatial_folds


def noisy(count: int = 150, seed: int = 0):
    """Three classes that overlap, five pieces of ground each."""
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
def test_too_few_pixels_take_the_default_and_say_so(targets):
    targets = np.array(targets)
    features = np.random.default_rng(0).normal(size=(len(targets), 4))
    groups = np.arange(len(targets))
    if len(targets) == 4 and targets.sum() == 1:
        groups = targets  # one piece of ground a class: every fold would lose a class
    chosen, notes = choose(RECIPES["logistic"], features, targets, groups, seed=0, balanced=False)
    assert chosen == {"C": 1.0}
    assert notes == ["Too few training pixels for cross-validation; taken without it: C 1."]


def test_a_forest_has_nothing_to_choose():
    assert choose(RECIPES["forest"], *noisy(), seed=0, balanced=False) == ({}, [])


def test_many_pixels_are_thinned_alike_in_each_class(monkeypatch):
    monkeypatch.setattr(classical_tuning, "MOST_TUNED", 50)
    targets = np.repeat([0, 1, 2], [600, 390, 10])
    kept = classical_tuning._thinned(targets, seed=1)
    assert np.bincount(targets[kept]).tolist() == [30, 20, 1]
    assert np.array_equal(kept, np.unique(kept))
    assert np.array_equal(kept, classical_tuning._thinned(targets, seed=1))
    assert not np.array_equal(kept, classical_tuning._thinned(targets, seed=2))
