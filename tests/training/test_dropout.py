"""Dropout before the last layer: what it zeroes, when, and that it finds that layer in every network."""

from __future__ import annotations

import copy

import pytest
import torch
from scipy.stats import binom
from torch import nn

import hsi
from hsi.errors import ConfigError
from hsi.training.dropout import drop_features

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


def test_a_network_without_a_linear_layer_is_told_of():
    with pytest.raises(ConfigError, match="this network has none"):
        drop_features(nn.Sequential(nn.Conv2d(3, 3, 1)), 0.5)
