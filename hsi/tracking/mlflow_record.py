"""A run in MLflow: on the server that MLFLOW_TRACKING_URI names, else in ``RUN/mlruns/mlflow.db`` (SQLite).

Needs the optional extra ``track``: MLflow's client alone, without its server and pages. The experiment is the
one that MLFLOW_EXPERIMENT_NAME names, else ``hsi``. MLflow sends statistics of its use to its makers; here it
does so only where MLFLOW_DISABLE_TELEMETRY is set to false.
"""

from __future__ import annotations

import logging
import os
import time
from pathlib import Path
from typing import Any

from hsi.files.atomic import write_text
from hsi.runs.config import Config
from hsi.tracking.record import Values, options_of

FOLDER, DATABASE, RUN_ID = "mlruns", "mlflow.db", "run_id"
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
        folder = (run / FOLDER).resolve()
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
