"""What a training tells the outside while it runs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypedDict


class EpochRow(TypedDict):
    """One row of history.csv; OA as fractions, `overflows` as steps left out after one in float16."""

    epoch: int
    lr: float
    train_loss: float
    train_oa: float
    val_loss: float
    val_oa: float
    overflows: int
    seconds: float


class Callback:
    """Told of each step of a training; this one stays silent, progress displays derive from it."""

    def on_run_folder(self, folder: Path) -> None:
        """The run folder holds its inputs: from now on it can be gone on with."""

    def on_train_start(self, folder: Path, epochs: int, done: int, steps: int) -> None:
        """Training begins in `folder`: `done` of `epochs` epochs are over, each has `steps` steps."""

    def on_step(self, loss: float) -> None:
        """One step was taken with this loss; on a GPU the calls come in bunches, see `hsi.training.epoch_metrics`."""

    def on_epoch(self, row: EpochRow, best: bool) -> None:
        """One epoch is over; `best` says that it has the best validation OA so far."""

    def on_train_end(self) -> None:
        """Training is over, finished or not."""

    def on_scored(self, metrics: Mapping[str, Any]) -> None:
        """The run is finished: `metrics` is what its metrics.json holds."""

    def message(self, sentence: str) -> None:
        """Pass on something that the user should know."""
