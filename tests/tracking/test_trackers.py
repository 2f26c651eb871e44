"""Trackers against history.csv and metrics.json of real runs, read back with the trackers' own libraries."""

import csv
import json

import numpy as np
import pytest

from hsi.commands.app import run
from hsi.training.callbacks import Callback

pytest.importorskip("tensorboard")
pytest.importorskip("mlflow")


@pytest.fixture
def words(small_scene, tiny, monkeypatch):
    """The command line of a short training into the folder r."""
    monkeypatch.chdir(small_scene.parent)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.delenv("MLFLOW_EXPERIMENT_NAME", raising=False)
    more = "--dataset scene.toml --protocol disjoint --train 0.3 --epochs 4 --batch 32 --device cpu --out r"
    return ["train", *tiny, *more.split()]


def history(folder="r"):
    with open(f"{folder}/history.csv", encoding="utf-8", newline="") as file:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]


def final_scores(folder="r"):
    with open(f"{folder}/metrics.json", encoding="utf-8") as file:
        metrics = json.load(file)
    assert 0 <= metrics["leakage"]["overlap"] <= 1
    return {
        "test/oa": metrics["test"]["oa"],
        "val/kappa": metrics["val"]["kappa"],
        "leakage/centre": metrics["leakage"]["centre"],
        "leakage/overlap": metrics["leakage"]["overlap"],
    }


def check_tensorboard(folder="r"):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(f"{folder}/tensorboard").Reload()
    rows = history(folder)
    for name in set(rows[0]) - {"epoch"}:
        found = [(event.step, event.value) for event in events.Scalars(name)]
        assert found == [(row["epoch"], np.float32(row[name])) for row in rows], name
    for name, value in final_scores(folder).items():
        assert [event.value for event in events.Scalars(name)] == [np.float32(value)]
    assert "_hparams_/session_start_info" in events.Tags()["tensors"] or any(
        "hparams" in name for name in events.summary_metadata
    )
    text = events.Tensors("config/text_summary")[0].tensor_proto.string_val[0].decode()
    assert 'model = "densenet3d"' in text


def check_mlflow(uri, folder="r", experiment="hsi"):
    from mlflow.tracking import MlflowClient

    client = MlflowClient(tracking_uri=uri)
    (made,) = client.search_runs([client.get_experiment_by_name(experiment).experiment_id])
    rows = history(folder)
    for name in set(rows[0]) - {"epoch"}:
        found = [(metric.step, metric.value) for metric in client.get_metric_history(made.info.run_id, name)]
        assert sorted(found) == [(row["epoch"], row[name]) for row in rows], name
    for name, value in final_scores(folder).items():
        assert made.data.metrics[name] == value
    assert made.info.status == "FINISHED"
    assert made.data.params["model"] == "densenet3d"
    assert made.data.params["epochs"] == "4"
    assert made.data.params["model_options.growth"] == "[4, 4, 4]"


def test_resumed_run_continues_the_same_records(words, monkeypatch, capsys):
    from hsi.tracking.trackers import TrackingCallback

    plain = TrackingCallback.on_epoch

    def interrupt(self, row, best):
        if row["epoch"] == 2:  # the checkpoint of this epoch is written, its record is not
            raise KeyboardInterrupt
        plain(self, row, best)

    both = ["--track", "tensorboard", "--track", "mlflow"]
    with monkeypatch.context() as patch:
        patch.setattr(TrackingCallback, "on_epoch", interrupt)
        assert run([*words, *both]) == 130
    assert run(["train", "--resume", "r", *both]) == 0
    assert len(history()) == 4
    check_tensorboard()
    check_mlflow("sqlite:///r/mlruns/mlflow.db")
    assert "failed" not in capsys.readouterr().err


def test_store_and_experiment_from_the_environment(words, monkeypatch, tmp_path):
    uri = (tmp_path / "own").as_uri()
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")  # made in less time than a database
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "mine")
    assert run([*words, "--track", "mlflow"]) == 0
    assert not (tmp_path / "r" / "mlruns" / "mlflow.db").exists()
    check_mlflow(uri, experiment="mine")


def test_failing_tracker_does_not_stop_the_run(words, monkeypatch, capsys):
    from hsi.tracking.trackers import TensorBoardRecord

    def fail(self, epoch, values):
        raise OSError("no space left")

    monkeypatch.setattr(TensorBoardRecord, "add", fail)
    assert run([*words, "--track", "tensorboard"]) == 0
    shown = capsys.readouterr().err
    assert shown.count("tensorboard failed, and this run continues without it: no space left.") == 1
    assert len(history()) == 4


def test_bad_names_and_missing_packages_write_nothing(words, monkeypatch, capsys, tmp_path):
    assert run([*words, "--track", "tensorbord"]) == 2
    assert "Did you mean 'tensorboard'?" in capsys.readouterr().err
    monkeypatch.setattr("hsi.tracking.trackers.find_spec", lambda name: None)
    assert run([*words, "--track", "mlflow"]) == 2
    assert "pip install 'hsi-toolkit[track]'" in capsys.readouterr().err
    assert not (tmp_path / "r").exists()


def test_no_names_no_wrapper():
    from hsi.tracking import with_trackers

    shown = Callback()
    assert with_trackers(shown, []) is shown
