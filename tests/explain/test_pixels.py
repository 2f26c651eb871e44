import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hsi.datasets.unlabelled import load_unlabelled
from hsi.errors import ConfigError, SceneError, SplitError
from hsi.explain.pixels import choose_pixels, patches_of

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
    monkeypatch.setattr("hsi.explain.pixels.SAMPLES", 5)
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
