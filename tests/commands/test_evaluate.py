"""`hsi evaluate` on runs of a second, alone and as a group."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

import hsi
from hsi.commands.app import run


@pytest.fixture
def trained(small_scene, tiny, tmp_path, monkeypatch, capsys):
    """Two runs in the folder ``runs``."""
    monkeypatch.chdir(tmp_path)
    for scheme in ("random", "disjoint"):
        said = (
            f"--dataset scene.toml --scheme {scheme} --train 0.2 --val 0.2 --epochs 1 --batch 16 --device cpu"
        )
        assert run(["train", *tiny, *said.split(), "--out", f"runs/{scheme}"]) == 0
    capsys.readouterr()


def brute_force(path):
    """Distance and correctness of every test pixel, one by one."""
    opened = hsi.open_run(path)
    labels, split = opened.load_scene().labels, opened.split
    cols = labels.shape[1]
    found = []
    for pixel, predicted in zip(split.test, opened.predictions["test"], strict=True):
        far = min(max(abs(pixel // cols - t // cols), abs(pixel % cols - t % cols)) for t in split.train)
        found.append((int(far), bool(predicted == labels.ravel()[pixel])))
    return found


def test_distance_is_in_the_table_the_json_and_a_figure(trained, capsys, tmp_path):
    assert run(["evaluate", "runs/random", "--distance"]) == 0
    shown = capsys.readouterr().out
    assert "By Chebyshev distance to the nearest training pixel" in shown
    assert "95 % interval" in shown
    assert (tmp_path / "runs/random/figures/distance.png").is_file()
    assert (tmp_path / "runs/random/figures/distance.pdf").is_file()
    assert run(["evaluate", "runs/random", "--distance", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    answers = brute_force("runs/random")
    for one in printed["distance"]:
        inside = [right for far, right in answers if one["nearest"] <= far <= (one["farthest"] or np.inf)]
        assert (one["pixels"], one["right"]) == (len(inside), sum(inside))
    assert sum(one["pixels"] for one in printed["distance"]) == len(answers)
    total = sum(one["right"] for one in printed["distance"]) / len(answers)
    assert total == pytest.approx(printed["test"]["oa"])


def test_the_same_from_python(trained):
    opened = hsi.open_run("runs/disjoint")
    bins = hsi.accuracy_by_distance(opened)
    answers = brute_force("runs/disjoint")
    assert sum(one.pixels for one in bins) == len(answers)
    assert sum(one.right for one in bins) == sum(right for _, right in answers)


def test_a_group_shares_one_figure(trained, capsys, tmp_path):
    assert run(["evaluate", "runs", "--distance", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert [one["scheme"] for one in printed["runs"]] == ["disjoint", "random"]
    assert all(one["distance"] for one in printed["runs"])
    assert printed["figures"] == ["runs/figures/distance.png", "runs/figures/distance.pdf"]
    assert (tmp_path / "runs/figures/distance.png").is_file()
    assert not (tmp_path / "runs/random/figures/distance.png").exists()


def test_without_distance_no_figure_is_drawn(trained, capsys, tmp_path):
    assert run(["evaluate", "runs/random", "--json"]) == 0
    assert "distance" not in json.loads(capsys.readouterr().out)
    assert not (tmp_path / "runs/random/figures/distance.png").exists()


def test_without_a_run_it_takes_the_newest(trained, capsys, tmp_path):
    for age, name in ((50, "disjoint"), (10, "random")):
        metrics = tmp_path / "runs" / name / "metrics.json"
        os.utime(metrics, (1_000_000_000 - age, 1_000_000_000 - age))
    assert run(["evaluate", "--json"]) == 0
    shown = capsys.readouterr()
    assert json.loads(shown.out)["run"] == str(Path("runs/random"))
    assert shown.err.count("note: This is the newest run, ") == 1
    (tmp_path / "runs/random/metrics.json").unlink()  # an unfinished run is none to score
    assert run(["evaluate", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["run"] == str(Path("runs/disjoint"))
