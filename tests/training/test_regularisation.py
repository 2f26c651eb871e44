"""The moving average of weights and its batch-norm statistics; dropout before the last layer."""

from __future__ import annotations

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom
from torch import nn

import hsi
from hsi.errors import ConfigError
from hsi.models import build_model
from hsi.training.regularisation import ExponentialMovingAverage, drop_features


@settings(max_examples=20, deadline=None)
@given(decay=st.floats(0, 0.999), steps=st.integers(1, 30), seed=st.integers(0, 9))
def test_the_mean_follows_its_formula(decay, steps, seed):
    torch.manual_seed(seed)
    network = nn.Linear(3, 2).double()
    network.register_buffer("knots", torch.rand(4, dtype=torch.float64))
    average = ExponentialMovingAverage(network, decay)
    expected = None
    for t in range(steps):
        with torch.no_grad():
            for tensor in (*network.parameters(), *network.buffers()):
                tensor.add_(torch.randn_like(tensor))
        average.update_parameters(network)
        now = torch.cat([network.weight.flatten(), network.bias, network.knots]).detach()
        d = min(decay, (1 + t) / (10 + t))
        expected = now.clone() if expected is None else d * expected + (1 - d) * now
        module = average.module
        found = torch.cat([module.weight.flatten(), module.bias, module.knots])
        torch.testing.assert_close(found, expected)


def test_the_first_steps_are_soon_forgotten():
    network = nn.Linear(1, 1, bias=False)
    average = ExponentialMovingAverage(network, 0.999)
    for t in range(100):
        nn.init.constant_(network.weight, 0.0 if t < 20 else 1.0)
        average.update_parameters(network)
    assert average.module.weight.item() > 0.99  # with 0.999 from the start on: 0.077


@pytest.mark.parametrize("name", ["densenet3d", "stnet", "kanet", "ekgnet", "wcnet", "sgdscnet"])
def test_batch_norm_statistics_are_those_of_the_mean_weights(name):
    torch.manual_seed(0)
    network = build_model(name, bands=12, classes=3, patch=7, layers=[1, 1, 1], growth=[4, 4, 4])
    average = ExponentialMovingAverage(network, 0.99)
    average.update_parameters(network)
    with torch.no_grad():
        for tensor in network.parameters():
            tensor.mul_(1.5)
    average.update_parameters(network)
    batch = 3 + 2 * torch.randn(200, 12, 7, 7)
    before = torch.get_rng_state()
    average.update_batch_norm([batch, batch])
    assert torch.equal(torch.get_rng_state(), before)
    assert not torch.equal(network.head.weight, average.module.head.weight)
    for norm in (m for m in average.module.modules() if isinstance(m, nn.BatchNorm3d)):
        assert norm.momentum == 0.1
    # With one and the same batch again, what is kept of it is the batch's own statistics (but for the factor
    # n / (n - 1) of the variance), so that both modes give about the same answer.
    with torch.no_grad():
        kept = average.module.eval()(batch)
        torch.testing.assert_close(average.module.train()(batch), kept, rtol=0.05, atol=0.05)
    assert not torch.allclose(network.eval()(batch), kept, rtol=0.05, atol=0.05)


def test_a_network_without_batch_norm_is_left_alone():
    network = nn.Sequential(nn.Flatten(), nn.Linear(8, 2))
    average = ExponentialMovingAverage(network, 0.9)
    average.update_parameters(network)
    before = [tensor.clone() for tensor in average.parameters()]
    average.update_batch_norm([torch.ones(2, 8, 1, 1)])
    assert all(torch.equal(a, b) for a, b in zip(before, average.parameters(), strict=True))


def test_a_short_training_keeps_a_mean_as_good_as_the_weights(small_scene, tmp_path):
    run = hsi.train(
        model="wcnet",
        dataset=str(small_scene),
        model_options={"layers": [1, 1, 1], "growth": [4, 4, 4]},
        scheme="random",
        train=0.15,
        val=0.1,
        patch=7,
        epochs=6,
        batch=16,
        lr=0.01,
        ema=0.99,
        device="cpu",
        out=tmp_path / "run",
    )
    assert run.scores["test"].oa > 0.9  # 0.39 with a constant decay and averaged statistics


OURS = ["densenet3d", "stnet", "kanet", "ekgnet", "wcnet", "sgdscnet"]
BASELINES = ["cnn1d", "hybridsn", "ssrn", "spectralformer"]


def identity(features: int) -> nn.Linear:
    layer = nn.Linear(features, features, bias=False)
    nn.init.eye_(layer.weight)
    return layer


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_features_are_zero_or_grown_as_often_as_asked(share):
    network = nn.Sequential(nn.Linear(50, 50), nn.ReLU(), identity(50))
    drop_features(network, share)
    x = torch.rand(80, 50)
    features = network[:2](x)  # the hook sits on the last layer only
    torch.manual_seed(1)
    got = network.train()(x)
    there = features > 0
    kept = got[there] != 0
    torch.testing.assert_close(got[there][kept], features[there][kept] / (1 - share))
    few, many = binom.interval(1 - 1e-9, len(kept), 1 - share)
    assert few <= int(kept.sum()) <= many
    assert not torch.equal(got, network(x))  # each pass anew


def test_nothing_is_dropped_in_evaluation_nor_stored():
    network = nn.Sequential(nn.Linear(6, 4), nn.ReLU(), nn.Linear(4, 3)).eval()
    x = torch.rand(5, 6)
    before, names = network(x), list(network.state_dict())
    drop_features(network, 0.5)
    assert torch.equal(network(x), before)
    assert list(network.state_dict()) == names


def test_a_copy_drops_by_its_own_mode():
    network = nn.Sequential(identity(40))
    drop_features(network, 0.5)
    mean = copy.deepcopy(network).eval()  # as the running mean of weights is
    x = torch.ones(30, 40)
    assert torch.equal(mean(x), x)
    assert set(network.train()(x).unique().tolist()) == {0.0, 2.0}
    assert set(mean.train()(x).unique().tolist()) == {0.0, 2.0}


@pytest.mark.parametrize("name", [*OURS, *BASELINES])
def test_the_layer_of_every_network_is_the_one_with_the_classes(name):
    network = hsi.build_model(name, bands=20, classes=7, patch=11).eval()
    seen = []
    linear = [module for module in network.modules() if isinstance(module, nn.Linear)]
    linear[-1].register_forward_hook(lambda layer, inputs, output: seen.append(output))
    logits = network(torch.rand(2, 20, 11, 11))
    assert seen[-1] is logits


def test_a_network_without_a_linear_layer_is_refused():
    with pytest.raises(ConfigError, match="this network has none"):
        drop_features(nn.Sequential(nn.Conv2d(3, 3, 1)), 0.5)
