from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hsi.datasets.load import load_unlabelled
from hsi.errors import ConfigError, SceneError, SplitError
from hsi.explain.layers import find_layers
from hsi.explain.probe import Probe, choose_pixels, measure_scene, patches_of
from hsi.models.densenet3d import DenseLayer


def moments(module, x):
    """Two numbers of each layer's input."""
    return torch.stack([x.flatten(1).mean(1), x.flatten(1).std(1)], dim=1)


@pytest.fixture
def found(run_of):
    run = run_of("densenet3d")
    return run, find_layers(run.load_model("cpu"), DenseLayer)


def test_every_pixel_gets_what_its_patch_gives(found, patches_round):
    run, layers = found
    seen = []
    values = measure_scene(run, None, layers, moments, device="cpu", watch=lambda *told: seen.append(told))
    assert values.values.shape == (24, 20, 2)
    pixels = [0, 19, 460, 479, 250, *run.split.test[:20]]  # corners too
    _, modules, inputs = patches_round(run, pixels, DenseLayer)
    each = np.stack([moments(None, x).numpy() for x in inputs])
    assert len(modules) == len(each) == 4
    np.testing.assert_allclose(values.values.reshape(-1, 2)[pixels], each.mean(axis=0), rtol=1e-4, atol=1e-5)
    _, _, everywhere = patches_round(run, range(480), DenseLayer)
    by_layer = [moments(None, x).numpy().mean(axis=0) for x in everywhere]
    np.testing.assert_allclose(values.by_layer, by_layer, rtol=1e-4, atol=1e-5)
    assert seen[-1] == (480, 480)


def test_one_layer(found, patches_round):
    run, layers = found
    values = measure_scene(run, None, layers.only(2), moments, device="cpu")
    _, _, inputs = patches_round(run, [77], DenseLayer)
    np.testing.assert_allclose(values.values[3, 17], moments(None, inputs[2])[0], rtol=1e-4, atol=1e-5)
    assert values.by_layer.shape == (1, 2)


def test_pixels_without_data_are_nan_and_not_in_the_mean(found):
    run, layers = found
    scene = run.load_scene()
    cube = scene.cube.copy()
    cube[3:5, 4] = np.nan
    values = measure_scene(run, replace(scene, cube=cube), layers, moments, device="cpu")
    lost = np.zeros((24, 20), bool)
    lost[3:5, 4] = True
    np.testing.assert_array_equal(np.isnan(values.values).all(axis=2), lost)
    np.testing.assert_array_equal(np.isnan(values.values).any(axis=2), lost)
    mean = np.nanmean(values.values.reshape(-1, 2), axis=0)
    np.testing.assert_allclose(values.by_layer.mean(axis=0), mean, rtol=1e-4)


def test_no_hook_is_left_behind(found):
    _, layers = found
    probe = Probe(layers, moments)
    with torch.no_grad():
        assert probe(torch.zeros(2, 12, 7, 7)).shape == (2, 8)
        with pytest.raises(RuntimeError):
            probe(torch.zeros(2, 12))
    assert not any(module._forward_pre_hooks for module in layers.modules)


CPU = torch.device("cpu")


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.integers(0, 24 * 20 - 1), min_size=1, max_size=9), st.integers(1, 5))
def test_patches_are_those_that_scores_are_made_of(run_of, patches_round, pixels, batch):
    run = run_of("densenet3d")
    wanted, _, _ = patches_round(run, pixels)
    found = torch.cat(list(patches_of(run, run.load_scene(), np.array(pixels), CPU, batch)))
    np.testing.assert_allclose(found, wanted, atol=1e-6)


def test_the_default_is_a_spread_of_test_pixels(run_of, monkeypatch):
    run = run_of("densenet3d")
    scene = run.load_scene()
    np.testing.assert_array_equal(choose_pixels(run, scene, None), run.split.test)
    monkeypatch.setattr("hsi.explain.probe.DEFAULT_SAMPLES", 5)
    some = choose_pixels(run, scene, None)
    assert len(some) == 5
    assert set(some) <= set(run.split.test)
    assert {run.split.test[0], run.split.test[-1]} <= set(some)


@pytest.mark.parametrize("pixels", [[], 3, [[1, 2]], [0.5], ["a"], [True]])
def test_refuses_what_is_no_list_of_pixels(run_of, pixels):
    run = run_of("densenet3d")
    with pytest.raises(ConfigError, match="row-major flat indices"):
        choose_pixels(run, run.load_scene(), pixels)


@pytest.mark.parametrize("pixels", [[0, 480], [-1]])
def test_refuses_pixels_outside(run_of, pixels):
    run = run_of("densenet3d")
    with pytest.raises(SceneError, match="go from 0 to 479"):
        choose_pixels(run, run.load_scene(), pixels)


def test_another_scene_needs_named_pixels(run_of, scene):
    run, other = run_of("densenet3d"), load_unlabelled(scene.with_name("cube.npy"))
    with pytest.raises(SplitError):
        choose_pixels(run, other, None)
    assert choose_pixels(run, other, [7]).tolist() == [7]
