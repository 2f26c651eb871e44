"""A watcher with trackers behind it: they keep what it is told, and their failures stop no training."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from hsi.errors import ConfigError, unknown
from hsi.runs.config import Config
from hsi.runs.folder import Run
from hsi.tracking.mlflow_record import MlflowRecord
from hsi.tracking.record import Record, scores_of
from hsi.tracking.tensorboard_record import TensorBoardRecord
from hsi.training.watcher import EpochRow, Watcher


@dataclass(frozen=True)
class Tracker:
    """How a run is opened in a tracker, and the packages that it takes."""

    open: Callable[[Path, Config], Record]
    packages: tuple[str, ...]


TRACKERS = {
    "tensorboard": Tracker(TensorBoardRecord, ("tensorboard",)),
    "mlflow": Tracker(MlflowRecord, ("mlflow", "sqlalchemy", "alembic")),
}


def tracked(shown: Watcher, names: Sequence[str]) -> Watcher:
    """Return a watcher that tells `shown` and the named trackers; with no names, `shown` itself.

    Raises
    ------
    ConfigError
        For an unknown tracker, or one whose packages are not installed.
    """
    for name in names:
        if name not in TRACKERS:
            raise ConfigError(unknown("tracker", name, TRACKERS))
        for package in TRACKERS[name].packages:
            if find_spec(package) is None:
                raise ConfigError(
                    f"Tracking with {name} needs {package}, which is not installed: pip install 'hsi[track]'."
                )
    return Tracked(shown, tuple(dict.fromkeys(names))) if names else shown


class Tracked(Watcher):
    """Tells another watcher everything, and trackers of each epoch and of the final scores.

    Trackers hold what history.csv holds: epochs of an interrupted run that they miss are added when it goes
    on, those that they have are not. When one fails, the user is told, and the run goes on without it.

    Parameters
    ----------
    shown
        The other watcher.
    names
        Keys of `TRACKERS`.
    """

    def __init__(self, shown: Watcher, names: tuple[str, ...]) -> None:
        self.shown, self.names = shown, names
        self.records: dict[str, Record] = {}
        self.kept: dict[str, set[int]] = {}

    def begun(self, folder: Path) -> None:
        """Pass on."""
        self.shown.begun(folder)

    def start(self, folder: Path, epochs: int, done: int, steps: int) -> None:
        """Open a record in each tracker, and bring it up to the epochs that are over."""
        self.shown.start(folder, epochs, done, steps)
        self.records, self.kept = {}, {}
        for name in self.names:
            self._try(name, partial(self._open, name, folder, done))

    def step(self, loss: float) -> None:
        """Pass on."""
        self.shown.step(loss)

    def epoch(self, row: EpochRow, best: bool) -> None:
        """Keep the epoch."""
        self.shown.epoch(row, best)
        self._each(lambda name: self._add(name, row))

    def stop(self) -> None:
        """Have the records written out."""
        self.shown.stop()
        self._each(lambda name: self.records[name].pause())

    def say(self, sentence: str) -> None:
        """Pass on."""
        self.shown.say(sentence)

    def scored(self, metrics: Mapping[str, Any]) -> None:
        """Keep the final scores."""
        self.shown.scored(metrics)
        self._each(lambda name: self.records[name].finish(scores_of(metrics)))

    def _open(self, name: str, folder: Path, done: int) -> None:
        run = Run(folder)
        record = TRACKERS[name].open(folder, run.config)
        self.records[name], self.kept[name] = record, set(record.epochs())
        for row in run.history[:done] if done else []:
            self._add(name, row)

    def _add(self, name: str, row: Mapping[str, Any]) -> None:
        epoch = int(row["epoch"])
        if epoch not in self.kept[name]:
            values = {column: float(value) for column, value in row.items() if column != "epoch"}
            self.records[name].add(epoch, values)
            self.kept[name].add(epoch)

    def _each(self, act: Callable[[str], None]) -> None:
        for name in tuple(self.records):
            self._try(name, partial(act, name))

    def _try(self, name: str, act: Callable[[], None]) -> None:
        try:
            act()
        except Exception as error:  # whatever a tracker, its server or its disk may do
            self.records.pop(name, None)
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
            self.shown.say(f"{name} failed, and this run goes on without it: {reason}.")
