"""Names and options of repeated runs."""

from __future__ import annotations

from dataclasses import replace

from hsi.runs.config import Config
from hsi.runs.repetitions import repetitions

PLAIN = Config(model="svm", dataset="demo", seed=7, scheme="disjoint")


def test_seeds_folds_and_both():
    assert repetitions(PLAIN, [3, 4]) == {"seed3": replace(PLAIN, seed=3), "seed4": replace(PLAIN, seed=4)}
    folds = replace(PLAIN, folds=2)
    assert repetitions(folds, [7]) == {f"fold{k}": replace(folds, fold=k) for k in range(2)}
    assert list(repetitions(folds, [0, 1])) == ["seed0-fold0", "seed0-fold1", "seed1-fold0", "seed1-fold1"]
    one = replace(folds, fold=1)
    assert repetitions(one, [0]) == {"seed0": replace(one, seed=0)}
