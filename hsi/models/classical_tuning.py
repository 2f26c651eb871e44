"""The four classical classifiers and the cross-validation that chooses their hyperparameters.

What the grids and constants below do not set is scikit-learn's default. scikit-learn is imported on first
use, so that the table of models stays light.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Grid = dict[str, list[float]]
Chosen = dict[str, float]

TREES = 500
MAX_ITERATIONS = 5000  # of the logistic regression
FOLDS = 3
MAX_TUNING_PIXELS = 2000  # about; pixels used to choose the hyperparameters


class SklearnEstimator(Protocol):
    """The part of scikit-learn's classifiers that is used here."""

    classes_: Ints

    def fit(self, features: Floats, targets: Ints) -> Any:
        """Fit to ``(n, features)`` and the class of each row."""

    def predict(self, features: Floats) -> Ints:
        """Return the class of each row."""


@dataclass(frozen=True)
class Recipe:
    """How to make one classifier.

    Attributes
    ----------
    make
        ``(chosen, seed, balanced)`` to an unfitted estimator. `balanced` weights each class by its inverse
        frequency, where the estimator has such weights.
    grid
        ``(features, min_samples)`` to the values to try, simplest classifier first, where every fold trains
        on `min_samples` pixels or more; empty if there is nothing to tune.
    default
        ``(features)`` to the values for too few pixels to tune on.
    """

    make: Callable[[Chosen, int, bool], SklearnEstimator]
    grid: Callable[[Floats, int], Grid]
    default: Callable[[Floats], Chosen]


def _make_svm(chosen: Chosen, seed: int, balanced: bool) -> SklearnEstimator:
    """RBF kernel, one against one; ties are broken by the decision values."""
    from sklearn.svm import SVC

    return SVC(
        C=chosen["C"],
        gamma=chosen["gamma"],
        break_ties=True,
        cache_size=500,
        class_weight=_class_weight(balanced),
        random_state=seed,
    )


def _default_gamma(features: Floats) -> float:
    """Return the power of two next to 1 / (number of features x their variance)."""
    spread = features.shape[1] * float(features.var())
    return 2.0 ** -round(math.log2(spread)) if spread > 0 else 1.0


def _svm_grid(features: Floats, min_samples: int) -> Grid:
    middle = _default_gamma(features)
    return {"C": _powers(0, 10), "gamma": [middle * step for step in _powers(-8, 2)]}


def _make_forest(chosen: Chosen, seed: int, balanced: bool) -> SklearnEstimator:
    """Fully grown trees, the square root of the features per split; as many threads as PyTorch uses."""
    from sklearn.ensemble import RandomForestClassifier

    return RandomForestClassifier(
        TREES, class_weight=_class_weight(balanced), random_state=seed, n_jobs=torch.get_num_threads()
    )


def _make_logistic(chosen: Chosen, seed: int, balanced: bool) -> SklearnEstimator:
    """Multinomial, with an L2 penalty of 1 / C."""
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(
        C=chosen["C"], max_iter=MAX_ITERATIONS, class_weight=_class_weight(balanced), random_state=seed
    )


def _make_knn(chosen: Chosen, seed: int, balanced: bool) -> SklearnEstimator:
    """Euclidean distance, equal votes; the first class wins a tie."""
    from sklearn.neighbors import KNeighborsClassifier

    return KNeighborsClassifier(int(chosen["k"]))


def _knn_grid(features: Floats, min_samples: int) -> Grid:
    return {"k": [k for k in (25, 15, 9, 7, 5, 3, 1) if k <= min_samples]}


def _class_weight(balanced: bool) -> str | None:
    return "balanced" if balanced else None


def _powers(first: int, last: int) -> list[float]:
    """Return every second power of two."""
    return [2.0**power for power in range(first, last + 1, 2)]


RECIPES = {
    "svm": Recipe(_make_svm, _svm_grid, lambda features: {"C": 16.0, "gamma": _default_gamma(features)}),
    "forest": Recipe(_make_forest, lambda features, min_samples: {}, lambda features: {}),
    "logistic": Recipe(
        _make_logistic, lambda features, min_samples: {"C": _powers(-8, 6)}, lambda features: {"C": 1.0}
    ),
    "knn": Recipe(_make_knn, _knn_grid, lambda features: {"k": 1}),
}


def class_scores(estimator: Any, features: Floats, classes: int) -> Floats:
    """Return scores ``(n, classes)``, 0 for the winner and negative for the others.

    Logistic regression: log-probabilities up to a constant per pixel. Forest and k-NN: log of the share of
    votes over the winner's. SVM: decision value minus the winner's (no probability). Classes without
    training pixels or votes get -inf. The subtraction in float64 keeps close seconds distinct in float32.
    """
    if hasattr(estimator, "decision_function"):
        values = estimator.decision_function(features)
        if values.ndim == 1:
            values = np.stack([np.zeros_like(values), values], axis=1)
        below = values - values.max(axis=1, keepdims=True)
    else:
        shares = estimator.predict_proba(features)
        best = shares.max(axis=1, keepdims=True)
        with np.errstate(divide="ignore"):
            below = np.log1p((shares - best) / best)
    scores = np.full((len(features), classes), -np.inf)
    scores[:, estimator.classes_] = below
    return scores


def choose(
    recipe: Recipe, features: Floats, targets: Ints, groups: Ints, *, seed: int, balanced: bool
) -> tuple[Chosen, list[str]]:
    """Return the hyperparameters with the best mean OA over the folds (the simplest of equals), and notes.

    At most about `MAX_TUNING_PIXELS` pixels are used, the same share of each class. `groups` is the field of
    each pixel; a field is never in two folds. Both results are empty if there is nothing to tune.
    """
    subset = _stratified_subset(targets, seed)
    features, targets, groups = features[subset], targets[subset], groups[subset]
    if not recipe.grid(features, len(features)):
        return {}, []
    folds = spatial_folds(targets, groups)
    if not folds:
        chosen = recipe.default(features)
        return chosen, [f"Too few training pixels for cross-validation; defaults used: {_listed(chosen)}."]
    grid = recipe.grid(features, min(len(train) for train, _ in folds))
    chosen, oa = _grid_search(recipe, grid, folds, features, targets, seed, balanced)
    return chosen, [f"Chosen by cross-validation: {_listed(chosen)} (OA there {100 * oa:.2f} %)."]


def spatial_folds(targets: Ints, groups: Ints) -> list[tuple[Ints, Ints]]:
    """Return the ``(train, validation)`` rows of each of `FOLDS` folds, stratified as far as groups allow.

    Empty if there are fewer groups than folds, or fewer pixels in every class, or if a fold would leave one
    class to train on.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    if np.bincount(targets).max() < FOLDS or len(np.unique(groups)) < FOLDS:
        return []
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The least populated class")
        folds = list(StratifiedGroupKFold(FOLDS).split(targets[:, None], targets, groups))
    usable = all(len(val) and len(np.unique(targets[train])) > 1 for train, val in folds)
    return folds if usable else []


def _grid_search(
    recipe: Recipe,
    grid: Grid,
    folds: list[tuple[Ints, Ints]],
    features: Floats,
    targets: Ints,
    seed: int,
    balanced: bool,
) -> tuple[Chosen, float]:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.model_selection import ParameterGrid

    candidates: list[Chosen] = list(ParameterGrid(grid))
    mean_oa = []
    for chosen in candidates:
        oa = []
        for train, val in folds:
            estimator = recipe.make(chosen, seed, balanced)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)
                estimator.fit(features[train], targets[train])
            oa.append((estimator.predict(features[val]) == targets[val]).mean())
        mean_oa.append(float(np.mean(oa)))
    best = int(np.argmax(mean_oa))
    return candidates[best], mean_oa[best]


def _listed(chosen: Chosen) -> str:
    return ", ".join(f"{name} {value:g}" for name, value in chosen.items())


def _stratified_subset(targets: Ints, seed: int) -> Ints:
    """Return sorted rows: all, or the same random share of each class, one or more."""
    if len(targets) <= MAX_TUNING_PIXELS:
        return np.arange(len(targets))
    random = np.random.default_rng(seed)
    share = MAX_TUNING_PIXELS / len(targets)
    kept = []
    for label in np.unique(targets):
        rows = np.flatnonzero(targets == label)
        kept.append(random.choice(rows, math.ceil(share * len(rows)), replace=False))
    return np.sort(np.concatenate(kept))
