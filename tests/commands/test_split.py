"""`hsi split` with folds and published masks."""

import json

import numpy as np
import pytest

import hsi
from hsi.commands.app import run


def test_folds_test_every_labelled_pixel_once(small_scene, capsys, tmp_path):
    tested = []
    for fold in range(3):
        out = tmp_path / f"{fold}.npz"
        said = ["--dataset", str(small_scene), "--folds", "3", "--fold", str(fold), "--patch", "5"]
        assert run(["split", *said, "--out", str(out), "--json"]) == 0
        printed = json.loads(capsys.readouterr().out)
        assert (printed["scheme"], printed["folds"], printed["fold"]) == ("disjoint", 3, fold)
        assert printed["leakage"] == {"centre": 0.0, "overlap": 0.0}
        split = hsi.Split.load(out)
        assert (split.folds, split.fold, split.guard) == (3, fold, "mask")
        tested.append(split.test)
    scene = hsi.load_scene(small_scene)
    assert np.array_equal(np.sort(np.concatenate(tested)), scene.labelled)
    assert run(["split", "--dataset", str(small_scene), "--folds", "3", "--fold", "1"]) == 0
    assert "(fold 1 of 3, counted from 0)" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("--folds 3 --fold 3", "fold must be from 0 to 2, not 3"),
        ("--folds 3", "Say which of the 3 folds is tested"),
        ("--fold 1", "give folds, their number, too"),
        ("--folds 1 --fold 0", "folds must be a whole number from 2 to 100, not 1"),
        ("--folds 101 --fold 0", "folds must be a whole number from 2 to 100, not 101"),
        ("--folds 3 --fold 0 --train 0.3", "fold and train do not go together"),
        ("--folds 3 --fold 0 --scheme random", "ask for different splits"),
        ("--folds 3 --fold 0 --per-class 5", "ask for different splits"),
        ("--split-mask dase", "does not go with this scene's label map (24x20 pixels"),
        ("--split-mask dase --train-mask a.npy", "split_mask and train_mask do not go together"),
        ("--split-mask dase --scheme disjoint", "ask for different splits"),
    ],
)
def test_refuses_what_does_not_go_together(small_scene, capsys, tmp_path, said, words):
    before = sorted(tmp_path.iterdir())
    out = str(tmp_path / "made.npz")
    assert run(["split", "--dataset", str(small_scene), *said.split(), "--out", out]) == 2
    shown = capsys.readouterr()
    assert words in shown.err
    assert shown.out == ""
    assert sorted(tmp_path.iterdir()) == before


def test_a_published_mask_by_name(real_data, capsys, tmp_path):
    cube = real_data / "scenes" / "Indian_pines_mnf20.npz"
    path = tmp_path / "mine.toml"
    path.write_text(
        f'cube = {{file = "{cube}", key = "cube"}}\nlabels = {{file = "{cube}", key = "gt"}}\n',
        encoding="utf-8",
    )
    said = ["split", "--dataset", str(path), "--split-mask", "dase", "--json"]
    assert run([*said, "--data-root", str(real_data)]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert (printed["scheme"], printed["split_mask"]) == ("mask", "dase")
    assert printed["counts"]["train"] + printed["counts"]["val"] == 5528
    assert printed["counts"]["test"] == 4721
    assert run([*said, "--data-root", str(tmp_path / "none")]) == 2
    assert "Mask 'dase' of IN is not on this machine: put IndianPines.h5" in capsys.readouterr().err


def test_scenes_name_their_masks(capsys):
    assert run(["scenes", "--json"]) == 0
    scenes = {scene["name"]: scene["masks"] for scene in json.loads(capsys.readouterr().out)["scenes"]}
    assert (scenes["IN"], scenes["UP"], scenes["KSC"]) == (["dase", "sf"], ["dase"], [])


@pytest.mark.parametrize("said", ["", "--preset quick", "--protocol paper", "--seed 3 --patch 7"])
def test_the_same_options_give_the_split_of_a_training(small_scene, capsys, tmp_path, said):
    options = ["--dataset", str(small_scene), *said.split()]
    assert run(["split", *options, "--out", str(tmp_path / "made.npz"), "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert run(["train", "--model", "knn", *options, "--out", str(tmp_path / "run")]) == 0
    trained = hsi.open_run(tmp_path / "run")
    assert trained.metrics["counts"] == printed["counts"]
    made = hsi.Split.load(tmp_path / "made.npz")
    for part in ("train", "val", "test"):
        assert np.array_equal(getattr(made, part), getattr(trained.split, part))
