"""Choosing the settings of a classical classifier by cross-validation over separate pieces of ground."""

from __future__ import annotations

import math
import warnings

import numpy as np
from numpy.typing import NDArray

from hsi.models.classical_estimators import Chosen, Floats, Recipe

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
