"""The running mean of weights against its formula, and the statistics that go with it."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import hsi
from hsi.models import build_model
from hsi.training.average import RunningMean


@settings(max_examples=20, deadline=None)
@given(decay=st.floats(0, 0.999), steps=st.integers(1, 30), seed=st.integers(0, 9))
def test_the_mean_follows_its_formula(decay, steps, seed):
    torch.manual_seed(seed)
    network = nn.Linear(3, 2).double()
    network.register_buffer("knots", torch.rand(4, dtype=torch.float64))
    average = RunningMean(network, decay)
    wanted = None
    for t in range(steps):
        with torch.no_grad():
            for tensor in (*network.parameters(), *network.buffers()):
                tensor.add_(torch.randn_like(tensor))
        average.update_parameters(network)
        now = torch.cat([network.weight.flatten(), network.bias, network.knots]).detach()
        d = min(decay, (1 + t) / (10 + t))
        wanted = now.clone() if wanted is None else d * wanted + (1 - d) * now
        module = average.module
        found = torch.cat([module.weight.flatten(), module.bias, module.knots])
        torch.testing.assert_close(found, wanted)


def test_the_first_steps_are_soon_forgotten():
    network = nn.Linear(1, 1, bias=False)
    average = RunningMean(network, 0.999)
    for t in range(100):
        nn.init.constant_(network.weight, 0.0 if t < 20 else 1.0)
        average.update_parameters(network)
    assert average.module.weight.item() > 0.99  # with 0.999 from the start on: 0.077


@pytest.mark.parametrize("name", ["densenet3d", "stnet", "kanet", "ekgnet", "wcnet", "sgdscnet"])
def test_settled_statistics_are_those_of_the_mean_weights(name):
    torch.manual_seed(0)
    network = build_model(name, bands=12, classes=3, patch=7, layers=[1, 1, 1], growth=[4, 4, 4])
    average = RunningMean(network, 0.99)
    average.update_parameters(network)
    with torch.no_grad():
        for tensor in network.parameters():
            tensor.mul_(1.5)
    average.update_parameters(network)
    batch = 3 + 2 * torch.randn(200, 12, 7, 7)
    before = torch.get_rng_state()
    average.settle([batch, batch])
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
    average = RunningMean(network, 0.9)
    average.update_parameters(network)
    before = [tensor.clone() for tensor in average.parameters()]
    average.settle([torch.ones(2, 8, 1, 1)])
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
