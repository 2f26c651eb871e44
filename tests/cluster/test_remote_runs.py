"""`hsi sweep --engine ray` on a real cluster: stopped, a machine killed, and the same files in the end."""

from __future__ import annotations

import json
import os
import re
import signal
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from safetensors.numpy import load_file

from hsi.cluster.connect import connected
from hsi.cluster.remote_runs import RemoteRun, TrainingTask, run_task
from hsi.cluster.shared_folder import verified_folder
from hsi.commands.app import run
from hsi.runs.status import RunState
from hsi.sweep.experiment import read_experiment
from hsi.sweep.plan import PlannedRun, make_plan
from hsi.training.session import train_config

TEXT = """
title = "Two models on the demo"
[defaults]
epochs = 2
patch = 7
pca = 8
train = 0.02
val = 0.01
scheme = "random"
device = "cpu"
[scenes.demo]
[protocols.random]
[protocols.long]
epochs = 60
[models.cnn1d]
[models.logistic]
[[grid]]
models = ["cnn1d"]
protocols = ["long"]
[[grid]]
models = ["cnn1d"]
protocols = ["random"]
seeds = [0, 1]
[[grid]]
models = ["logistic"]
protocols = ["random"]
"""
MEASURED = {"seconds", "peak_memory_mb"}
OURS = re.compile(r"note: |\[\d/\d\] ")


@pytest.fixture
def plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[PlannedRun]:
    monkeypatch.chdir(tmp_path)
    Path("e.toml").write_text(TEXT, encoding="utf-8")
    return make_plan(read_experiment("e.toml"))


@contextmanager
def in_background(work):
    """Do it in a thread meanwhile; what goes wrong in it is raised here."""
    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(work)
        yield
        done.result()


def same_files(made: Path, expected: Path) -> None:
    """Compare two run folders; what was measured and where may differ."""
    files = {path.relative_to(made) for path in made.rglob("*") if path.is_file()}
    assert files == {path.relative_to(expected) for path in expected.rglob("*") if path.is_file()}
    for name in ("config.toml", "split.npz", "preprocess.npz", "predictions.npz"):
        assert (made / name).read_bytes() == (expected / name).read_bytes(), name
    one, other = (json.loads((folder / "metrics.json").read_text()) for folder in (made, expected))
    assert {key: one[key] for key in one.keys() - MEASURED} == {
        key: other[key] for key in other.keys() - MEASURED
    }
    ours, theirs = (load_file(folder / "checkpoint" / "best.safetensors") for folder in (made, expected))
    assert ours.keys() == theirs.keys()
    assert all((ours[key] == theirs[key]).all() for key in ours)


def test_a_run_whose_process_is_lost_each_time_fails_in_the_end(cluster, plan, monkeypatch, wait_until):
    ray = pytest.importorskip("ray")
    monkeypatch.setattr("hsi.cluster.remote_runs.PAUSE_SECONDS", 0.0)
    messages: list[str] = []

    def crash() -> None:
        os._exit(1)

    def fail() -> None:
        raise ValueError("no such thing")

    with connected(), verified_folder(Path("runs")) as shared:
        task = TrainingTask(plan[0], 1, None, shared)
        crashing = RemoteRun(task, lambda _: ray.remote(max_retries=0)(crash).remote(), messages.append)
        failing = RemoteRun(task, lambda _: ray.remote(max_retries=0)(fail).remote(), messages.append)
        wait_until(lambda: not (crashing.running or failing.running))
    assert crashing.failure == "its machine or process was lost 4 times (WorkerCrashedError)"
    assert failing.failure == "ValueError: no such thing"
    assert messages == [f"{plan[0].key}: its machine was lost; another one takes it over."] * 3


def test_a_machine_that_does_not_see_the_folder_trains_nothing(plan):
    with verified_folder(Path("runs")) as shared:
        pass
    report = run_task(TrainingTask(plan[0], 1, None, shared))
    assert "does not see" in str(report.failure)
    assert plan[0].state is RunState.MISSING


def test_a_run_that_was_done_on_a_lost_machine_is_left_as_it_is(plan):
    train_config(plan[0].config, out=plan[0].folder)
    with verified_folder(Path("runs")) as shared:
        assert run_task(TrainingTask(plan[0], 1, None, shared)).failure is None
    assert not plan[0].folder.with_name("seed0.log").exists()


def test_a_sweep_is_stopped_loses_a_machine_and_ends_complete(plan, add_victim, capfd, tmp_path, wait_until):
    first, victim = plan[0], add_victim()

    def stop() -> None:
        wait_until(lambda: first.state is RunState.INTERRUPTED)
        os.kill(os.getpid(), signal.SIGINT)

    before = signal.getsignal(signal.SIGTERM)
    with in_background(stop):
        assert run(["sweep", "e.toml", "--engine", "ray", "--only", first.key]) == 130
    shown = capfd.readouterr()
    assert shown.err.endswith("hsi: Interrupted; the same command resumes.\n")
    assert "1 at a time on 3 machines of a Ray cluster, 1 thread each" in shown.err
    assert first.state is RunState.INTERRUPTED
    assert "Interrupted" in first.folder.with_name("seed0.log").read_text(encoding="utf-8")
    assert signal.getsignal(signal.SIGTERM) is before

    def run_lock(commands: list[list[str]]) -> bool:
        folders = [Path(command[-1]) for command in commands if "train" in command]
        return any((folder / "config.toml").is_file() for folder in folders)

    with in_background(lambda: victim.kill_when(run_lock)):
        assert run(["sweep", "e.toml", "--engine", "ray", "--json"]) == 0
    shown = capfd.readouterr()
    assert "its machine was lost; another one takes it over." in shown.err
    assert all(OURS.match(line) for line in shown.err.splitlines()), "Ray's own words"
    assert {each["state"] for each in json.loads(shown.out)["runs"]} == {"done"}
    assert not json.loads(shown.out)["failed"]
    assert {path.name for path in Path("runs/sweeps/e").iterdir()} == {"demo"}
    for number, each in enumerate(plan):
        train_config(each.config, out=tmp_path / str(number))
        same_files(each.folder, tmp_path / str(number))
