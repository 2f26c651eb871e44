"""One model trained on several scenes, and tested on another: from a user's options to the run folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from sklearn.metrics import accuracy_score, confusion_matrix

import hsi
from hsi.commands.app import run as command
from hsi.datasets.catalogue import entries as catalogue
from hsi.datasets.catalogue.entries import list_scenes
from hsi.datasets.mosaic import combine_scenes
from hsi.datasets.parts import part_windows
from hsi.errors import ConfigError, RunError, SplitError
from hsi.inference.run import accuracy_by_distance
from hsi.training import Callback, resume_runs, train_runs
from hsi.training.session import resume

NAMES = {1: "Grass", 2: "Soil", 3: "Water"}
SPECTRA = np.random.default_rng(5).uniform(200, 900, (4, 12))
TINY: dict[str, Any] = {
    "model": "densenet3d",
    "model_options": {"layers": [1, 1, 1], "growth": [4, 4, 4]},
    "patch": 7,
    "epochs": 2,
    "batch": 16,
    "lr": 0.01,
    "train": 0.3,
    "val": 0.2,
    "device": "cpu",
}


def write_scene(folder: Path, seed: int, codes: dict[str, int], cols: int = 20, shift: float = 0.0) -> str:
    """Write 24 rows with three classes in stripes, with codes of their own; return the path of scene.toml."""
    folder.mkdir()
    random = np.random.default_rng(seed)
    classes = np.zeros((24, cols), np.int64)
    classes[:, 1:6], classes[:, 7:12], classes[:, 13:19] = 1, 2, 3
    classes[8] = classes[16] = 0
    cube = SPECTRA[classes] + shift + random.normal(0, 60, (24, cols, 12))
    table = np.array([0, *(codes[name] for name in NAMES.values())])
    np.save(folder / "cube.npy", cube.round().astype(np.uint16))
    np.save(folder / "labels.npy", table[classes])
    text = (
        f'name = "{folder.name}"\ncube = {{file = "cube.npy"}}\nlabels = {{file = "labels.npy"}}\n[classes]\n'
    )
    text += "".join(f'{code} = "{name}"\n' for name, code in codes.items())
    (folder / "scene.toml").write_text(text, encoding="utf-8")
    return str(folder / "scene.toml")


@pytest.fixture
def scenes(tmp_path) -> dict[str, str]:
    """Three scenes whose classes have other codes."""
    return {
        "june": write_scene(tmp_path / "june", 0, {"Grass": 1, "Soil": 2, "Water": 3}),
        "july": write_scene(tmp_path / "july", 1, {"Grass": 3, "Soil": 1, "Water": 2}, cols=26, shift=30),
        "august": write_scene(tmp_path / "august", 2, {"Grass": 2, "Soil": 7, "Water": 5}, cols=23),
    }


def test_one_scene_combined_trains_as_the_scene_itself(scenes, tmp_path, monkeypatch):
    monkeypatch.setattr(catalogue, "_entries", {entry.name: entry for entry in list_scenes()})
    hsi.register_scene("combined", lambda: combine_scenes([hsi.load_scene(scenes["june"])]))
    options = {**TINY, "scheme": "disjoint", "scale_on": "all"}
    one = hsi.train(dataset=scenes["june"], out=tmp_path / "one", **options)
    for dataset in ("combined", [scenes["june"]]):
        other = hsi.train(
            dataset=dataset, protocol="disjoint", out=tmp_path / f"other{len(dataset)}", **options
        )
        for file in ("best", "last"):
            ours, theirs = (load_file(r.path / "checkpoint" / f"{file}.safetensors") for r in (one, other))
            assert ours.keys() == theirs.keys()
            assert all(torch.equal(ours[name], theirs[name]) for name in ours)
        for name in ("train", "val", "test"):
            assert np.array_equal(one.predictions[name], other.predictions[name])
            assert one.metrics[name] == other.metrics[name]
    assert 'dataset = "' in (other.path / "config.toml").read_text()


@pytest.mark.parametrize("scheme", ["random", "disjoint"])
def test_codes_do_not_matter_and_names_do(scenes, tmp_path, scheme):
    same = write_scene(tmp_path / "same", 1, {"Grass": 1, "Soil": 2, "Water": 3}, cols=26, shift=30)
    runs = [
        hsi.train(dataset=[scenes["june"], other], scheme=scheme, out=tmp_path / Path(other).parent.name[:3],
                  **TINY)
        for other in (scenes["july"], same)
    ]  # fmt: skip
    assert runs[0].metrics["dataset"] == "june + july"
    assert runs[0].metrics["class_names"] == list(NAMES.values())
    for name in ("train", "val", "test"):
        assert np.array_equal(*(run.predictions[name] for run in runs))
        assert runs[0].metrics[name] == runs[1].metrics[name]
    if scheme == "disjoint":
        assert runs[0].metrics["leakage"] == {"centre": 0, "overlap": 0}


def test_a_test_scene_is_scored_as_its_map(scenes, tmp_path):
    run = hsi.train(
        dataset=[scenes["june"], scenes["july"]], test_scene=scenes["august"], out=tmp_path / "run", **TINY
    )
    scene = hsi.load_scene(scenes["august"])
    truth = np.vectorize({0: 0, 1: 1, 2: 3, 3: 2}.get)(scene.labels)  # codes 2, 5, 7: Grass, Water, Soil
    predicted = run.predict(scene)
    labelled = truth > 0
    test = run.metrics["test"]
    assert test["oa"] == accuracy_score(truth[labelled], predicted[labelled])
    assert test["confusion"] == confusion_matrix(truth[labelled], predicted[labelled]).tolist()
    assert run.metrics["counts"]["test"] == labelled.sum()
    assert run.metrics["leakage"] == {"centre": 0, "overlap": 0}
    assert run.metrics["dataset"] == "june + july, tested on august"
    assert [part["test"] for part in run.metrics["scenes"]] == [False, False, True]
    assert [part["oa"] for part in run.metrics["scenes"]] == [None, None, test["oa"]]
    assert run.evaluate(run.load_scene()).oa == test["oa"]
    (last,) = [each for each in accuracy_by_distance(run) if each.pixels]
    assert last.farthest is None
    assert last.oa == test["oa"]


def test_maps_of_the_trained_scenes_agree_with_the_scores(scenes, tmp_path):
    run = hsi.train(dataset=[scenes["june"], scenes["july"]], scheme="disjoint", out=tmp_path / "run", **TINY)
    whole = run.load_scene()
    both = run.predict(whole)
    assert np.array_equal(both.ravel()[run.split.test], run.predictions["test"])
    windows = part_windows(whole.parts)
    test = np.zeros(whole.labels.shape, bool)
    test.ravel()[run.split.test] = True
    for name, window, scored in zip(("june", "july"), windows, run.metrics["scenes"], strict=True):
        truth, predicted = whole.labels[window][test[window]], both[window][test[window]]
        assert (scored["name"], scored["pixels"]) == (name, len(truth))
        assert scored["oa"] == accuracy_score(truth, predicted)
        assert np.array_equal(run.predict(hsi.load_scene(scenes[name])), both[window])
    assert not both[24].any()  # between the scenes


def test_scaling_on_all_pixels_takes_those_of_the_trained_scenes_alone(scenes, tmp_path):
    run = hsi.train(
        "logistic", [scenes["june"], scenes["july"]], test_scene=scenes["august"], scale_on="all", patch=3,
        out=tmp_path / "run",
    )  # fmt: skip
    cubes = [np.load(Path(scenes[name]).with_name("cube.npy")).reshape(-1, 12) for name in ("june", "july")]
    scaling = run.preprocess.steps_[0]
    assert run.preprocess.fitted_on_ == sum(map(len, cubes))
    assert np.allclose(scaling.mean_, np.concatenate(cubes).mean(axis=0))


def test_a_class_that_is_not_trained_is_told_and_left_out(scenes, tmp_path):
    description = Path(scenes["august"])
    description.write_text(description.read_text().replace('"Water"', '"Ice"'))

    said: list[str] = []

    class Notes(Callback):
        def message(self, sentence: str) -> None:
            said.append(sentence)

    run = hsi.train("logistic", scenes["june"], test_scene=scenes["august"], patch=3, out=tmp_path / "run",
                    callback=Notes())  # fmt: skip
    labels = np.load(description.with_name("labels.npy"))
    assert run.metrics["counts"]["test"] == np.isin(labels, (2, 7)).sum()
    assert run.metrics["test"]["support"][2] == 0
    assert run.metrics["test"]["recall"][2] is None
    count = int((labels == 5).sum())
    told = f"august has {count} pixels of classes that are not trained (Ice: {count})"
    assert any(told in sentence for sentence in said)


def test_an_interrupted_run_on_several_scenes_is_resumed(scenes, tmp_path):
    class Stop(Callback):
        def on_epoch(self, row, best):
            raise KeyboardInterrupt

    options = {**TINY, "dataset": [scenes["june"], scenes["july"]], "test_scene": scenes["august"]}
    whole = hsi.train(**options, out=tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        hsi.train(**options, out=tmp_path / "cut", callback=Stop())
    cut = resume(tmp_path / "cut")
    assert np.array_equal(cut.predictions["test"], whole.predictions["test"])


def test_a_group_of_runs_on_several_scenes_is_resumed(scenes, tmp_path):
    datasets = [scenes["june"], scenes["july"]]
    runs = train_runs("logistic", datasets, runs=2, patch=3, out=tmp_path / "group")
    again = resume_runs(tmp_path / "group")
    assert [run.scores["test"].oa for run in again] == [run.scores["test"].oa for run in runs]


def test_fields_do_not_reach_from_one_scene_into_another(scenes, tmp_path, monkeypatch):
    from hsi.training import context

    found = []
    monkeypatch.setattr(context, "field_groups", lambda *given: found.append(given) or original(*given))
    original = hsi.training.fields.field_groups
    run = hsi.train(
        dataset=[scenes["june"], scenes["july"]],
        scheme="random",
        field_shift=1.0,
        out=tmp_path / "run",
        **TINY,
    )
    assert found
    groups = original(*found[0]).group
    image = (run.split.train // run.split.shape[1]) > 24
    assert not set(groups[image]) & set(groups[~image])


def test_the_command_line_takes_scenes_as_they_are_repeated(scenes, tmp_path, capsys):
    run, said = tmp_path / "run", ["--dataset", scenes["june"], "--dataset", scenes["july"]]
    rest = ["--test-scene", scenes["august"], "--patch", "3"]
    assert command(["train", "--model", "logistic", *said, *rest, "--out", str(run)]) == 0
    printed = capsys.readouterr()
    assert "logistic on june + july, tested on august" in " ".join(printed.out.split())
    assert f"hsi map {run} --scene {scenes['june']}" in printed.err
    opened = hsi.open_run(run)
    assert opened.config.dataset == [scenes["june"], scenes["july"]]
    assert command(["train", "--config", str(run / "config.toml"), "--out", str(tmp_path / "again")]) == 0
    assert hsi.open_run(tmp_path / "again").metrics["test"] == opened.metrics["test"]
    capsys.readouterr()
    assert command(["map", str(run)]) == 2
    told = " ".join(capsys.readouterr().err.split())
    assert all(path in told for path in scenes.values())
    out = tmp_path / "map.npy"
    assert command(["map", str(run), "--scene", scenes["august"], "--out", str(out)]) == 0
    assert np.array_equal(np.load(out), opened.predict(hsi.load_scene(scenes["august"])))
    assert command(["evaluate", str(run)]) == 0
    assert command(["report", str(run), "--out", str(tmp_path / "page.html")]) == 0
    assert "june + july, tested on august" in (tmp_path / "page.html").read_text(encoding="utf-8")


def test_hsi_split_shows_the_split_of_several_scenes_and_train_takes_it(scenes, tmp_path, capsys):
    said = ["--dataset", scenes["june"], "--dataset", scenes["july"]]
    assert command(["split", *said, "--patch", "3", "--out", str(tmp_path / "s.npz"), "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["dataset"] == "june + july"
    assert printed["leakage"] == {"centre": 0, "overlap": 0}
    for part, count in printed["counts"].items():
        assert sum(one[part] for one in printed["scenes"]) == count
    assert [one["labelled"] for one in printed["scenes"]] == [22 * 16, 22 * 16]
    datasets = [scenes["june"], scenes["july"]]
    run = hsi.train("logistic", datasets, split=str(tmp_path / "s.npz"), patch=3, out=tmp_path / "run")
    assert run.metrics["counts"] == printed["counts"]
    with pytest.raises(SplitError, match="another label map"):
        hsi.train("logistic", datasets[::-1], split=str(tmp_path / "s.npz"), patch=3, out=tmp_path / "no")


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"dataset": ["june", "june"]}, ConfigError, "given twice"),
        ({"dataset": ["june"], "test_scene": "june"}, ConfigError, "given twice"),
        ({"dataset": []}, ConfigError, "empty"),
        ({"dataset": ["june", 3]}, ConfigError, "text, or a list of texts"),
        ({"dataset": ["june", "july"], "padding": "reflect"}, ConfigError, "between several"),
        ({"dataset": ["june", "july"], "labels": "x.npy"}, ConfigError, "--labels means one file"),
        ({"dataset": ["june", "july"], "train_mask": "x.npy"}, SplitError, "train_mask marks pixels of one"),
        ({"dataset": ["june", "july"], "patch": 25}, SplitError, "wider than june"),
    ],
)
def test_what_does_not_go_with_several_scenes_is_refused(scenes, tmp_path, options, error, words):
    options["dataset"] = [scenes.get(name, name) for name in options["dataset"]]
    if "test_scene" in options:
        options["test_scene"] = scenes[options["test_scene"]]
    with pytest.raises(error, match=words):
        hsi.train("logistic", **{"patch": 3, **options}, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_changed_labels_of_one_scene_are_noticed(scenes, tmp_path):
    run = hsi.train("logistic", [scenes["june"], scenes["july"]], patch=3, out=tmp_path / "run")
    labels = np.load(Path(scenes["july"]).with_name("labels.npy"))
    labels[0, 1] = 0
    np.save(Path(scenes["july"]).with_name("labels.npy"), labels)
    with pytest.raises(RunError, match="are not those that the run"):
        run.load_scene()
