"""A training logged to experiment trackers while it runs; needs the optional extra ``track``.

TensorBoard: events in ``RUN/tensorboard``, scalars in single precision.

MLflow: on the server that MLFLOW_TRACKING_URI names, else in ``RUN/mlruns/mlflow.db`` (SQLite). Its client
alone is needed, without server and pages. The experiment is MLFLOW_EXPERIMENT_NAME, else ``hsi``. MLflow's
telemetry is off unless MLFLOW_DISABLE_TELEMETRY is set to false.

The step is the epoch, 0-based as in history.csv.
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
from hsi.errors import ConfigError, install_command, unknown
from hsi.inference.run import Run
from hsi.io.files import write_text
from hsi.scoring.scores import SCORES
from hsi.training.callbacks import Callback, EpochRow

SUBSETS = ("train", "val", "test")
EVERY_EPOCH = "train_oa"
"""A column that every epoch has; its steps are the epochs that a record holds."""

Values = Mapping[str, float]


class Record(Protocol):
    """One run in one tracker; every method may raise what the tracker raises."""

    def epochs(self) -> set[int]:
        """Return the epochs (0-based) that earlier sessions logged."""

    def add(self, epoch: int, values: Values) -> None:
        """Log the columns of history.csv for an epoch."""

    def pause(self) -> None:
        """Write everything out: the training has stopped, finished or not."""

    def finish(self, scores: Values) -> None:
        """Log the final scores, of the weights that were kept; nothing follows."""


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
    """Return the scores of each subset and the leakage, as fractions: ``test/oa``, ``leakage/overlap``."""
    scores = {f"{name}/{key}": metrics[name][key] for name in SUBSETS if metrics.get(name) for key in SCORES}
    scores |= {f"leakage/{key}": value for key, value in metrics["leakage"].items()}
    return {key: float(value) for key, value in scores.items() if value is not None and not math.isnan(value)}


class TensorBoardRecord:
    """Scalars for each epoch, the config as text and, at the end, options and scores for the HPARAMS page."""

    def __init__(self, run: Path, config: Config) -> None:
        from torch.utils.tensorboard import SummaryWriter

        folder, self._options = run / "tensorboard", options_of(config)
        fresh = not folder.is_dir()
        self._epochs = set() if fresh else _epochs_in(folder)
        self._writer: Any = SummaryWriter(str(folder))
        if fresh:
            self._writer.add_text("config", f"```toml\n{config.to_toml()}```", 0)

    def epochs(self) -> set[int]:
        """Return the epochs in the event files of earlier sessions."""
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
        self._writer.add_hparams(self._options, dict(scores), run_name=".")
        self._writer.close()


def _epochs_in(folder: Path) -> set[int]:
    from tensorboard.backend.event_processing.event_accumulator import SCALARS, EventAccumulator

    events = EventAccumulator(str(folder), size_guidance={SCALARS: 0}).Reload()
    known = EVERY_EPOCH in events.Tags()[SCALARS]
    return {event.step for event in events.Scalars(EVERY_EPOCH)} if known else set()


class MlflowRecord:
    """Metrics for each epoch, the resolved options as params and, at the end, the scores as metrics.

    The id of MLflow's run is kept in ``RUN/mlruns/run_id``; where the store does not know it, a new run is
    made. Its status is RUNNING, KILLED after an interruption, and FINISHED once it is scored.
    """

    def __init__(self, run: Path, config: Config) -> None:
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        from mlflow.tracking import MlflowClient

        for verbose in ("mlflow.store.db.utils", "alembic"):  # they log each table that is made
            logging.getLogger(verbose).setLevel(logging.WARNING)
        folder = (run / "mlruns").resolve()
        folder.mkdir(exist_ok=True)
        local = f"sqlite:///{(folder / 'mlflow.db').as_posix()}"
        uri = os.environ.get("MLFLOW_TRACKING_URI") or local
        self._client: Any = MlflowClient(tracking_uri=uri)
        self._id_file = folder / "run_id"
        self._run_id = self._known_id() or self._create_run(run, config, local=uri == local)
        self._client.update_run(self._run_id, status="RUNNING")

    def epochs(self) -> set[int]:
        """Return the epochs that the store has of this run."""
        return {metric.step for metric in self._client.get_metric_history(self._run_id, EVERY_EPOCH)}

    def add(self, epoch: int, values: Values) -> None:
        """Send one metric for each column."""
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        metrics = [Metric(name, value, now, epoch) for name, value in values.items()]
        self._client.log_batch(self._run_id, metrics=metrics)

    def pause(self) -> None:
        """Mark the run as stopped, until `finish`."""
        self._client.update_run(self._run_id, status="KILLED")

    def finish(self, scores: Values) -> None:
        """Send the scores, as metrics of their own, and end the run."""
        self.add(0, scores)
        self._client.set_terminated(self._run_id, status="FINISHED")

    def _known_id(self) -> str | None:
        """Return the id of the run that an earlier session made in this store, if it is there."""
        from mlflow.exceptions import MlflowException

        try:
            return str(self._client.get_run(self._id_file.read_text(encoding="utf-8").strip()).info.run_id)
        except (FileNotFoundError, MlflowException):
            return None

    def _create_run(self, run: Path, config: Config, *, local: bool) -> str:
        from mlflow.entities import Param

        name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or "hsi"
        experiment = self._client.get_experiment_by_name(name)
        if experiment is not None:
            experiment_id = experiment.experiment_id
        else:
            artifacts = (self._id_file.parent / "artifacts").as_uri() if local else None
            experiment_id = self._client.create_experiment(name, artifact_location=artifacts)
        made = self._client.create_run(experiment_id, run_name=run.name, tags={"hsi.run": str(run)})
        options = [Param(name, str(value)) for name, value in options_of(config).items()]
        self._client.log_batch(made.info.run_id, params=options)
        write_text(self._id_file, f"{made.info.run_id}\n")
        return str(made.info.run_id)


@dataclass(frozen=True)
class Tracker:
    """How a run is opened in a tracker, and the packages that it needs."""

    open: Callable[[Path, Config], Record]
    packages: tuple[str, ...]


TRACKERS = {
    "tensorboard": Tracker(TensorBoardRecord, ("tensorboard",)),
    "mlflow": Tracker(MlflowRecord, ("mlflow", "sqlalchemy", "alembic")),
}


def with_trackers(callback: Callback, names: Sequence[str]) -> Callback:
    """Return a callback that also logs to the named trackers; with no names, `callback` itself.

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
                    f"Tracking with {name} needs {package}, which is not installed: "
                    f"{install_command('track')}."
                )
    return TrackingCallback(callback, tuple(dict.fromkeys(names))) if names else callback


class TrackingCallback(Callback):
    """Passes all events to another callback, and logs each epoch and the final scores to trackers.

    Trackers hold what history.csv holds: epochs of an interrupted run that they lack are added when it is
    resumed. When a tracker fails, the user gets a message, and the training continues without it.

    Parameters
    ----------
    callback
        The other callback.
    names
        Keys of `TRACKERS`.
    """

    def __init__(self, callback: Callback, names: tuple[str, ...]) -> None:
        self.callback, self.names = callback, names
        self.records: dict[str, Record] = {}
        self.logged: dict[str, set[int]] = {}

    def on_run_folder(self, folder: Path) -> None:
        """Pass on."""
        self.callback.on_run_folder(folder)

    def on_train_start(self, folder: Path, epochs: int, done: int, steps: int) -> None:
        """Open a record in each tracker, and add the epochs that it lacks."""
        self.callback.on_train_start(folder, epochs, done, steps)
        self.records, self.logged = {}, {}
        for name in self.names:
            self._try(name, partial(self._open, name, folder, done))

    def on_step(self, loss: float) -> None:
        """Pass on."""
        self.callback.on_step(loss)

    def on_epoch(self, row: EpochRow, best: bool) -> None:
        """Log the epoch."""
        self.callback.on_epoch(row, best)
        self._for_each(lambda name: self._add(name, row))

    def on_train_end(self) -> None:
        """Write the records out."""
        self.callback.on_train_end()
        self._for_each(lambda name: self.records[name].pause())

    def message(self, sentence: str) -> None:
        """Pass on."""
        self.callback.message(sentence)

    def on_scored(self, metrics: Mapping[str, Any]) -> None:
        """Log the final scores."""
        self.callback.on_scored(metrics)
        self._for_each(lambda name: self.records[name].finish(scores_of(metrics)))

    def _open(self, name: str, folder: Path, done: int) -> None:
        run = Run(folder)
        record = TRACKERS[name].open(folder, run.config)
        self.records[name], self.logged[name] = record, set(record.epochs())
        for row in run.history[:done] if done else []:
            self._add(name, row)

    def _add(self, name: str, row: Mapping[str, Any]) -> None:
        epoch = int(row["epoch"])
        if epoch not in self.logged[name]:
            values = {column: float(value) for column, value in row.items() if column != "epoch"}
            self.records[name].add(epoch, values)
            self.logged[name].add(epoch)

    def _for_each(self, act: Callable[[str], None]) -> None:
        for name in tuple(self.records):
            self._try(name, partial(act, name))

    def _try(self, name: str, act: Callable[[], None]) -> None:
        try:
            act()
        except Exception as error:  # whatever a tracker, its server or its disk may do
            self.records.pop(name, None)
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
            self.callback.message(f"{name} failed, and this run continues without it: {reason}.")
