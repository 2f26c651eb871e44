"""The events of a training, for progress displays and trackers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypedDict


class EpochRow(TypedDict):
    """One row of history.csv; OA are fractions, `overflows` the steps skipped since float16 overflowed."""

    epoch: int
    lr: float
    train_loss: float
    train_oa: float
    val_loss: float
    val_oa: float
    overflows: int
    seconds: float


class Callback:
    """Receives the events of a training; this one ignores them all."""

    def on_run_folder(self, folder: Path) -> None:
        """The run folder holds its inputs: from now on the run can be resumed."""

    def on_train_start(self, folder: Path, epochs: int, done: int, steps: int) -> None:
        """Training begins in `folder`: `done` of `epochs` epochs are over, each has `steps` steps."""

    def on_step(self, loss: float) -> None:
        """One step is over; on a GPU the calls come in groups, see `hsi.training.epoch_metrics`."""

    def on_epoch(self, row: EpochRow, best: bool) -> None:
        """One epoch is over; `best` if it has the best validation OA so far."""

    def on_train_end(self) -> None:
        """Training has ended, finished or not."""

    def on_scored(self, metrics: Mapping[str, Any]) -> None:
        """The run is finished; `metrics` is what metrics.json holds."""

    def message(self, sentence: str) -> None:
        """Show a message to the user."""
