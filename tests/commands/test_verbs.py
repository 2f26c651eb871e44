"""Every verb as a user types it: results on standard output, the rest on standard error."""

import json
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

import hsi
from hsi.commands.app import run


@pytest.fixture
def train(small_scene, tiny, tmp_path, monkeypatch):
    """Arguments of a training of a second, in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    options = "--dataset scene.toml --scheme random --train 0.2 --val 0.2 --epochs 2 --batch 16 --device cpu"
    return ["train", *tiny, *options.split()]


def test_train_prints_the_scores_and_the_leakage(train, capsys):
    assert run([*train, "--out", "first"]) == 0
    shown = capsys.readouterr()
    for word in ("OA %", "AA %", "kappa (x100)", "mean precision %", "train", "val", "test", "Run: first"):
        assert word in shown.out
    assert "Leakage: " in shown.out
    assert "2/2" in shown.err
    assert "val OA" in shown.err
    assert "hsi report first" in shown.err
    oa = hsi.open_run("first").scores["test"].oa
    assert f"{100 * oa:.2f}" in shown.out


def test_json_is_one_object_and_nothing_else(train, capsys):
    assert run([*train, "--out", "first", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed.pop("run") == "first"
    assert printed == hsi.open_run("first").metrics
    assert run(["evaluate", "first", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["test"] == printed["test"]


def test_runs_without_a_name_get_one(train, tmp_path):
    assert run(train) == 0
    (folder,) = (tmp_path / "runs").iterdir()
    assert folder.name.startswith("densenet3d-small-disjoint-seed0-")


def test_evaluate_shows_every_class(train, capsys):
    run([*train, "--out", "first"])
    capsys.readouterr()
    assert run(["evaluate", "first"]) == 0
    shown = capsys.readouterr().out
    for word in ("Grass", "Soil", "Water", "recall %", "precision %", "Leakage: "):
        assert word in shown


def test_a_split_is_made_shown_saved_and_used(train, capsys, tmp_path):
    said = ["split", "--dataset", "scene.toml", "--scheme", "disjoint", "--train", "0.3", "--patch", "7"]
    assert run([*said, "--out", "areas.npz"]) == 0
    shown = capsys.readouterr().out
    assert "Leakage: 0.00 % of test pixels lie in a training patch, 0.00 % share a pixel" in shown
    assert run([*said, "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["leakage"] == {"centre": 0.0, "overlap": 0.0}
    assert printed["scheme"] == "disjoint"
    assert {part: sum(counts) for part, counts in printed["per_class"].items()} == printed["counts"]
    kept = [word for word in train if word not in ("--scheme", "random", "--train", "--val", "0.2")]
    assert run([*kept, "--split", "areas.npz", "--out", "first"]) == 0
    assert hsi.open_run("first").metrics["counts"] == printed["counts"]
    labels = np.load("labels.npy")
    labels[1, 2] = 3
    np.save("labels.npy", labels)
    capsys.readouterr()
    assert run([*kept, "--split", "areas.npz", "--out", "second"]) == 2
    assert "made for another label map" in capsys.readouterr().err


def test_scenes_and_models(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("HSI_DATA", str(tmp_path))
    assert run(["scenes", "--json"]) == 0
    scenes = {entry["name"]: entry for entry in json.loads(capsys.readouterr().out)["scenes"]}
    assert scenes["IN"]["shape"] == [145, 145, 200]
    assert scenes["UP"]["labelled"] == 42776
    assert scenes["KSC"]["classes"] == 13
    assert not scenes["IN"]["on_disk"]
    assert scenes["demo"]["synthetic"]
    assert run(["models", "--json"]) == 0
    models = {entry["name"]: entry for entry in json.loads(capsys.readouterr().out)["models"]}
    assert models["densenet3d"]["params"] == 585_184
    assert models["kanet"]["params"] == 3_275_488
    assert set(models) >= {"densenet3d", "stnet", "kanet", "ekgnet", "wcnet", "sgdscnet"}
    for verb in ("scenes", "models"):
        assert run([verb]) == 0
    shown = capsys.readouterr().out
    assert "synthetic" in shown
    assert "3,275,488" in shown


@pytest.mark.parametrize(
    "verb", [[], ["scenes"], ["models"], ["download"], ["split"], ["train"], ["evaluate"]]
)
def test_help_shows_examples(verb, capsys):
    assert run([*verb, "--help"]) == 0
    assert f"hsi {verb[0] if verb else 'train'}" in capsys.readouterr().out


def test_help_and_import_stay_light():
    for code in ("import hsi", "from hsi.commands.app import run; run(['--help'])"):
        done = subprocess.run(
            [sys.executable, "-X", "importtime", "-c", code], capture_output=True, text=True, check=True
        )
        loaded = {line.split("|")[-1].strip() for line in done.stderr.splitlines() if "|" in line}
        assert not loaded & {"torch", "scipy", "numpy", "sklearn"}


def test_version(capsys):
    assert run(["--version"]) == 0
    assert capsys.readouterr().out == f"hsi {hsi.__version__}\n"


@pytest.mark.skipif(sys.platform == "win32", reason="Ctrl-C is sent in another way on Windows")
def test_ctrl_c_says_how_to_go_on(train, tmp_path):
    command = [sys.executable, "-m", "hsi", *train, "--epochs", "100000", "--out", "first"]
    checkpoint = tmp_path / "first/checkpoint/last.safetensors"
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            waited = time.monotonic()
            while not checkpoint.is_file() and time.monotonic() - waited < 60:
                time.sleep(0.05)
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 130
    assert out == ""
    assert err.splitlines()[-1] == "hsi: Interrupted; resume with: hsi train --resume first"
    assert checkpoint.is_file()
    assert not [path for path in (tmp_path / "first").rglob("*") if path.name.startswith(".")]


@pytest.mark.parametrize(
    ("verb", "extra"),
    [("map", "hsi-toolkit[geo]"), ("export", "hsi-toolkit[export]"), ("sweep", "hsi-toolkit[cluster]")],
)
def test_help_keeps_words_in_brackets(verb, extra, capsys):
    assert run([verb, "--help"]) == 0
    assert extra in capsys.readouterr().out


def test_options_that_an_estimator_does_not_use_are_named(small_scene, tmp_path, capsys):
    said = ["train", "--model", "svm", "--dataset", str(small_scene), "--patch", "5"]
    assert run([*said, "--epochs", "5", "--no-augment", "--out", str(tmp_path / "a")]) == 0
    assert "svm is fitted in one go and does not use --augment, --epochs." in capsys.readouterr().err
    assert run([*said, "--class-weights", "--out", str(tmp_path / "b")]) == 0  # it does use these
    assert "does not use" not in capsys.readouterr().err


def test_export_says_that_it_takes_a_while(train, capsys):
    pytest.importorskip("onnx")
    assert run([*train, "--out", "first"]) == 0
    capsys.readouterr()
    assert run(["export", "first"]) == 0
    shown = capsys.readouterr()
    assert "Writing the file and comparing it with the run" in shown.err
    assert "Writing" not in shown.out
