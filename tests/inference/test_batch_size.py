"""The batch size of a map: measured where it pays, and not a matter of noise."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import hsi
from hsi.inference.batch_size import MIN_PIXELS, choose_batch_size
from hsi.inference.predict import BATCH

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def own_cache(monkeypatch, tmp_path):
    monkeypatch.setattr("hsi.io.measurements.cache_folder", lambda: tmp_path / "cache")


@pytest.fixture
def network():
    return nn.Sequential(nn.Flatten(), nn.Linear(8 * 7 * 7, 3)).eval()


def choose(model, pixels=MIN_PIXELS, **facts):
    return choose_batch_size(model, (8, 7), pixels, CPU, torch.float32, {"model": "m", **facts})


def speeds(monkeypatch, model, by_size):
    """Set the patches per second of each batch size."""
    seen = []

    def seconds_of(action, device, tries):
        seen.clear()
        action()
        return sum(seen) / by_size[seen[0]]

    model.register_forward_pre_hook(lambda _, inputs: seen.append(len(inputs[0])))
    monkeypatch.setattr("hsi.inference.batch_size.seconds_of", seconds_of)


def test_the_fastest_is_chosen_and_cached(monkeypatch, network):
    speeds(monkeypatch, network, {32: 100.0, 64: 300.0, 128: 200.0, 256: 150.0})
    assert choose(network) == 64
    monkeypatch.setattr("hsi.inference.batch_size.seconds_of", None)
    assert choose(network) == 64


def test_a_small_gain_may_be_noise(monkeypatch, network):
    speeds(monkeypatch, network, {32: 100.0, 64: 108.0, 128: 109.0, 256: 100.0})
    assert choose(network) == BATCH


def test_nothing_is_measured_where_it_does_not_pay(monkeypatch, network):
    monkeypatch.setattr("hsi.inference.batch_size.seconds_of", None)
    assert choose(network, pixels=MIN_PIXELS - 1) == BATCH
    with_prefix = hsi.build_model("cnn1d", bands=8, classes=3, patch=7).eval()
    assert choose(with_prefix) == BATCH
    assert choose(nn.Identity()) == BATCH


def test_a_size_without_enough_memory_is_skipped_and_other_errors_are_raised(network):
    def fails(_, inputs):
        if len(inputs[0]) > 64:
            raise RuntimeError(words)

    network.register_forward_pre_hook(fails)
    words = "DefaultCPUAllocator: can't allocate memory"
    assert choose(network) in (32, 64)
    words = "another error"
    with pytest.raises(RuntimeError, match="another error"):
        choose(network, name="other")


def test_a_real_measurement(network):
    assert choose(network) in (32, 64, 128, 256)


def test_a_map_is_made_with_what_was_chosen(tmp_path, monkeypatch):
    run = hsi.train("cnn1d", "demo", patch=7, epochs=1, tta=True, device="cpu", out=tmp_path / "run")
    scene = hsi.load_scene("demo")
    monkeypatch.setattr("hsi.inference.batch_size.MIN_PIXELS", 0)
    asked = []
    monkeypatch.setattr("hsi.inference.run.choose_batch_size", lambda *given: asked.append(given[2]) or 32)
    tuned = run.tile_classifier(scene, device="cpu")
    assert (tuned.batch_size, asked) == (32, [scene.rows * scene.cols])
    assert run.tile_classifier(scene, device="cpu", batch_size=64).batch_size == 64
    assert len(asked) == 1
    tile = tuned.blocks.tiles(tuned.classes)[0]
    logits, _ = tuned(tile)
    plain, _ = run.tile_classifier(scene, device="cpu", batch_size=BATCH)(tile)
    torch.testing.assert_close(torch.from_numpy(logits), torch.from_numpy(plain), rtol=1e-4, atol=1e-5)
