"""A run in another memory format: recorded, resumed, applied; the choice is in test_autotune.py."""

from __future__ import annotations

import json
import shutil

import pytest
import torch
from torch import nn

import hsi
from hsi.errors import RunError
from hsi.models.device import format_of
from hsi.training import Callback
from hsi.training.autotune import ExecutionPlan

CONTIGUOUS = ExecutionPlan(torch.float32, memory_format="contiguous")
SMALL = {
    "model": "densenet3d",
    "dataset": "demo",
    "model_options": {"layers": [1, 1, 1], "growth": [4, 4, 4]},
    "patch": 7,
    "pca": 8,
    "train": 0.02,
    "val": 0.01,
    "scheme": "random",
    "ema": 0.9,
    "device": "cpu",
}


class StopsAfterOne(Callback):
    """Interrupts as Ctrl-C does, once an epoch is over."""

    def on_epoch(self, row, best):
        raise KeyboardInterrupt


def test_a_run_in_another_format_trains_the_same_records_it_and_resumes(tmp_path, monkeypatch):
    """The format is forced here: a CPU would never choose it."""
    plain = hsi.train(**SMALL, epochs=2, out=tmp_path / "plain")
    assert plain.metrics["memory_format"] == "channels_last_3d"
    monkeypatch.setattr("hsi.training.loop.choose_plan", lambda *given: CONTIGUOUS)
    other = hsi.train(**SMALL, epochs=2, out=tmp_path / "other")
    assert other.metrics["memory_format"] == "contiguous"
    for one, two in zip(plain.history, other.history, strict=True):
        assert one["train_loss"] == pytest.approx(two["train_loss"], rel=1e-3)
    assert plain.metrics["test"]["oa"] == pytest.approx(other.metrics["test"]["oa"], abs=0.01)

    with pytest.raises(KeyboardInterrupt):
        hsi.train(**SMALL, epochs=2, out=tmp_path / "cut", callback=StopsAfterOne())
    crossed = shutil.copytree(tmp_path / "cut", tmp_path / "crossed")
    resumed = hsi.resume(tmp_path / "cut")
    for name in ("test", "memory_format"):
        assert resumed.metrics[name] == other.metrics[name]
    monkeypatch.undo()
    back = hsi.resume(crossed)  # its first epoch was in the other format
    assert back.metrics["memory_format"] == "channels_last_3d"
    assert back.history[1]["train_loss"] == pytest.approx(other.history[1]["train_loss"], rel=1e-3)


def test_a_run_is_used_on_a_gpu_in_the_format_that_it_was_tested_in(tmp_path, monkeypatch):
    run = hsi.train(**SMALL, epochs=1, out=tmp_path / "run")
    path = run.path / "metrics.json"
    metrics = json.loads(path.read_text())
    path.write_text(json.dumps({**metrics, "memory_format": "contiguous"}))
    run = hsi.open_run(run.path)
    assert format_of(run.load_model("cpu")) == "channels_last_3d"
    del metrics["memory_format"]  # as in runs made before there was a choice
    old = hsi.open_run(shutil.copytree(run.path, tmp_path / "old"))
    (old.path / "metrics.json").write_text(json.dumps(metrics))
    monkeypatch.setattr("hsi.inference.run.choose_device", torch.device)
    monkeypatch.setattr(nn.Module, "to", lambda module, device: module)  # there may be no GPU here
    assert format_of(run.load_model("cuda")) == "contiguous"
    assert format_of(old.load_model("cuda")) == "channels_last_3d"
    asked = []
    monkeypatch.setattr("hsi.inference.run.choose_batch_size", lambda *given: asked.append(given[-1]) or 32)
    for each, device in ((run, "cuda"), (old, "cuda"), (run, "cpu")):
        each.tile_classifier(each.load_scene(), device=device)
    assert [facts.get("memory_format") for facts in asked] == ["contiguous", None, None]
    assert asked[1] == asked[2]  # so what was measured before there was a choice is still known
    (old.path / "metrics.json").write_text(json.dumps({**metrics, "memory_format": "folded"}))
    with pytest.raises(RunError, match=r"is damaged: .*memory_format"):
        _ = hsi.open_run(old.path).metrics
