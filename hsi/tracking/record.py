"""What every tracker keeps of a run, and in which words."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, Protocol

from hsi.runs.config import Config
from hsi.runs.spread import SCORES

PARTS = ("train", "val", "test")

Values = Mapping[str, float]


class Record(Protocol):
    """One run in one tracker; every method may fail as the tracker does."""

    def epochs(self) -> set[int]:
        """Return the epochs (0-based) that the record holds already."""

    def add(self, epoch: int, values: Values) -> None:
        """Keep what history.csv says of an epoch."""

    def pause(self) -> None:
        """The training has stopped, finished or not: what is kept must be there to read."""

    def finish(self, scores: Values) -> None:
        """Keep the final scores, of the best epoch; nothing follows."""


def options_of(config: Config) -> dict[str, bool | int | float | str]:
    """Return the resolved options that are used, one level deep: ``model_options.levels``."""
    table: dict[str, Any] = {}
    for name, value in dataclasses.asdict(config).items():
        if isinstance(value, dict):
            table.update({f"{name}.{key}": inner for key, inner in value.items()})
        elif value is not None:
            table[name] = value
    return {
        name: value if isinstance(value, bool | int | float | str) else str(value)
        for name, value in table.items()
    }


def scores_of(metrics: Mapping[str, Any]) -> dict[str, float]:
    """Return the scores of each part and the leakage, as fractions: ``test/oa``, ``leakage/overlap``."""
    scores = {f"{part}/{name}": metrics[part][name] for part in PARTS if metrics.get(part) for name in SCORES}
    scores |= {f"leakage/{name}": value for name, value in metrics["leakage"].items()}
    return {
        name: float(value) for name, value in scores.items() if value is not None and not math.isnan(value)
    }
