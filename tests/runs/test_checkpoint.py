"""A checkpoint restores weights, optimiser and random generators exactly."""

import pytest
import torch
from torch import nn

from hsi.errors import RunError
from hsi.runs.checkpoint import load_state, load_weights, save_state, save_weights


def network():
    torch.manual_seed(0)
    turned = nn.Linear(3, 4)
    turned.weight = nn.Parameter(turned.weight.detach().T.contiguous().T)  # strides that a file does not keep
    return nn.Sequential(turned, nn.BatchNorm1d(4), nn.Linear(4, 2))


def step(model, optimiser, generator):
    x = torch.randn(8, 3, generator=generator) + torch.randn(8, 3)
    loss = model(x).square().mean()
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()


def test_training_resumes_bit_for_bit(tmp_path):
    path = tmp_path / "last.safetensors"
    model, generator = network(), torch.Generator().manual_seed(1)
    optimiser = torch.optim.Adam(model.parameters(), lr=0.01, fused=True)
    torch.manual_seed(5)
    for _ in range(3):
        step(model, optimiser, generator)
    save_state(path, model, optimiser, {"order": generator}, {"history": [1.5, float("nan")]})
    for _ in range(3):
        step(model, optimiser, generator)

    other, other_generator = network(), torch.Generator()
    other_optimiser = torch.optim.Adam(other.parameters(), lr=0.01, fused=True)
    facts = load_state(path, other, other_optimiser, {"order": other_generator})
    assert facts["history"][0] == 1.5
    for _ in range(3):
        step(other, other_optimiser, other_generator)
    for ours, theirs in zip(model.state_dict().values(), other.state_dict().values(), strict=True):
        assert torch.equal(ours, theirs)


def test_weights_alone(tmp_path):
    path = tmp_path / "best.safetensors"
    model = network()
    save_weights(path, model, {"epoch": 3})
    other = network()
    nn.init.zeros_(other[0].weight)
    assert load_weights(path, other) == {"epoch": 3}
    assert torch.equal(other[0].weight, model[0].weight)


def test_missing_damaged_and_foreign_checkpoints_are_named(tmp_path):
    model = network()
    with pytest.raises(RunError, match="has no checkpoint"):
        load_weights(tmp_path / "none", model)
    damaged = tmp_path / "damaged"
    save_weights(damaged, model, {})
    damaged.write_bytes(damaged.read_bytes()[:-20])
    with pytest.raises(RunError, match="is damaged"):
        load_weights(damaged, model)
    other = tmp_path / "other"
    save_weights(other, nn.Linear(2, 2), {})
    with pytest.raises(RunError, match="another kind"):
        load_weights(other, model)
