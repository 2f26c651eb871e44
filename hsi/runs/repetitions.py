"""One training repeated: over seeds, and over the folds of a split where it has folds and none is named."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from hsi.runs.config import Config


def repetitions(config: Config, seeds: Sequence[int]) -> dict[str, Config]:
    """Return the options of each run by the name of its folder.

    The seed fixes the split as well as the weights, so that networks that are repeated over the same seeds
    see the same splits.

    Parameters
    ----------
    config
        What is repeated. ``folds`` without ``fold`` asks for a run for each fold.
    seeds
        One run, or one for each fold, for each of them.

    Returns
    -------
    dict
        ``seed0, seed1, ...``; ``fold0, fold1, ...`` where there is one seed; ``seed0-fold0, ...`` else.
    """
    made: dict[str, Config] = {}
    for seed in seeds:
        if config.folds is None or config.fold is not None:
            made[f"seed{seed}"] = replace(config, seed=seed)
            continue
        for fold in range(config.folds):
            name = f"fold{fold}" if len(seeds) == 1 else f"seed{seed}-fold{fold}"
            made[name] = replace(config, seed=seed, fold=fold)
    return made
