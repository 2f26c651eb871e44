"""The four classical classifiers, each as scikit-learn's estimator with the grid that it is tuned on.

The grids and the size of the forest are our decisions; the rest are scikit-learn's defaults. scikit-learn is
imported when an estimator is made, so that the table of models stays light.

Choosing the settings of a classical classifier by cross-validation over separate pieces of ground.
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
Grid = dict[str, list[float]]
Chosen = dict[str, float]

TREES = 500
LONGEST = 5000  # iterations of the logistic regression


class SklearnEstimator(Protocol):
    """What is used of scikit-learn's classifiers."""

    classes_: NDArray[np.int64]

    def fit(self, features: Floats, targets: NDArray[np.int64]) -> Any:
        """Learn from ``(n, features)`` and the class of each row."""

    def predict(self, features: Floats) -> NDArray[np.int64]:
        """Return the class of each row."""


@dataclass(frozen=True)
class Recipe:
    """How to make one classifier.

    Attributes
    ----------
    make
        ``(chosen, seed, balanced)`` to an estimator that was not fitted yet. `balanced` weighs each class by
        the inverse of its frequency, where the estimator has such weights.
    grid
        ``(features, fewest)`` to the values that are tried, the simplest classifier first, where every fold
        trains on `fewest` pixels or more; empty for nothing to tune.
    default
        ``(features)`` to what is used where there are too few pixels to tune on.
    """

    make: Callable[[Chosen, int, bool], SklearnEstimator]
    grid: Callable[[Floats, int], Grid]
    default: Callable[[Floats], Chosen]


def _make_svm(chosen: Chosen, seed: int, balanced: bool) -> SklearnEstimator:
    """RBF kernel, one against one; equal votes are decided by the decision values."""
    from sklearn.svm import SVC

    return SVC(
        C=chosen["C"],
        gamma=chosen["gamma"],
        break_ties=True,
        cache_size=500,
        class_weight=_weight(balanced),
        random_state=seed,
    )


def _usual_gamma(features: Floats) -> float:
    """Return the power of two next to 1 / (number of features x their variance)."""
    spread = features.shape[1] * float(features.var())
    return 2.0 ** -round(math.log2(spread)) if spread > 0 else 1.0


def _svm_grid(features: Floats, fewest: int) -> Grid:
    middle = _usual_gamma(features)
    return {"C": _powers(0, 10), "gamma": [middle * step for step in _powers(-8, 2)]}


def _make_forest(chosen: Chosen, seed: int, balanced: bool) -> SklearnEstimator:
    """Grow trees to the end, the square root of the features at each cut; as many threads as PyTorch has."""
    from sklearn.ensemble import RandomForestClassifier

    return RandomForestClassifier(
        TREES, class_weight=_weight(balanced), random_state=seed, n_jobs=torch.get_num_threads()
    )


def _make_logistic(chosen: Chosen, seed: int, balanced: bool) -> SklearnEstimator:
    """Multinomial, with an L2 penalty of 1 / C."""
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(
        C=chosen["C"], max_iter=LONGEST, class_weight=_weight(balanced), random_state=seed
    )


def _make_knn(chosen: Chosen, seed: int, balanced: bool) -> SklearnEstimator:
    """Euclidean distance, equal votes; of two classes with as many votes the first is taken."""
    from sklearn.neighbors import KNeighborsClassifier

    return KNeighborsClassifier(int(chosen["k"]))


def _knn_grid(features: Floats, fewest: int) -> Grid:
    return {"k": [k for k in (25, 15, 9, 7, 5, 3, 1) if k <= fewest]}


def _weight(balanced: bool) -> str | None:
    return "balanced" if balanced else None


def _powers(first: int, last: int) -> list[float]:
    """Return every second power of two."""
    return [2.0**power for power in range(first, last + 1, 2)]


RECIPES = {
    "svm": Recipe(_make_svm, _svm_grid, lambda features: {"C": 16.0, "gamma": _usual_gamma(features)}),
    "forest": Recipe(_make_forest, lambda features, fewest: {}, lambda features: {}),
    "logistic": Recipe(
        _make_logistic, lambda features, fewest: {"C": _powers(-8, 6)}, lambda features: {"C": 1.0}
    ),
    "knn": Recipe(_make_knn, _knn_grid, lambda features: {"k": 1}),
}


def class_scores(estimator: Any, features: Floats, classes: int) -> Floats:
    """Return one score for each class, 0 for the winner and less for the others; ``(n, classes)``.

    Logistic regression: log-probabilities up to a constant of the pixel. Forest and k-NN: logarithms of the
    shares of votes, over that of the winner. SVM: decision values below that of the winner, which are no
    probabilities. A class without training pixels has minus infinity, and so has one without votes. Taking
    the winner off in double precision keeps close seconds apart in single precision.
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


Ints = NDArray[np.int64]

FOLDS = 3
MOST_TUNED = 2000  # pixels that settings are chosen on, about


def choose(
    recipe: Recipe, features: Floats, targets: Ints, groups: Ints, *, seed: int, balanced: bool
) -> tuple[Chosen, list[str]]:
    """Return the settings with the best mean OA over the folds, the simplest of equal ones.

    Parameters
    ----------
    recipe
        Its grid is tried, on at most about `MOST_TUNED` pixels, the same share of each class.
    features, targets, groups
        ``(n, features)``, class and piece of ground of each training pixel; a piece is never in two folds.
    seed, balanced
        As `Recipe.make` takes them; the seed draws the pixels too.

    Returns
    -------
    chosen, notes
        Empty where the recipe has nothing to choose; the notes say what was chosen and by what.
    """
    some = _thinned(targets, seed)
    features, targets, groups = features[some], targets[some], groups[some]
    if not recipe.grid(features, len(features)):
        return {}, []
    folds = spatial_folds(targets, groups)
    if not folds:
        chosen = recipe.default(features)
        return chosen, [f"Too few training pixels for cross-validation; taken without it: {_said(chosen)}."]
    grid = recipe.grid(features, min(len(train) for train, _ in folds))
    chosen, oa = _best_of(recipe, grid, folds, features, targets, seed, balanced)
    return chosen, [f"Chosen by cross-validation: {_said(chosen)} (OA there {100 * oa:.2f} %)."]


def spatial_folds(targets: Ints, groups: Ints) -> list[tuple[Ints, Ints]]:
    """Return ``(train, held out)`` row numbers of each of `FOLDS` folds.

    Classes are spread over them as evenly as the groups allow. Empty where there are fewer pieces of
    ground than folds, or fewer pixels in every class, or where a fold would leave one class to train on.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    if np.bincount(targets).max() < FOLDS or len(np.unique(groups)) < FOLDS:
        return []
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The least populated class")  # the caller says that, in its words
        folds = list(StratifiedGroupKFold(FOLDS).split(targets[:, None], targets, groups))
    whole = all(len(held) and len(np.unique(targets[train])) > 1 for train, held in folds)
    return folds if whole else []


def _best_of(
    recipe: Recipe,
    grid: dict[str, list[float]],
    folds: list[tuple[Ints, Ints]],
    features: Floats,
    targets: Ints,
    seed: int,
    balanced: bool,
) -> tuple[Chosen, float]:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.model_selection import ParameterGrid

    tried: list[Chosen] = list(ParameterGrid(grid))
    quality = []
    for chosen in tried:
        shares = []
        for train, held in folds:
            estimator = recipe.make(chosen, seed, balanced)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)
                estimator.fit(features[train], targets[train])
            shares.append((estimator.predict(features[held]) == targets[held]).mean())
        quality.append(float(np.mean(shares)))
    best = int(np.argmax(quality))
    return tried[best], quality[best]


def _said(chosen: Chosen) -> str:
    return ", ".join(f"{name} {value:g}" for name, value in chosen.items())


def _thinned(targets: Ints, seed: int) -> Ints:
    """Return rows, in rising order: all, or the same random share of each class and one at least."""
    if len(targets) <= MOST_TUNED:
        return np.arange(len(targets))
    random = np.random.default_rng(seed)
    share = MOST_TUNED / len(targets)
    kept = []
    for label in np.unique(targets):
        rows = np.flatnonzero(targets == label)
        kept.append(random.choice(rows, math.ceil(share * len(rows)), replace=False))
    return np.sort(np.concatenate(kept))
