"""Scores of repeated runs: their mean, and how far the runs lie apart."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

# What is told of a run as single numbers, here and by trackers; a fraction each.
SCORES = ("oa", "aa", "kappa", "mean_precision", "f1_macro")


def mean_and_std(values: Sequence[float]) -> tuple[float, float | None]:
    """Return the mean and the sample standard deviation (n - 1), None for a single value.

    Raises
    ------
    ValueError
        When there is no value.
    """
    if not values:
        raise ValueError("There is no value to take the mean of.")
    return statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else None


def spread_of(metrics: Iterable[Mapping[str, Any]], part: str = "test") -> dict[str, dict[str, float | None]]:
    """Return ``{"oa": {"mean": ..., "std": ...}, ...}`` over the metrics of several runs; fractions.

    A score that has no meaning in some run (kappa, where a fold has one class) has no mean: None.
    """
    scores = [one[part] for one in metrics]
    made: dict[str, dict[str, float | None]] = {}
    for name in SCORES:
        values = [score[name] for score in scores]
        mean, std = (None, None) if None in values else mean_and_std(values)
        made[name] = {"mean": mean, "std": std}
    return made
