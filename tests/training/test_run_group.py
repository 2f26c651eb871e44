"""One training repeated over seeds and folds: interruption, extension, refusals, the mean of scores."""

from __future__ import annotations

import json

import numpy as np
import pytest

import hsi
from hsi.commands.app import run
from hsi.config import Config
from hsi.errors import ConfigError, InputError, RunError
from hsi.inference.run import open_runs
from hsi.training import Callback, resume_runs
from hsi.training.run_group import is_group, read_group, repetitions

PLAIN = Config(model="svm", dataset="demo", seed=7, scheme="disjoint")


def test_seeds_folds_and_both():
    assert repetitions(PLAIN, [3, 4]) == {"seed3": PLAIN.replace(seed=3), "seed4": PLAIN.replace(seed=4)}
    folds = PLAIN.replace(folds=2)
    assert repetitions(folds, [7]) == {f"fold{k}": folds.replace(fold=k) for k in range(2)}
    assert list(repetitions(folds, [0, 1])) == ["seed0-fold0", "seed0-fold1", "seed1-fold0", "seed1-fold1"]
    one = folds.replace(fold=1)
    assert repetitions(one, [0]) == {"seed0": one.replace(seed=0)}


@pytest.fixture
def settings(small_scene):
    return {
        "model": "densenet3d",
        "model_options": {"layers": [1, 1, 1], "growth": [4, 4, 4]},
        "dataset": str(small_scene),
        "scheme": "random",
        "train": 0.2,
        "val": 0.2,
        "patch": 7,
        "epochs": 1,
        "batch": 16,
        "device": "cpu",
    }


def scores(made):
    return [each.metrics["test"] for each in made]


def test_seeds_differ_in_split_and_weights_and_are_those_of_single_runs(settings, tmp_path):
    made = hsi.train_runs(**settings, runs=2, seed=3, out=tmp_path / "group")
    assert [each.path.name for each in made] == ["seed3", "seed4"]
    assert not np.array_equal(made[0].split.test, made[1].split.test)
    alone = hsi.train(**settings, seed=4, out=tmp_path / "alone")
    np.testing.assert_array_equal(made[1].split.test, alone.split.test)
    assert made[1].metrics["test"] == alone.metrics["test"]
    assert [each.path for each in open_runs(tmp_path / "group")] == [each.path for each in made]
    other = hsi.train_runs(
        **{**settings, "model": "cnn1d", "model_options": {}}, seed=3, out=tmp_path / "cnn1d"
    )
    np.testing.assert_array_equal(other[0].split.test, made[0].split.test)


class Stop(Callback):
    """Interrupts as Ctrl-C does, in the second run."""

    def __init__(self):
        self.runs = 0

    def on_train_start(self, folder, epochs, done, steps):
        self.runs += 1

    def on_step(self, loss):
        if self.runs == 2:
            raise KeyboardInterrupt


def test_an_interrupted_group_resumes_what_is_missing(settings, tmp_path):
    whole = hsi.train_runs(**settings, runs=3, out=tmp_path / "whole")
    group = tmp_path / "group"
    with pytest.raises(KeyboardInterrupt):
        hsi.train_runs(**settings, runs=3, out=group, callback=Stop())
    assert is_group(group)
    assert read_group(group)[1] == 3
    stamp = (group / "seed0" / "metrics.json").stat().st_mtime_ns
    made = resume_runs(group)
    assert (group / "seed0" / "metrics.json").stat().st_mtime_ns == stamp
    assert scores(made) == scores(whole)
    longer = hsi.train_runs(**settings, runs=4, out=group)
    assert scores(longer)[:3] == scores(whole)
    assert longer[3].config.seed == 3


def test_folds_test_every_pixel_once(settings, tmp_path):
    plain = {name: value for name, value in settings.items() if name not in ("scheme", "train", "val")}
    made = hsi.train_runs(**plain, scheme="disjoint", folds=3, out=tmp_path / "group")
    assert [each.path.name for each in made] == ["fold0", "fold1", "fold2"]
    tested = np.concatenate([each.split.test for each in made])
    labels = made[0].load_scene().labels.ravel()
    np.testing.assert_array_equal(np.sort(tested), np.flatnonzero(labels))


def test_more_seeds_of_folds_keep_the_folds_that_are_there(settings, tmp_path):
    plain = {name: value for name, value in settings.items() if name not in ("scheme", "train", "val")}
    plain |= {"model": "knn", "model_options": {}, "scheme": "disjoint", "folds": 2}
    one = hsi.train_runs(**plain, out=tmp_path / "group")
    both = hsi.train_runs(**plain, runs=2, out=tmp_path / "group")
    assert [each.path.name for each in both] == ["fold0", "fold1", "seed1-fold0", "seed1-fold1"]
    assert [each.path for each in both[:2]] == [each.path for each in one]
    assert len(open_runs(tmp_path / "group")) == 4  # none counts twice
    last = hsi.train_runs(**plain, seed=1, out=tmp_path / "group")
    assert [each.path.name for each in last] == ["seed1-fold0", "seed1-fold1"]
    assert [each.path for each in resume_runs(tmp_path / "group")] == [each.path for each in last]


def test_other_seeds_with_other_options_are_no_part_of_a_group(settings, tmp_path):
    knn = {**settings, "model": "knn", "model_options": {}}
    hsi.train_runs(**knn, out=tmp_path / "group")
    with pytest.raises(RunError, match=r"seed0' was trained with other options \(pca = 0 instead of 2\)"):
        hsi.train_runs(**knn, pca=2, seed=5, out=tmp_path / "group")
    folds = {name: value for name, value in knn.items() if name not in ("scheme", "train", "val")}
    with pytest.raises(RunError, match="seed0' was trained with other options"):
        hsi.train_runs(**folds, scheme="disjoint", folds=2, out=tmp_path / "group")
    made = hsi.train_runs(**knn, seed=5, out=tmp_path / "group")
    assert [each.path.name for each in made] == ["seed5"]
    assert len(open_runs(tmp_path / "group")) == 2


def test_bad_input_is_refused_and_leaves_nothing(settings, tmp_path):
    out = tmp_path / "group"
    with pytest.raises(ConfigError, match="runs must be at least 1"):
        hsi.train_runs(**settings, runs=0, out=out)
    with pytest.raises(InputError, match="wider than the scene"):
        hsi.train_runs(**{**settings, "patch": 25}, runs=2, out=out)
    assert not out.exists()
    with pytest.raises(RunError, match="not a group of runs"):
        resume_runs(tmp_path)
    hsi.train_runs(**settings, out=out)
    with pytest.raises(RunError, match=r"seed0' was trained with other options \(epochs = 1 instead of 2\)"):
        hsi.train_runs(**{**settings, "epochs": 2}, out=out)
    with pytest.raises(RunError, match="holds a single run"):
        hsi.train_runs(**settings, out=out / "seed0")
    with pytest.raises(RunError, match="is not a group"):
        hsi.train_runs(**settings, out=tmp_path)
    (out / "group.toml").write_text("runs = 2\n")
    with pytest.raises(RunError, match="is damaged"):
        resume_runs(out)


def test_the_command_shows_each_run_and_the_mean(small_scene, tiny, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    options = "--dataset scene.toml --scheme random --train 0.2 --val 0.2 --epochs 1 --batch 16 --device cpu"
    words = ["train", *tiny, *options.split(), "--runs", "2", "--out", "group"]
    assert run([*words, "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    made = open_runs("group")
    oas = [each.metrics["test"]["oa"] for each in made]
    assert [each["test"]["oa"] for each in printed["runs"]] == oas
    assert printed["summary"]["oa"]["mean"] == pytest.approx(np.mean(oas))
    assert printed["summary"]["oa"]["std"] == pytest.approx(np.std(oas, ddof=1))
    assert run(["train", "--resume", "group"]) == 0
    shown = capsys.readouterr().out
    assert f"{100 * np.mean(oas):.2f} ± {100 * np.std(oas, ddof=1):.2f}" in shown
    assert "sample standard deviation (n - 1)" in shown
    assert all(f"{100 * oa:.2f}" in shown for oa in oas)
    assert run(["train", "--resume", "group", "--runs", "3"]) == 2
    assert "has runs = 2; --resume cannot change it to 3" in capsys.readouterr().err
    assert run([*words, "--lr", "0.5"]) == 2
    assert "other options" in capsys.readouterr().err


def test_ctrl_c_in_a_group_names_the_group(small_scene, tiny, tmp_path, monkeypatch, capsys):
    from hsi.commands.progress import TrainingProgress

    def interrupt(self, loss):
        raise KeyboardInterrupt

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(TrainingProgress, "on_step", interrupt)
    options = "--dataset scene.toml --scheme random --train 0.2 --val 0.2 --epochs 1 --batch 16 --device cpu"
    words = ["train", *tiny, *options.split()]
    assert run([*words, "--runs", "2", "--out", "group"]) == 130
    assert "hsi train --resume group\n" in capsys.readouterr().err
    assert run([*words, "--out", "alone"]) == 130
    assert "hsi train --resume alone\n" in capsys.readouterr().err
