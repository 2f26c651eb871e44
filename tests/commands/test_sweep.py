"""`hsi sweep` as a user types it, with real trainings of a second."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import pytest

from hsi.commands.app import run
from hsi.commands.progress import in_words
from hsi.inference.run import Run

TEXT = """
title = "Tiny"
[defaults]
epochs = 1
patch = 7
pca = 8
train = 0.02
val = 0.01
scheme = "random"
[scenes.demo]
[protocols.random]
[models.tiny]
model = "densenet3d"
model_options = { layers = [1, 1, 1], growth = [4, 4, 4] }
[models.wrong]
model = "densenet3d"
model_options = { layers = [1, 1, 1], growth = [4, 4, 4] }
lr = 1e30
[[grid]]
models = ["tiny", "wrong"]
[[grid]]
models = ["tiny"]
seeds = [1]
"""


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    Path("e.toml").write_text(TEXT, encoding="utf-8")
    return "e.toml"


def test_a_sweep_makes_runs_a_table_and_names_what_failed(file, capsys):
    assert run(["sweep", file, "--workers", "2"]) == 1
    shown = capsys.readouterr()
    assert "Runs: 2 made; 0 done before." in shown.out
    assert "Failed: demo/random/wrong/seed0: The loss became nan" in shown.out
    assert "1 of 3 runs failed" in shown.err
    assert "[3/3]" in shown.err
    with open("results/e.csv", encoding="utf-8") as table:
        rows = list(csv.DictReader(table))
    made = [Run(f"runs/sweeps/e/demo/random/tiny/seed{seed}") for seed in (0, 1)]
    assert [row["oa"] for row in rows] == [f"{each.metrics['test']['oa']:.6f}" for each in made]
    assert {row["threads"] for row in rows} == {str(json.loads(_environment(made[0]))["threads"])}
    before = Path("results/e.csv").read_bytes()

    assert run(["sweep", file, "--only", "demo/random/tiny", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert (printed["done"], printed["failed"], printed["left"]) == ([], [], [])
    assert {each["state"] for each in printed["runs"]} == {"done"}
    assert Path("results/e.csv").read_bytes() == before

    shutil.copytree("runs/sweeps/e/demo/random/tiny", "elsewhere")
    shutil.rmtree("runs/sweeps/e/demo/random/tiny")
    assert run(["sweep", file, "--only", "demo/random/tiny"]) == 0
    assert "Runs: 0 made; 2 done before." in capsys.readouterr().out
    assert Path("results/e.csv").read_bytes() == before
    assert _states(["sweep", file, "--only", "demo/random/tiny", "--json"], capsys) == ["elsewhere"] * 2
    assert run(["sweep", file, "--only", "demo/random/tiny", "--rerun", "--dry-run"]) == 0
    assert "2 runs, 2 to do" in capsys.readouterr().out
    shutil.move("elsewhere", "runs/sweeps/e/demo/random/tiny")

    text = TEXT.replace("epochs = 1", "epochs = 2")
    Path(file).write_text(text, encoding="utf-8")
    dry = ["sweep", file, "--dry-run", "--json"]
    assert _states(dry, capsys) == ["changed"] * 3
    assert run(["sweep", file, "--dry-run", "--rerun"]) == 0
    assert "3 runs, 3 to do" in capsys.readouterr().out
    assert run(["sweep", file, "--dry-run"]) == 0
    shown = capsys.readouterr()
    assert "3 runs, 1 to do" in shown.out
    assert "3 of 3 runs were trained with other options" in shown.err
    assert run(["sweep", file]) == 2
    assert "epochs = 1 instead of 2" in capsys.readouterr().err
    shutil.rmtree("runs")
    assert run(["sweep", file]) == 2  # the table's rows would go, though no folder is there
    assert "--rerun drops such rows" in capsys.readouterr().err
    assert Path("results/e.csv").read_bytes() == before


def _states(words: list[str], capsys: pytest.CaptureFixture[str]) -> list[str]:
    assert run(words) == 0
    return [each["state"] for each in json.loads(capsys.readouterr().out)["runs"]]


def _environment(made: Run) -> str:
    return (made.path / "environment.json").read_text(encoding="utf-8")


def test_a_dry_run_lists_and_writes_nothing(file, capsys):
    assert run(["sweep", file, "--dry-run", "--only", "*/tiny", "--workers", "1"]) == 0
    shown = capsys.readouterr().out
    assert "2 runs, 2 to do" in shown
    assert "demo/random/tiny/seed1" in shown
    assert "no estimate" in shown
    Path("results").mkdir()
    networks = [
        {
            "name": "densenet3d",
            "batch": 1,
            "macs": 10**6,
            "training": {"patches_per_second": 100.0, "peak_memory_mb": 1.0},
            "inference": {"patches_per_second": 300.0},
        }
    ]
    machine = {"date": "2026", "device": "cpu", "threads": 1}
    bench = {"machine": machine, "bands": 8, "patch": 7, "networks": networks}
    Path("results/bench-x.json").write_text(json.dumps(bench))
    assert run(["sweep", file, "--dry-run", "--only", "*/tiny", "--workers", "1", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["todo"] == 2
    assert printed["seconds"] == pytest.approx(sum(each["seconds"] for each in printed["runs"]) * 1)
    assert printed["runs"][0]["seconds"] * printed["threads"] > 5
    assert "bench-x.json" in printed["basis"]
    assert not Path("runs").exists()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["none.toml"], "There is no file none.toml"),
        (["e.toml", "--only", "nothing"], "No run fits --only 'nothing'"),
        (["e.toml", "--workers", "0"], "workers must be at least 1"),
        (["e.toml", "--max-minutes", "0"], "max-minutes must be a positive number"),
    ],
)
def test_wrong_usage_is_one_sentence(file, words, sentence, capsys):
    assert run(["sweep", *words]) == 2
    shown = capsys.readouterr()
    assert sentence in shown.err
    assert shown.err.count("\n") == 1
    assert not Path("runs").exists()


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.4, "0 s"),
        (59.6, "1 min"),
        (200, "3 min 20 s"),
        (600, "10 min"),
        (3599, "1 h"),
        (7500, "2 h 5 min"),
        (4 * 86400, "4 d"),
        (4 * 86400 + 3 * 3600, "4 d 3 h"),
    ],
)
def test_times_in_words(seconds, words):
    assert in_words(seconds) == words


def test_help_shows_examples(capsys):
    assert run(["sweep", "--help"]) == 0
    assert "hsi sweep experiments/real_small.toml" in capsys.readouterr().out


def test_a_network_that_cannot_take_the_patch_is_named_at_once(file, capsys):
    Path(file).write_text(TEXT.replace("patch = 7", "patch = 5"), encoding="utf-8")
    assert run(["sweep", file]) == 2
    assert "demo/random/tiny/seed0: The patch width must be at least 7" in capsys.readouterr().err
    assert not Path("runs").exists()


def test_ctrl_c_ends_with_130_and_keeps_the_results(file, capsys, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("hsi.sweep.execute.execute", interrupted)
    assert run(["sweep", file, "--workers", "1"]) == 130
    assert "the same command resumes" in capsys.readouterr().err


def test_runs_left_by_a_time_limit_are_counted(file, capsys, monkeypatch):
    from hsi.sweep.execute import SweepResult

    asked = {}

    def late(runs, **options):
        asked.update(options)
        return SweepResult(left=list(runs))

    monkeypatch.setattr("hsi.sweep.execute.execute", late)
    assert run(["sweep", file, "--workers", "1", "--max-minutes", "2.5"]) == 0
    assert "3 left (the same command resumes them)" in capsys.readouterr().out
    assert asked["max_seconds"] == 150
