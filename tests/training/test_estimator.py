"""Classical models through the whole harness, on a small scene."""

from __future__ import annotations

import csv
import json
import math

import numpy as np
import pytest
import torch
from sklearn.neighbors import KNeighborsClassifier
from sklearn.svm import SVC

import hsi
from hsi.commands.app import run as run_command
from hsi.models import build_model
from hsi.models.protocols import Estimator
from hsi.training import Callback
from hsi.training.context import training_device

KINDS = ["svm", "forest", "logistic", "knn"]


@pytest.fixture(autouse=True)
def few_trees(monkeypatch):
    monkeypatch.setattr("hsi.models.classical_tuning.TREES", 25)


@pytest.fixture
def settings(small_scene):
    return {
        "dataset": str(small_scene), "scheme": "random", "train": 0.2, "val": 0.2, "patch": 5, "device": "cpu"
    }  # fmt: skip


def fixed(run):
    """What must be the same in two equal runs."""
    metrics = json.loads((run.path / "metrics.json").read_text())
    return {name: value for name, value in metrics.items() if name not in ("seconds", "peak_memory_mb")}


def by_hand(run, scene, features, pixels):
    """Features cut pixel by pixel from the preprocessed cube."""
    cube = run.preprocess.transform(scene.cube)
    half, regions, rows = run.config.patch // 2, run.split.patch_regions, []
    for pixel in pixels:
        row, col = divmod(int(pixel), scene.cols)
        window = np.s_[max(0, row - half) : row + half + 1, max(0, col - half) : col + half + 1]
        near = cube[window].reshape(-1, cube.shape[2]).astype(float)
        if regions is not None:
            near = near[regions[window].ravel() == regions[row, col]]
        parts = [cube[row, col], near.mean(axis=0).astype(np.float32)]
        rows.append(np.concatenate(parts if features == "spatial" else parts[:1]))
    return np.array(rows, float)


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_has_the_files_of_a_networks(kind, settings, tmp_path):
    run = hsi.train(model=kind, **settings, out=tmp_path / "run")
    names = {p.relative_to(run.path).as_posix() for p in run.path.rglob("*") if p.is_file()}
    assert names >= {
        "config.toml", "environment.json", "split.npz", "preprocess.npz", "history.csv", "metrics.json",
        "predictions.npz", "checkpoint/best.safetensors",
    }  # fmt: skip
    metrics = run.metrics
    assert (metrics["params"], metrics["macs"], metrics["epochs"]) == (None, None, None)
    assert metrics["device"] == "cpu"
    assert metrics["leakage"]["centre"] > 0
    names = {"svm": {"C", "gamma"}, "forest": set(), "logistic": {"C"}, "knn": {"k"}}[kind]
    assert set(metrics["chosen"]) == names

    with (run.path / "history.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert math.isnan(float(row["lr"]))
    assert math.isnan(float(row["train_loss"]))
    assert math.isnan(float(row["val_loss"]))
    assert float(row["val_oa"]) == run.scores["val"].oa
    assert float(row["train_oa"]) == run.scores["train"].oa

    scene = run.load_scene()
    opened = hsi.open_run(run.path)
    assert opened.evaluate(scene, device="cpu").confusion.tolist() == metrics["test"]["confusion"]
    label_map = opened.predict(scene, device="cpu").ravel()
    for part in ("train", "val", "test"):
        pixels = getattr(run.split, part)
        assert np.array_equal(label_map[pixels], run.predictions[part])
        assert np.mean(scene.labels.ravel()[pixels] == run.predictions[part]) == run.scores[part].oa


@pytest.mark.parametrize("scheme", ["random", "disjoint"])
@pytest.mark.parametrize("features", ["spectrum", "spatial"])
@pytest.mark.parametrize("kind", ["svm", "knn"])
def test_predictions_are_those_of_scikit_learn_on_the_same_features(
    kind, features, scheme, settings, tmp_path
):
    options = {"train": 0.3, "model_options": {"features": features}, "pca": 4}
    said = {**settings, "scheme": scheme, **options}
    run = hsi.train(model=kind, **said, out=tmp_path / "run")
    scene, chosen = run.load_scene(), run.metrics["chosen"]
    labels = scene.labels.ravel()
    assert (run.split.patch_regions is not None) == (scheme == "disjoint")
    estimator = (
        SVC(C=chosen["C"], gamma=chosen["gamma"], break_ties=True)
        if kind == "svm"
        else KNeighborsClassifier(chosen["k"])
    )
    estimator.fit(by_hand(run, scene, features, run.split.train), labels[run.split.train])
    expected = estimator.predict(by_hand(run, scene, features, run.split.test))
    assert np.array_equal(run.predictions["test"], expected)


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_run_twice(kind, settings, tmp_path):
    first = hsi.train(model=kind, **settings, out=tmp_path / "a")
    second = hsi.train(config=first.path / "config.toml", out=tmp_path / "b")
    assert fixed(first) == fixed(second)
    weights = [(run.path / "checkpoint/best.safetensors").read_bytes() for run in (first, second)]
    assert weights[0] == weights[1]


def test_class_weights_become_balanced_ones(settings, tmp_path):
    run = hsi.train(model="svm", **settings, class_weights=True, out=tmp_path / "run")
    assert run.load_model("cpu")._facts()["balanced"] is True
    plain = hsi.train(model="svm", **settings, out=tmp_path / "plain")
    assert plain.load_model("cpu")._facts()["balanced"] is False


class Stop(Callback):
    """Interrupts once the model is fitted and scored, and counts what it is told."""

    def __init__(self):
        self.stopped = False
        self.said = []

    def on_epoch(self, row, best):
        raise KeyboardInterrupt

    def on_train_end(self):
        self.stopped = True

    def message(self, sentence):
        self.said.append(sentence)


@pytest.mark.parametrize("when", ["before", "after"])
def test_an_interrupted_run_is_fitted_again(when, settings, tmp_path, monkeypatch):
    whole = hsi.train(model="svm", **settings, out=tmp_path / "whole")
    callback = Stop()
    with monkeypatch.context() as patched:
        if when == "before":
            patched.setattr(
                "hsi.models.classical.choose", lambda *said, **options: callback.on_epoch(None, True)
            )
        with pytest.raises(KeyboardInterrupt):
            hsi.train(model="svm", **settings, out=tmp_path / "run", callback=callback)
    assert callback.stopped
    assert (tmp_path / "run/checkpoint/best.safetensors").is_file() == (when == "after")
    assert not (tmp_path / "run/metrics.json").exists()
    assert run_command(["train", "--resume", str(tmp_path / "run")]) == 0
    assert fixed(hsi.open_run(tmp_path / "run")) == fixed(whole)


def test_chosen_settings_are_reported(settings, tmp_path):
    callback = Stop()
    callback.on_epoch = lambda row, best: None
    run = hsi.train(model="knn", **settings, out=tmp_path / "run", callback=callback)
    assert f"k {run.metrics['chosen']['k']} (OA there " in callback.said[-1]
    assert "classes have too few fields, so theirs were cut into touching pieces" in callback.said[-2]


@pytest.mark.parametrize("patch", [1, 3])
def test_small_patches_will_do(patch, settings, tmp_path):
    run = hsi.train(
        model="knn",
        **{**settings, "patch": patch},
        model_options={"features": "spatial"},
        out=tmp_path / "run",
    )
    assert run.scores["test"].oa > 0.5


def test_the_command_line(settings, tmp_path, capsys):
    said = ["train", "--model", "KNN", "--dataset", settings["dataset"], "--scheme", "random"]
    assert run_command([*said, "--out", str(tmp_path / "a"), "--option", "features=spacial"]) == 2
    assert "Did you mean 'spatial'" in capsys.readouterr().err
    assert not (tmp_path / "a").exists()
    assert run_command([*said, "--out", str(tmp_path / "a"), "--option", "feature=spatial"]) == 2
    assert "has no option 'feature'. Did you mean 'features'" in capsys.readouterr().err
    options = ["--option", "features=spatial", "--device", "cpu", "--json"]
    assert run_command([*said, "--out", str(tmp_path / "a"), *options]) == 0
    shown = capsys.readouterr()
    printed = json.loads(shown.out)
    assert printed["model"] == "knn"
    assert printed["params"] is None
    assert "nan" not in shown.err
    assert run_command(["evaluate", str(tmp_path / "a"), "--device", "cpu", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["test"] == printed["test"]


def test_only_estimators_stay_on_the_cpu():
    sizes = {"bands": 12, "classes": 3, "patch": 7}
    gpu = torch.device("cuda")
    for kind in KINDS:
        model = build_model(kind, **sizes)
        assert isinstance(model, Estimator)
        assert training_device(model, gpu).type == "cpu"
    network = build_model("densenet3d", **sizes, layers=[1], growth=[4])
    assert not isinstance(network, Estimator)
    assert training_device(network, gpu) == gpu


def test_shifted_copies_follow_the_pixels(settings, tmp_path):
    options = {"model_options": {"features": "spatial"}}
    run = hsi.train(model="knn", **settings, **options, field_shift=1.0, out=tmp_path / "run")
    model, pixels = run.load_model("cpu"), run.split.train
    rows, classes = model.train_features.double().numpy(), model.train_targets.numpy()
    plain = by_hand(run, run.load_scene(), "spatial", pixels)
    np.testing.assert_allclose(rows[: len(pixels)], plain, atol=1e-5)
    assert len(rows) == 4 * len(pixels)
    np.testing.assert_array_equal(classes, np.tile(classes[: len(pixels)], 4))
    spectrum, mean = np.split(rows[len(pixels) :] - np.tile(plain, (3, 1)), 2, axis=1)
    np.testing.assert_allclose(spectrum, mean, atol=1e-5)  # one shift for all of a patch
    assert len(np.unique(spectrum, axis=0)) == len(spectrum)  # and another for each
    again = hsi.train(model="knn", **settings, **options, field_shift=1.0, out=tmp_path / "again")
    assert torch.equal(again.load_model("cpu").train_features, model.train_features)


def test_shifts_of_copies_grow_with_the_strength(settings, tmp_path):
    def moved(strength):
        run = hsi.train(model="knn", **settings, field_shift=strength, out=tmp_path / str(strength))
        rows, count = run.load_model("cpu").train_features, len(run.split.train)
        return (rows[count:] - rows[:count].repeat(3, 1)).double()

    torch.testing.assert_close(moved(2.0), 4 * moved(0.5), atol=1e-4, rtol=1e-4)
