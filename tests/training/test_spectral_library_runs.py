"""Runs of sam and matched-filter, with a library and without one."""

from __future__ import annotations

import json

import numpy as np
import pytest
import spectral
from safetensors.numpy import load_file

import hsi
from hsi.commands.app import run as run_command
from hsi.config import make_config, resolve_config
from hsi.datasets.catalogue.downloader import file_sha256
from hsi.errors import ConfigError, SceneError
from hsi.models import model_entry
from hsi.training import Callback

KINDS = ["sam", "matched-filter"]
CENTRES = np.linspace(450, 1000, 12)


class Heard(Callback):
    """Keep what the user is told."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def message(self, text: str) -> None:
        self.notes.append(text)


@pytest.fixture
def measured_scene(small_scene):
    """The small scene with wavelengths."""
    text = f"wavelengths_nm = {CENTRES.tolist()}\n" + small_scene.read_text()
    small_scene.write_text(text)
    return small_scene


@pytest.fixture
def library(measured_scene):
    """The mean spectra of its classes, longest wavelength first, and lead, as a table."""
    scene = hsi.load_scene(measured_scene)
    means = [np.asarray(scene.cube)[scene.labels == label].mean(axis=0) for label in (1, 2, 3)]
    columns = [row[::-1] for row in (CENTRES, *means, np.ones(12))]
    path = measured_scene.parent / "minerals.csv"
    header = "wavelength (nm),grass,SOIL,water ,lead"
    np.savetxt(path, np.stack(columns, axis=1), delimiter=",", header=header, comments="")
    return path


@pytest.fixture
def settings(measured_scene, library):
    return {
        "dataset": str(measured_scene), "scheme": "random", "train": 0.2, "val": 0.2, "patch": 5,
        "device": "cpu", "library": str(library),
    }  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_with_a_library_is_scored_mapped_and_needs_the_library_no_more(
    kind, settings, library, measured_scene, tmp_path
):
    heard = Heard()
    run = hsi.train(model=kind, **settings, out=tmp_path / "run", callback=heard)
    assert run.scores["test"].oa > 0.9
    assert any("1 spectra of the library minerals.csv are of no class" in note for note in heard.notes)
    assert run.environment["data_files"]["minerals.csv"] == file_sha256(library)
    assert run.config.library == str(library)
    scene = hsi.load_scene(measured_scene)
    library.unlink()
    again = hsi.open_run(tmp_path / "run")
    labels = again.predict(scene)
    assert labels.ravel()[run.split.test].tolist() == run.predictions["test"].tolist()
    assert again.evaluate(scene).oa == run.scores["test"].oa


def test_sam_predicts_by_the_angles_to_the_measured_spectra(settings, measured_scene, library, tmp_path):
    run = hsi.train(model="sam", **settings, out=tmp_path / "run")
    scene = hsi.load_scene(measured_scene)
    kept = load_file(run.path / "checkpoint" / "best.safetensors")
    table = np.loadtxt(library, delimiter=",", skiprows=1)
    for number, label in enumerate(kept["spectrum_classes"].tolist()):
        np.testing.assert_allclose(kept["spectra"][number], table[::-1, 1 + label], rtol=1e-5)
    cube = np.asarray(scene.cube).astype(float)
    angles = spectral.spectral_angles(cube, kept["spectra"].astype(float))
    assert (run.predict(scene) == kept["spectrum_classes"][angles.argmin(axis=2)] + 1).mean() > 0.999


@pytest.mark.parametrize("kind", KINDS)
def test_with_a_library_the_split_does_not_matter(kind, settings, tmp_path):
    first, second = (
        hsi.train(model=kind, **settings, seed=seed, out=tmp_path / str(seed)) for seed in (0, 1)
    )
    assert set(first.split.train) != set(second.split.train)
    one, other = (load_file(run.path / "checkpoint" / "best.safetensors") for run in (first, second))
    for name in one:
        np.testing.assert_array_equal(one[name], other[name])
    np.testing.assert_array_equal(first.preprocess.steps_[-1].mean_, second.preprocess.steps_[-1].mean_)


@pytest.mark.parametrize("kind", KINDS)
def test_without_a_library_the_training_pixels_give_the_spectra(kind, settings, tmp_path, measured_scene):
    run = hsi.train(model=kind, **{**settings, "library": None}, out=tmp_path / "run")
    assert run.scores["test"].oa > 0.9
    scene = hsi.load_scene(measured_scene)
    pixels = run.split.train
    labels, spectra = scene.labels.ravel()[pixels], np.asarray(scene.cube).reshape(-1, 12)[pixels]
    means = [spectra[labels == label].mean(axis=0) for label in (1, 2, 3)]
    kept = load_file(run.path / "checkpoint" / "best.safetensors")
    np.testing.assert_allclose(kept["spectra"], means, rtol=1e-5)


def test_chosen_bands_are_those_of_the_library_too(settings, tmp_path):
    run = hsi.train(model="mf", **settings, bands="500-900nm", out=tmp_path / "run")
    inside = int(((CENTRES >= 500) & (CENTRES <= 900)).sum())
    assert load_file(run.path / "checkpoint" / "best.safetensors")["spectra"].shape == (3, inside)
    assert run.scores["test"].oa > 0.9


def test_fractions_are_brought_to_the_scenes_units(settings, library, tmp_path):
    whole = hsi.train(model="mf", **settings, out=tmp_path / "whole")
    table = np.loadtxt(library, delimiter=",", skiprows=1)
    table[:, 1:] /= 10_000
    np.savetxt(library, table, delimiter=",", header="nm,grass,soil,water,lead", comments="")
    heard = Heard()
    run = hsi.train(model="mf", **settings, out=tmp_path / "run", callback=heard)
    assert any("multiplied by 10000" in note for note in heard.notes)
    one, other = (load_file(r.path / "checkpoint" / "best.safetensors")["filters"] for r in (whole, run))
    np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-6)


def test_a_class_without_a_spectrum_is_never_predicted(settings, library, tmp_path, measured_scene):
    table = np.loadtxt(library, delimiter=",", skiprows=1)[:, :3]
    np.savetxt(library, table, delimiter=",", header="nm,grass,soil", comments="")
    heard = Heard()
    run = hsi.train(model="sam", **settings, out=tmp_path / "run", callback=heard)
    assert any("never predicted: Water" in note for note in heard.notes)
    assert set(np.unique(run.predict(hsi.load_scene(measured_scene)))) == {1, 2}
    assert run.scores["test"].recall[2] == 0


def test_training_pixels_of_each_class_are_not_needed(settings, measured_scene, tmp_path):
    labels = np.load(measured_scene.parent / "labels.npy")
    train = np.where(labels == 1, labels, 0)
    train[:, 3:] = 0
    test = np.where(train > 0, 0, labels)
    np.save(tmp_path / "train.npy", train)
    np.save(tmp_path / "test.npy", test)
    masks = {
        "scheme": "mask",
        "train_mask": str(tmp_path / "train.npy"),
        "test_mask": str(tmp_path / "test.npy"),
    }
    masked = {name: value for name, value in settings.items() if name != "train"} | masks
    run = hsi.train(model="sam", **masked, out=tmp_path / "run")
    assert run.scores["test"].oa > 0.9
    with pytest.raises(hsi.errors.SplitError, match="No training pixel"):
        hsi.train(model="sam", **{**masked, "library": None}, out=tmp_path / "other")


def test_a_scene_without_wavelengths_and_a_library_that_is_not_there(settings, small_scene, tmp_path):
    with pytest.raises(SceneError, match="check the path"):
        hsi.train(model="sam", **{**settings, "library": "none.sli"}, out=tmp_path / "run")
    text = small_scene.read_text()
    small_scene.write_text(text.split("\n", 1)[1])
    with pytest.raises(SceneError, match="wavelengths_nm"):
        hsi.train(model="sam", **settings, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_an_interrupted_run_is_resumed_with_its_library(settings, tmp_path):
    whole = hsi.train(model="mf", **settings, out=tmp_path / "run")
    oa = whole.scores["test"].oa
    for name in ("metrics.json", "predictions.npz", "history.csv", "checkpoint/best.safetensors"):
        (tmp_path / "run" / name).unlink()
    assert hsi.resume(tmp_path / "run").scores["test"].oa == oa


@pytest.mark.parametrize("name", ["sam", "SAM", "mf", "Matched_Filter", "spectral-angle"])
def test_components_and_libraries_go_with_the_right_models(name):
    with pytest.raises(ConfigError, match="principal components"):
        resolve_config({"model": name, "dataset": "demo", "pca": 5})
    assert resolve_config({"model": name, "dataset": "demo"}).pca == 0  # of the demo's preset
    assert resolve_config({"model": name, "dataset": "x.toml", "preset": "quick"}).pca == 0
    assert make_config({"model": name, "dataset": "demo", "library": "x.sli"}).takes_measured
    assert model_entry(name).name in KINDS


def test_a_library_is_no_option_of_a_network():
    with pytest.raises(ConfigError, match="svm learns from pixels"):
        resolve_config({"model": "svm", "dataset": "demo", "library": "x.sli"})
    assert resolve_config({"model": "svm", "dataset": "demo"}).pca == 30


def test_the_command_line(settings, library, measured_scene, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    command = ["train", "--model", "sam", "--library", str(library), "--dataset", str(measured_scene)]
    assert run_command([*command, "--scheme", "random", "--patch", "3", "--out", "run", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["test"]["oa"] > 0.9
    assert run_command(["map", "run", "--out", "map.npy"]) == 0
    assert np.load("map.npy").shape == (24, 20)
    assert run_command(["report", "run"]) == 0
    assert run_command(["export", "run", "--format", "onnx"]) == 2
    assert "no network" in capsys.readouterr().err


def test_other_models_are_as_before(settings, tmp_path):
    run = hsi.train(model="knn", **{**settings, "library": None}, out=tmp_path / "run")
    assert "standardised" in run.preprocess.describe()
