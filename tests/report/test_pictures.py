import shutil

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

import hsi
from hsi.errors import SplitError
from hsi.inference.predict import make_cutter, predict_logits
from hsi.report.pictures import KEPT, classify, save_run_figures
from hsi.runs.checkpoint import BEST


def test_is_the_prediction_of_the_run_with_its_calibrated_probabilities(runs):
    for run in runs:
        scene = run.load_scene()
        told = []
        (run.path / KEPT).unlink(missing_ok=True)
        classified = classify(
            run, scene, device="cpu", progress=lambda done, of, told=told: told.append((done, of))
        )
        assert np.array_equal(classified.labels, run.predict(scene, device="cpu"))
        assert np.array_equal(classified.labels.ravel()[run.split.test], run.predictions["test"])
        assert told[-1] == (480, 480)
        cutter = make_cutter(scene, run.preprocess, run.split, run.config, "cpu")
        logits = predict_logits(run.load_model("cpu"), cutter, np.arange(480))
        post = run.postprocessing
        logits = logits.double() / post.calibration.temperature
        shares = (torch.exp(logits) / torch.exp(logits).sum(dim=1, keepdim=True)).numpy().reshape(24, 20, 3)
        if post.smoothing.method == "mean":  # of the neighbours in the pixel's own region
            reach, regions = post.smoothing["width"] // 2, run.split.regions
            smoothed = np.empty_like(shares)
            for row, col in np.ndindex(24, 20):
                box = np.s_[max(0, row - reach) : row + reach + 1, max(0, col - reach) : col + reach + 1]
                smoothed[row, col] = shares[box][regions[box] == regions[row, col]].mean(axis=0)
            shares = smoothed ** (1 / post.after.temperature)
            shares /= shares.sum(axis=2, keepdims=True)
        assert np.allclose(classified.confidence, shares.max(axis=2), atol=1e-4)
    assert [run.postprocessing.smoothing.method for run in runs] == ["none", "mean"]


def test_maps_tell_the_score_and_the_leakage(runs, monkeypatch):
    drawn = {}
    monkeypatch.setattr(
        "hsi.report.pictures.save_figure", lambda figure, folder, name: drawn.update({name: figure}) or []
    )
    scene = runs[0].load_scene()
    save_run_figures(runs[0], scene, classify(runs[0], scene, device="cpu"))
    for name in ("prediction", "errors"):
        texts = [text.get_text() for text in drawn[name].texts]
        assert any(f"{100 * runs[0].metrics['test']['oa']:.2f} %" in text for text in texts)


def test_refuses_a_scene_with_other_labels(runs, small_scene):
    other = hsi.load_scene(str(small_scene))
    other.labels[0, 0] = 3
    with pytest.raises(SplitError):
        classify(runs[0], other, device="cpu")


def copy_of(run, tmp_path):
    """A copy of a run with its kept map, and what classifying it costs: the calls of its progress."""
    classify(run, run.load_scene(), device="cpu")
    return hsi.open_run(shutil.copytree(run.path, tmp_path / "copy"))


def calls(run, scene=None):
    told = []
    answer = classify(run, scene or run.load_scene(), device="cpu", progress=lambda *done: told.append(done))
    return answer, told


def test_the_map_is_kept_and_the_same(runs, tmp_path):
    run = copy_of(runs[0], tmp_path)
    kept, told = calls(run)
    assert told == []
    (run.path / KEPT).unlink()
    fresh, told = calls(run)
    assert told[0] == (0, 480)
    assert kept.labels.dtype == fresh.labels.dtype == np.int64
    assert np.array_equal(kept.labels, fresh.labels)
    assert np.array_equal(kept.confidence, fresh.confidence)


def change_weights(run, scene):
    path = run.path / "checkpoint" / BEST
    with safe_open(path, framework="pt") as file:
        tensors, facts = {name: file.get_tensor(name) for name in file.keys()}, file.metadata()  # noqa: SIM118
    weights = next(value for name, value in tensors.items() if name.endswith("weight"))
    weights.view(-1)[0] += 1
    save_file(tensors, path, metadata=facts)


def change_cube(run, scene):
    scene.cube[3, 3, 0] += 1


def rewrite(**arrays):
    """Keep the fingerprint, and change what stands beside it."""

    def damage(run, scene):
        with np.load(run.path / KEPT) as kept:
            whole = dict(kept)
        np.savez_compressed(
            run.path / KEPT, **{**whole, **{name: make(whole) for name, make in arrays.items()}}
        )

    return damage


def cut(run, scene):
    content = (run.path / KEPT).read_bytes()
    (run.path / KEPT).write_bytes(content[: len(content) // 2])


def flip(run, scene):
    content = bytearray((run.path / KEPT).read_bytes())
    content[len(content) // 3] ^= 0xFF
    (run.path / KEPT).write_bytes(bytes(content))


@pytest.mark.parametrize(
    "change",
    [
        change_weights,
        change_cube,
        cut,
        flip,
        rewrite(labels=lambda kept: kept["labels"][:, 1:]),
        rewrite(labels=lambda kept: kept["labels"] + np.uint16(9)),
        rewrite(confidence=lambda kept: kept["confidence"] * np.nan),
        rewrite(confidence=lambda kept: kept["confidence"].astype("U9")),
        rewrite(fingerprint=lambda kept: np.array("0" * 64)),
    ],
)
def test_a_kept_map_that_does_not_fit_is_made_anew(runs, tmp_path, change):
    run = copy_of(runs[0], tmp_path)
    scene = run.load_scene()
    change(run, scene)
    found, told = calls(run, scene)
    assert told[-1] == (480, 480)
    assert np.array_equal(found.labels, run.predict(scene, device="cpu"))
    again, told = calls(run, scene)  # and is kept from then on
    assert told == []
    assert np.array_equal(again.confidence, found.confidence)
    assert not list(run.path.glob(".*.tmp"))


def test_another_version_classifies_anew(runs, tmp_path, monkeypatch):
    run = copy_of(runs[0], tmp_path)
    monkeypatch.setattr(hsi, "__version__", "99.0")
    assert calls(run)[1][-1] == (480, 480)
