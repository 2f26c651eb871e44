"""Run folders that were moved: real commands find the scene again."""

import json
import shutil

import numpy as np
import pytest

import hsi
from hsi.commands.app import run as command
from hsi.runs.folder import resolve_path
from hsi.training import Callback


@pytest.fixture
def project(small_scene, tmp_path, monkeypatch, tiny):
    """A project folder with scenes/small/ in it, entered; returns it and a training by relative paths."""
    folder = tmp_path / "project"
    (folder / "scenes/small").mkdir(parents=True)
    for name in ("scene.toml", "cube.npy", "labels.npy"):
        shutil.move(small_scene.parent / name, folder / "scenes/small" / name)
    monkeypatch.chdir(folder)
    said = ["train", "--dataset", "scenes/small/scene.toml", *tiny, "--epochs", "2", "--batch", "16"]
    said += ["--device", "cpu"]
    return folder, said


def scores(folder):
    metrics = json.loads((folder / "metrics.json").read_text())
    return {name: metrics[name] for name in ("train", "val", "test", "epochs", "leakage")}


def test_a_moved_run_evaluates_maps_and_reports_from_elsewhere(project, tmp_path, monkeypatch, capsys):
    folder, said = project
    assert command([*said, "--out", "runs/first"]) == 0
    before = scores(folder / "runs/first")
    assert command(["map", "runs/first", "--out", "map.npy", "--device", "cpu"]) == 0
    away = tmp_path / "away"
    away.mkdir()
    shutil.move(folder / "runs/first", away / "taken")
    monkeypatch.chdir(away)
    capsys.readouterr()
    assert command(["evaluate", "taken", "--device", "cpu", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["test"] == before["test"]
    assert command(["map", "taken", "--out", "map.npy", "--device", "cpu"]) == 0
    np.testing.assert_array_equal(np.load("map.npy"), np.load(folder / "map.npy"))


class StopAfter(Callback):
    def __init__(self, steps):
        self.left = steps

    def on_step(self, loss):
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt


def test_a_moved_run_resumes_to_the_same_scores(project, tmp_path, monkeypatch):
    folder, said = project
    assert command([*said, "--out", "runs/whole"]) == 0
    with pytest.raises(KeyboardInterrupt):
        hsi.train(config="runs/whole/config.toml", out="runs/cut", callback=StopAfter(9))
    assert (folder / "runs/cut/checkpoint/last.safetensors").is_file()
    away = tmp_path / "away"
    away.mkdir()
    shutil.move(folder / "runs/cut", away / "cut")
    monkeypatch.chdir(away)
    assert command(["train", "--resume", "cut"]) == 0
    assert scores(away / "cut") == scores(folder / "runs/whole")


def test_a_project_that_was_moved_as_a_whole_finds_its_scene(project, tmp_path, monkeypatch, capsys):
    folder, said = project
    cube = ["--dataset", "scenes/small/cube.npy", "--labels", "scenes/small/labels.npy"]
    assert command([*said[:1], *cube, *said[3:], "--out", "runs/first"]) == 0
    before = scores(folder / "runs/first")
    monkeypatch.chdir(tmp_path)
    shutil.move(folder, tmp_path / "renamed")
    capsys.readouterr()
    assert command(["evaluate", "renamed/runs/first", "--device", "cpu", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["test"] == before["test"]


def test_a_scene_that_is_nowhere_is_one_sentence(project, tmp_path, monkeypatch, capsys):
    folder, said = project
    assert command([*said, "--out", "runs/first"]) == 0
    shutil.rmtree(folder / "scenes")
    monkeypatch.chdir(tmp_path)
    capsys.readouterr()
    assert command(["evaluate", str(folder / "runs/first")]) == 2
    assert "There is no file scenes/small/scene.toml" in capsys.readouterr().err


def test_what_needs_no_search_stays_as_it_is(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = tmp_path / "run"
    run.mkdir()
    (tmp_path / "here.npy").touch()
    (run / "environment.json").write_text("not JSON")
    for said in ("IN", "demo", "here.npy", "/nowhere/cube.npy", "nowhere/cube.npy"):
        assert resolve_path(said, run) == said
