"""A training from options to a run folder, on a small scene."""

import csv
import json

import numpy as np
import pytest
import torch

import hsi
from hsi.errors import ConfigError, HsiError, RunError, SplitError
from hsi.training import Callback

TINY = {
    "model": "densenet3d",
    "model_options": {"layers": [1, 1, 1], "growth": [4, 4, 4]},
    "patch": 7,
    "epochs": 3,
    "batch": 16,
    "lr": 0.01,
    "device": "cpu",
}


def scores_only(run):
    """Everything in metrics.json that must not change between two equal runs."""
    metrics = json.loads((run.path / "metrics.json").read_text())
    return {name: value for name, value in metrics.items() if name not in ("seconds", "peak_memory_mb")}


@pytest.fixture
def settings(small_scene):
    return {**TINY, "dataset": str(small_scene), "scheme": "random", "train": 0.2, "val": 0.2}


def test_a_run_folder_holds_everything(settings, tmp_path):
    run = hsi.train(**settings, out=tmp_path / "run")
    names = {p.relative_to(run.path).as_posix() for p in run.path.rglob("*") if p.is_file()}
    assert names == {
        "config.toml",
        "environment.json",
        "split.npz",
        "postprocessing.npz",
        "preprocess.npz",
        "history.csv",
        "metrics.json",
        "predictions.npz",
        "checkpoint/last.safetensors",
        "checkpoint/best.safetensors",
    }
    metrics = run.metrics
    expected = (
        "model dataset seed protocol patch bands params macs device counts leakage train val test seconds "
        "peak_memory_mb"
    )
    assert set(expected.split()) <= set(metrics)
    of_a_subset = "oa aa kappa mean_precision f1_macro recall precision support confusion"
    assert set(of_a_subset.split()) <= set(metrics["test"])
    assert set(metrics["leakage"]) == {"centre", "overlap"}
    assert metrics["counts"] == {name: len(getattr(run.split, name)) for name in ("train", "val", "test")}
    assert run.scores["test"].oa == metrics["test"]["oa"]
    assert len(run.history) == 3
    environment = json.loads((run.path / "environment.json").read_text())
    assert environment["run_format"] == 1
    assert environment["packages"]["torch"] == torch.__version__.split("+")[0] or "+" in torch.__version__
    assert set(environment["data_files"])


def test_it_learns_and_classifies_every_pixel(settings, tmp_path):
    run = hsi.train(**{**settings, "epochs": 12}, out=tmp_path / "run")
    assert run.scores["test"].oa > 0.9
    scene = run.load_scene()
    labels = run.predict(scene, device="cpu")
    assert labels.shape == scene.labels.shape
    assert labels.min() >= 1
    test = run.split.test
    assert np.mean(labels.ravel()[test] == scene.labels.ravel()[test]) == pytest.approx(run.scores["test"].oa)
    again = run.evaluate(scene, device="cpu")
    np.testing.assert_array_equal(again.confusion, run.scores["test"].confusion)


def test_the_same_seed_gives_the_same_metrics_bit_for_bit(settings, tmp_path):
    first = hsi.train(**settings, augment=True, out=tmp_path / "a")
    second = hsi.train(**settings, augment=True, out=tmp_path / "b")
    assert scores_only(first) == scores_only(second)
    assert [{**row, "seconds": 0} for row in first.history] == [
        {**row, "seconds": 0} for row in second.history
    ]
    other = hsi.train(**settings, augment=True, seed=1, out=tmp_path / "c")
    assert scores_only(other) != scores_only(first)


def test_a_run_repeats_from_its_own_config(settings, tmp_path):
    first = hsi.train(**settings, out=tmp_path / "a")
    second = hsi.train(config=first.path / "config.toml", out=tmp_path / "b")
    assert scores_only(first) == scores_only(second)


class StopAfter(Callback):
    """Interrupts as Ctrl-C does, in the middle of an epoch."""

    def __init__(self, steps):
        self.left = steps

    def on_step(self, loss):
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt


@pytest.mark.parametrize("model", ["densenet3d", "kanet"])
def test_an_interrupted_run_resumes_to_the_same_metrics(settings, tmp_path, model):
    settings = {**settings, "model": model, "augment": True, "ema": 0.9, "scale": "scene"}
    whole = hsi.train(**settings, out=tmp_path / "whole")
    steps = -(-len(whole.split.train) // settings["batch"])
    with pytest.raises(KeyboardInterrupt):
        hsi.train(**settings, out=tmp_path / "cut", callback=StopAfter(steps + 2))
    with pytest.raises(RunError, match="not finished; resume it with: hsi train --resume"):
        _ = hsi.open_run(tmp_path / "cut").metrics
    resumed = hsi.resume(tmp_path / "cut")
    assert scores_only(resumed) == scores_only(whole)
    assert [row["val_loss"] for row in resumed.history] == [row["val_loss"] for row in whole.history]


def test_resume_before_the_first_epoch_and_after_the_last(settings, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        hsi.train(**settings, out=tmp_path / "run", callback=StopAfter(1))
    whole = hsi.train(**settings, out=tmp_path / "whole")
    resumed = hsi.resume(tmp_path / "run")
    assert scores_only(resumed) == scores_only(whole)
    stamp = (resumed.path / "metrics.json").stat().st_mtime_ns
    hsi.resume(tmp_path / "run")
    assert (resumed.path / "metrics.json").stat().st_mtime_ns == stamp


def test_resume_refuses_another_label_map(settings, small_scene, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        hsi.train(**settings, out=tmp_path / "run", callback=StopAfter(1))
    labels = np.load(small_scene.parent / "labels.npy")
    labels[0, 2] = 3
    np.save(small_scene.parent / "labels.npy", labels)
    with pytest.raises(RunError, match="are not those that the run"):
        hsi.resume(tmp_path / "run")


def test_disjoint_protocol_has_no_leakage(settings, tmp_path):
    settings = {k: v for k, v in settings.items() if k not in ("scheme", "train", "val")}
    run = hsi.train(**settings, protocol="disjoint", out=tmp_path / "run")
    assert run.metrics["leakage"] == {"centre": 0.0, "overlap": 0.0}
    scene = run.load_scene()
    # The map agrees with the score although patches were masked in training.
    labels = run.predict(scene, device="cpu").ravel()[run.split.test]
    assert np.mean(labels == scene.labels.ravel()[run.split.test]) == pytest.approx(run.scores["test"].oa)


def test_best_is_chosen_on_validation_with_ties_by_loss():
    from hsi.training.epoch_metrics import quality

    rows = [
        {"epoch": 0, "val_oa": 0.5, "val_loss": 1.0},
        {"epoch": 1, "val_oa": 0.6, "val_loss": 2.0},
        {"epoch": 2, "val_oa": 0.6, "val_loss": 1.0},
        {"epoch": 3, "val_oa": 0.4, "val_loss": 0.1},
    ]
    assert max(rows, key=quality)["epoch"] == 2


def test_patience_stops_early(settings, tmp_path):
    run = hsi.train(**{**settings, "epochs": 40, "lr": 1e-9, "patience": 2}, out=tmp_path / "run")
    assert len(run.history) < 40
    best = max(range(len(run.history)), key=lambda i: (run.history[i]["val_oa"], -run.history[i]["val_loss"]))
    assert len(run.history) - 1 - best >= 2


def test_history_csv_is_the_history(settings, tmp_path):
    run = hsi.train(**settings, out=tmp_path / "run")
    with (run.path / "history.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [int(row["epoch"]) for row in rows] == [0, 1, 2]
    assert set(rows[0]) == {
        "epoch",
        "lr",
        "train_loss",
        "train_oa",
        "val_loss",
        "val_oa",
        "overflows",
        "seconds",
    }


def test_class_weights_change_the_training_and_keep_it_finite(settings, tmp_path):
    plain = hsi.train(**settings, out=tmp_path / "a")
    weighted = hsi.train(**settings, class_weights=True, out=tmp_path / "b")
    assert plain.history[0]["train_loss"] != weighted.history[0]["train_loss"]


def test_a_last_batch_of_one_pixel_joins_the_one_before(settings, tmp_path):
    run = hsi.train(**{**settings, "epochs": 1}, out=tmp_path / "a")
    count = len(run.split.train)
    for size in (count - 1, (count - 1) // 2):
        hsi.train(**{**settings, "epochs": 1, "batch": size}, out=tmp_path / f"b{size}")


@pytest.mark.parametrize(
    ("options", "kind", "sentence"),
    [
        ({"model": "wcnte"}, HsiError, "Did you mean 'wcnet'"),
        ({"dataset": "IM"}, HsiError, "Unknown scene 'IM'"),
        ({"patch": 25}, HsiError, "wider than the scene"),
        ({"device": "mps"}, ConfigError, "no device 'mps'"),
        ({"precision": "fp16"}, ConfigError, "needs a GPU"),
        ({"precision": "bf16"}, ConfigError, "needs a GPU"),
        ({"model_options": {"layer": [1]}}, HsiError, "has no option 'layer'"),
        ({"train": 0.95}, SplitError, "."),
    ],
)
def test_bad_input_is_one_sentence_and_leaves_nothing(settings, tmp_path, options, kind, sentence):
    with pytest.raises(kind) as error:
        hsi.train(**{**settings, **options}, out=tmp_path / "run")
    assert sentence in str(error.value)
    assert not (tmp_path / "run").exists()


def test_an_existing_run_is_not_overwritten(settings, tmp_path):
    hsi.train(**{**settings, "epochs": 1}, out=tmp_path / "run")
    with pytest.raises(RunError, match="holds a run already"):
        hsi.train(**settings, out=tmp_path / "run")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/notes.txt").write_text("keep")
    with pytest.raises(RunError, match="not an empty folder"):
        hsi.train(**settings, out=tmp_path / "mine")


def test_another_scene_with_other_bands_is_refused(settings, small_scene, tmp_path):
    run = hsi.train(**{**settings, "epochs": 1}, out=tmp_path / "run")
    np.save(small_scene.parent / "cube.npy", np.load(small_scene.parent / "cube.npy")[:, :, :10])
    with pytest.raises(RunError, match="was trained on 12 bands, but 'small' has 10"):
        run.predict(hsi.load_scene(str(small_scene)))


def test_the_moving_average_is_validated_and_kept(settings, tmp_path):
    plain = hsi.train(**settings, out=tmp_path / "a")
    mean = hsi.train(**settings, ema=0.9, out=tmp_path / "b")
    # Validating another network does not change how this one is trained.
    assert [row["train_loss"] for row in plain.history] == [row["train_loss"] for row in mean.history]
    assert [row["val_loss"] for row in plain.history] != [row["val_loss"] for row in mean.history]
    assert mean.evaluate(mean.load_scene(), device="cpu").oa == mean.scores["test"].oa
