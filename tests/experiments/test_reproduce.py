"""reproduce.sh as a user starts it."""

from __future__ import annotations

import csv
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import hsi
from experiments import tables
from hsi.sweep.experiment import read_experiment
from hsi.sweep.plan import make_plan
from hsi.sweep.results import COLUMNS

FOLDER = tables.ROOT
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="a script for bash")


def test_reproduce_names_the_experiments():
    done = subprocess.run([FOLDER / "reproduce.sh", "none"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert all(path.stem in done.stderr for path in FOLDER.glob("*.toml") if path.stem != "archive_cost")
    assert "archive_cost" not in done.stderr  # no experiment


ONE = """
title = "One"
[defaults]
patch = 3
train = 0.05
val = 0.02
scheme = "random"
[scenes.demo]
[protocols.random]
[models.knn]
[[grid]]
"""


def test_reproduce_trains_what_the_table_has_already(tmp_path):
    there = tmp_path / "experiments"
    shutil.copytree(FOLDER, there, ignore=shutil.ignore_patterns("*.csv", "*.svg", "*.md", "__pycache__"))
    (tmp_path / "benchmarks").symlink_to(FOLDER.parent / "benchmarks")
    (there / "one.toml").write_text(ONE, encoding="utf-8")
    (planned,) = make_plan(read_experiment(there / "one.toml"))
    wrong = {"scene": "demo", "protocol": "random", "label": "knn", "oa": "0.123456"}
    table, distances = there / "results" / "one.csv", there / "results" / "distance-one-demo.csv"
    with table.open("w", newline="", encoding="utf-8") as file:  # as another machine had it
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerow(wrong | {"options": planned.fingerprint})
    distances.write_text("protocol,label,runs,patch,nearest,farthest,pixels,right\n", encoding="utf-8")
    python = Path(sys.executable)
    make = f"setup:\n\ntables:\n\t{python} -m experiments.tables\n"
    (tmp_path / "Makefile").write_text(make, encoding="utf-8")
    own = {**os.environ, "VENV": str(python.parent.parent)}
    subprocess.run(["bash", there / "reproduce.sh", "one"], env=own, check=True)
    run = hsi.open_run(tmp_path / "runs" / "sweeps" / "one" / "demo" / "random" / "knn" / "seed0")
    with table.open(newline="", encoding="utf-8") as file:
        (row,) = csv.DictReader(file)
    assert row["oa"] == f"{run.metrics['test']['oa']:.6f}"
    assert "random,knn,seed0,3," in distances.read_text(encoding="utf-8")
    page = (there / "RESULTS.md").read_text(encoding="utf-8")
    assert "## One\n" in page
    assert "Accuracy by distance: one, demo" in page
