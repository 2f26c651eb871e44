"""What every tracker keeps of a run, and in which words.

A run as TensorBoard events in ``RUN/tensorboard``. Needs the optional extra ``track``.

TensorBoard keeps scalars in single precision. The step is the epoch, 0-based as in history.csv.

A run in MLflow: on the server that MLFLOW_TRACKING_URI names, else in ``RUN/mlruns/mlflow.db`` (SQLite).

Needs the optional extra ``track``: MLflow's client alone, without its server and pages. The experiment is the
one that MLFLOW_EXPERIMENT_NAME names, else ``hsi``. MLflow sends statistics of its use to its makers; here it
does so only where MLFLOW_DISABLE_TELEMETRY is set to false.

A watcher with trackers behind it: they keep what it is told, and their failures stop no training.
"""

from __future__ import annotations

import logging
import math
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

from hsi.config import Config
from hsi.errors import ConfigError, unknown
from hsi.inference.run import Run
from hsi.io.files import write_text
from hsi.scoring.scores import SCORES
from hsi.training.callbacks import Callback, EpochRow

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
    for name, value in config.as_dict().items():
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


TENSORBOARD_FOLDER = "tensorboard"
ALWAYS = "train_oa"
"""A column that every epoch has; it tells which epochs are there."""


class TensorBoardRecord:
    """Scalars for each epoch, the config as text and, at the end, options and scores for the HPARAMS page.

    Parameters
    ----------
    run
        The run folder.
    config
        Its resolved options.
    """

    def __init__(self, run: Path, config: Config) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self.folder, self.options = run / TENSORBOARD_FOLDER, options_of(config)
        fresh = not self.folder.is_dir()
        self._epochs = set() if fresh else _epochs_in(self.folder)
        self._writer: Any = SummaryWriter(str(self.folder))
        if fresh:
            self._writer.add_text("config", f"```toml\n{config.to_toml()}```", 0)

    def epochs(self) -> set[int]:
        """Return the epochs in the event files that earlier sessions wrote."""
        return self._epochs

    def add(self, epoch: int, values: Values) -> None:
        """Write one scalar for each column, to disk at once."""
        for name, value in values.items():
            self._writer.add_scalar(name, value, epoch)
        self._writer.flush()

    def pause(self) -> None:
        """Close the event file."""
        self._writer.close()

    def finish(self, scores: Values) -> None:
        """Write options and scores into the same folder, as one entry of the HPARAMS page."""
        self._writer.add_hparams(self.options, dict(scores), run_name=".")
        self._writer.close()


def _epochs_in(folder: Path) -> set[int]:
    from tensorboard.backend.event_processing.event_accumulator import SCALARS, EventAccumulator

    events = EventAccumulator(str(folder), size_guidance={SCALARS: 0}).Reload()
    return {event.step for event in events.Scalars(ALWAYS)} if ALWAYS in events.Tags()[SCALARS] else set()


MLFLOW_FOLDER, DATABASE, RUN_ID = "mlruns", "mlflow.db", "run_id"
ALWAYS = "train_oa"
"""A column that every epoch has; it tells which epochs are there."""


class MlflowRecord:
    """Metrics for each epoch, the resolved options as params and, at the end, the scores as metrics.

    The id of MLflow's run is kept in ``RUN/mlruns/run_id``; where the store does not know it, a new one is
    made. A run is RUNNING, KILLED after an interruption, and FINISHED once it is scored.

    Parameters
    ----------
    run
        The run folder.
    config
        Its resolved options.
    """

    def __init__(self, run: Path, config: Config) -> None:
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        from mlflow.tracking import MlflowClient

        for chatty in ("mlflow.store.db.utils", "alembic"):  # they tell of each table that is made
            logging.getLogger(chatty).setLevel(logging.WARNING)
        folder = (run / MLFLOW_FOLDER).resolve()
        folder.mkdir(exist_ok=True)
        local = f"sqlite:///{(folder / DATABASE).as_posix()}"
        uri = os.environ.get("MLFLOW_TRACKING_URI") or local
        self._client: Any = MlflowClient(tracking_uri=uri)
        self._run_id = self._known(folder) or self._new(run, folder, config, uri == local)
        self._client.update_run(self._run_id, status="RUNNING")

    def epochs(self) -> set[int]:
        """Return the epochs that the store has of this run."""
        return {metric.step for metric in self._client.get_metric_history(self._run_id, ALWAYS)}

    def add(self, epoch: int, values: Values) -> None:
        """Send one metric for each column; the step is the epoch, 0-based as in history.csv."""
        self._log(values, epoch)

    def pause(self) -> None:
        """Mark the run as one that was stopped; `finish` knows better."""
        self._client.update_run(self._run_id, status="KILLED")

    def finish(self, scores: Values) -> None:
        """Send the scores, as metrics of their own, and end the run."""
        self._log(scores, 0)
        self._client.set_terminated(self._run_id, status="FINISHED")

    def _known(self, folder: Path) -> str | None:
        """Return the id of the run that an earlier session made in this store, if it is there."""
        from mlflow.exceptions import MlflowException

        try:
            return str(
                self._client.get_run((folder / RUN_ID).read_text(encoding="utf-8").strip()).info.run_id
            )
        except (FileNotFoundError, MlflowException):
            return None

    def _new(self, run: Path, folder: Path, config: Config, local: bool) -> str:
        from mlflow.entities import Param

        name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or "hsi"
        experiment = self._client.get_experiment_by_name(name)
        if experiment is not None:
            number = experiment.experiment_id
        else:
            place = (folder / "artifacts").as_uri() if local else None
            number = self._client.create_experiment(name, artifact_location=place)
        made = self._client.create_run(number, run_name=run.name, tags={"hsi.run": str(run)})
        options = [Param(name, str(value)) for name, value in options_of(config).items()]
        self._client.log_batch(made.info.run_id, params=options)
        write_text(folder / RUN_ID, f"{made.info.run_id}\n")
        return str(made.info.run_id)

    def _log(self, values: Values, step: int) -> None:
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        self._client.log_batch(
            self._run_id, metrics=[Metric(name, value, now, step) for name, value in values.items()]
        )


@dataclass(frozen=True)
class Tracker:
    """How a run is opened in a tracker, and the packages that it takes."""

    open: Callable[[Path, Config], Record]
    packages: tuple[str, ...]


TRACKERS = {
    "tensorboard": Tracker(TensorBoardRecord, ("tensorboard",)),
    "mlflow": Tracker(MlflowRecord, ("mlflow", "sqlalchemy", "alembic")),
}


def tracked(shown: Callback, names: Sequence[str]) -> Callback:
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


class Tracked(Callback):
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

    def __init__(self, shown: Callback, names: tuple[str, ...]) -> None:
        self.shown, self.names = shown, names
        self.records: dict[str, Record] = {}
        self.kept: dict[str, set[int]] = {}

    def on_run_folder(self, folder: Path) -> None:
        """Pass on."""
        self.shown.on_run_folder(folder)

    def on_train_start(self, folder: Path, epochs: int, done: int, steps: int) -> None:
        """Open a record in each tracker, and bring it up to the epochs that are over."""
        self.shown.on_train_start(folder, epochs, done, steps)
        self.records, self.kept = {}, {}
        for name in self.names:
            self._try(name, partial(self._open, name, folder, done))

    def on_step(self, loss: float) -> None:
        """Pass on."""
        self.shown.on_step(loss)

    def on_epoch(self, row: EpochRow, best: bool) -> None:
        """Keep the epoch."""
        self.shown.on_epoch(row, best)
        self._each(lambda name: self._add(name, row))

    def on_train_end(self) -> None:
        """Have the records written out."""
        self.shown.on_train_end()
        self._each(lambda name: self.records[name].pause())

    def message(self, sentence: str) -> None:
        """Pass on."""
        self.shown.message(sentence)

    def on_scored(self, metrics: Mapping[str, Any]) -> None:
        """Keep the final scores."""
        self.shown.on_scored(metrics)
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
            self.shown.message(f"{name} failed, and this run goes on without it: {reason}.")
