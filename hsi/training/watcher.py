"""What a training tells the outside while it runs."""

from __future__ import annotations

from pathlib import Path
from typing import TypedDict


class EpochRow(TypedDict):
    """One row of history.csv; OA as fractions."""

    epoch: int
    lr: float
    train_loss: float
    train_oa: float
    val_loss: float
    val_oa: float
    seconds: float


class Watcher:
    """Told of each step of a training; this one stays silent, progress displays derive from it."""

    def start(self, folder: Path, epochs: int, done: int, steps: int) -> None:
        """Training begins in `folder`: `done` of `epochs` epochs are over, each has `steps` steps."""

    def step(self, loss: float) -> None:
        """One step was taken with this loss."""

    def epoch(self, row: EpochRow, best: bool) -> None:
        """One epoch is over; `best` says that it has the best validation OA so far."""

    def stop(self) -> None:
        """Training is over, finished or not."""

    def say(self, sentence: str) -> None:
        """Pass on something that the user should know."""
