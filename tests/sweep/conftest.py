"""Experiments of runs that take no time."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from hsi.sweep.experiment import read_experiment
from hsi.sweep.plan import PlannedRun, make_plan

TEXT = """
title = "Two models on the demo"
seeds = [0, 1]
[defaults]
epochs = 1
patch = 7
[scenes.demo]
[protocols.random]
scheme = "random"
train = 0.1
val = 0.05
[protocols.disjoint]
[models.densenet3d]
[models.svm-spatial]
model = "svm"
model_options = { features = "spatial" }
"""


@pytest.fixture
def experiment_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An experiment of two models, two protocols and two seeds, in the current folder."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "two.toml"
    path.write_text(TEXT, encoding="utf-8")
    return path


@pytest.fixture
def plan(experiment_file: Path) -> list[PlannedRun]:
    """Its eight runs."""
    return make_plan(read_experiment(experiment_file))


def finish(run: PlannedRun, oa: float = 0.9, **changed: object) -> None:
    """Write the files of a finished run, without a training."""
    begin(run)
    score = dict.fromkeys(("oa", "aa", "kappa", "mean_precision", "f1_macro"), oa)
    metrics = {
        "model": run.config.model,
        "dataset": "demo",
        "synthetic": True,
        "seed": run.config.seed,
        "preset": run.config.preset,
        "scheme": run.config.scheme,
        "patch": run.config.patch,
        "bands": 64,
        "components": None,
        "params": None if run.config.model == "svm" else 1234,
        "macs": None if run.config.model == "svm" else 5678,
        "device": "cpu",
        "epochs": 1,
        "counts": {"train": 100, "val": 50, "test": 850},
        "leakage": {"centre": 0.5, "overlap": 2 / 3},
        "val": score,
        "test": score,
        "seconds": {"load": 1.0, "train": 20.0, "test": 3.0},
        "peak_memory_mb": None,
        **changed,
    }
    (run.folder / "metrics.json").write_text(json.dumps(metrics), encoding="utf-8")


def begin(run: PlannedRun) -> None:
    """Write the files of a run that was interrupted."""
    run.folder.mkdir(parents=True, exist_ok=True)
    environment = {"hsi": "0.1.0", "processor": "A, B", "threads": 2, "packages": {"torch": "2.6"}}
    (run.folder / "environment.json").write_text(json.dumps(environment), encoding="utf-8")
    (run.folder / "config.toml").write_text(run.config.to_toml(), encoding="utf-8")


@pytest.fixture(name="finish")
def finish_() -> Callable[..., None]:
    """Write the files of a finished run, without a training."""
    return finish


@pytest.fixture(name="begin")
def begin_() -> Callable[[PlannedRun], None]:
    """Write the files of a run that was interrupted."""
    return begin
