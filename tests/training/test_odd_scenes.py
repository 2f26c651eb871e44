"""Scenes at the edge of what can be: a run with the right scores, or one sentence and nothing written."""

import json

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix

import hsi
from hsi.commands.app import run as command

NETWORKS = ["densenet3d", "stnet", "kanet", "ekgnet", "wcnet", "sgdscnet"]
SMALL = ["--option", "layers=[1,1,1]", "--option", "growth=[4,4,4]", "--device", "cpu", "--patch", "7"]
RANDOM = ["--scheme", "random", "--train", "0.2", "--val", "0.2"]


@pytest.fixture
def stripes(small_scene):
    """Cube and labels of the small scene: three classes in stripes."""
    return np.load(small_scene.parent / "cube.npy"), np.load(small_scene.parent / "labels.npy")


def write_scene(folder, cube, labels):
    np.save(folder / "cube.npy", cube)
    np.save(folder / "labels.npy", labels)
    (folder / "scene.toml").write_text('cube = "cube.npy"\nlabels = "labels.npy"\n')
    return folder / "scene.toml"


def train(scene, out, *more, model="densenet3d"):
    return command(
        [
            "train",
            "--model",
            model,
            "--dataset",
            str(scene),
            "--epochs",
            "1",
            *SMALL,
            *more,
            "--out",
            str(out),
        ]
    )


def check_scores(folder):
    """Compare the written scores with scikit-learn's on the written predictions."""
    run = hsi.open_run(folder)
    labels = run.load_scene().labels.ravel()
    classes = range(1, len(run.metrics["class_names"]) + 1)
    for part in ("train", "val", "test"):
        truth, found = labels[getattr(run.split, part)], run.predictions[part]
        expected = confusion_matrix(truth, found, labels=classes)
        assert run.metrics[part]["confusion"] == expected.tolist()
        assert run.metrics[part]["oa"] == np.trace(expected) / expected.sum()
    return run


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize(
    "split", [RANDOM, ["--per-class", "5"], ["--protocol", "disjoint", "--class-weights"]], ids=str
)
def test_a_class_with_next_to_no_pixels(count, split, stripes, tmp_path):
    cube, labels = stripes
    kept = np.flatnonzero(labels.ravel() == 3)[::20][:count]
    labels[labels == 3] = 0
    labels.ravel()[kept] = 3
    assert train(write_scene(tmp_path, cube, labels), tmp_path / "run", *split) == 0
    run = check_scores(tmp_path / "run")
    rare = [run.metrics[part]["support"][2] for part in ("train", "val", "test")]
    assert sum(rare) <= count
    assert rare[0] >= 1  # what there is of it is trained on first
    recall = run.metrics["test"]["recall"]
    assert (recall[2] is None) == (rare[2] == 0)
    there = [value for value in recall if value is not None]
    assert run.metrics["test"]["aa"] == pytest.approx(np.mean(there))  # of the classes that are tested


def refused(capsys, out):
    sentence = capsys.readouterr().err.strip().splitlines()[-1]
    assert not out.exists()
    assert sentence.startswith("hsi: ")
    return sentence


def test_a_class_too_rare_for_the_papers_split_is_named(stripes, tmp_path, capsys):
    cube, labels = stripes
    labels[labels == 3] = 0
    labels[0, 15] = 3
    scene = write_scene(tmp_path, cube, labels)
    assert train(scene, tmp_path / "run", "--protocol", "paper") == 2
    assert "No training pixel of code 3" in refused(capsys, tmp_path / "run")


def test_a_scene_with_one_class_is_refused(stripes, tmp_path, capsys):
    cube, labels = stripes
    scene = write_scene(tmp_path, cube, (labels == 1).astype(np.uint8))
    assert train(scene, tmp_path / "run", *RANDOM) == 2
    assert "has a single class (1); a classification needs at least two" in refused(capsys, tmp_path / "run")


def test_a_scene_smaller_than_the_patch_is_refused_and_one_of_its_size_is_not(stripes, tmp_path, capsys):
    cube, labels = stripes
    scene = write_scene(tmp_path, cube[:7], labels[:7])
    assert train(scene, tmp_path / "run", *RANDOM, "--patch", "9") == 2
    sentence = refused(capsys, tmp_path / "run")
    assert "A patch of 9 pixels is wider than the scene (7x20); choose a smaller patch" in sentence
    assert train(scene, tmp_path / "run", *RANDOM, "--patch", "7") == 0
    check_scores(tmp_path / "run")


@pytest.mark.parametrize("model", NETWORKS)
@pytest.mark.parametrize("bands", [8, 1000])
def test_few_and_many_bands(bands, model, tmp_path):
    random = np.random.default_rng(0)
    labels = np.zeros((8, 9), np.uint8)
    labels[1:3, 1:7], labels[5:7, 1:7] = 1, 2
    cube = random.normal(size=(3, bands))[labels] + random.normal(0, 0.1, (8, 9, bands))
    scene = write_scene(tmp_path, cube.astype(np.float32), labels)
    assert train(scene, tmp_path / "run", *RANDOM, "--train", "0.5", model=model) == 0
    run = check_scores(tmp_path / "run")
    assert run.metrics["bands"] == bands


@pytest.mark.parametrize("model", NETWORKS)
def test_a_last_batch_of_one_and_batches_of_one(model, tmp_path, small_scene, capsys):
    split = ["--scheme", "per-class", "--per-class", "3", "--val", "0.02"]  # 9 pixels: 4 + 4 + 1, or 8 + 1
    for batch in ("4", "8"):
        assert train(small_scene, tmp_path / batch, *split, "--batch", batch, model=model) == 0
        assert check_scores(tmp_path / batch).split.counts["train"] == 9
    capsys.readouterr()
    assert train(small_scene, tmp_path / "1", *split, "--batch", "1", model=model) == 2
    assert f"{model} normalises over the batch" in refused(capsys, tmp_path / "1")


def test_json_of_a_class_that_is_not_tested_has_no_nan(stripes, tmp_path, capsys):
    cube, labels = stripes
    labels[labels == 3] = 0
    labels[0, 15] = 3
    scene = write_scene(tmp_path, cube, labels)
    assert train(scene, tmp_path / "run", *RANDOM, "--json") == 0
    printed = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
    assert printed["test"]["recall"][2] is None
