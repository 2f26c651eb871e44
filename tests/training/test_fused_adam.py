"""The fused optimiser reads parameters and gradients in memory order, so their layouts must agree."""

import copy

import pytest
import torch
from torch.nn.functional import cross_entropy

from hsi.models import build_model


@pytest.mark.parametrize("name", ["densenet3d", "stnet", "kanet", "ekgnet", "wcnet", "sgdscnet"])
def test_a_fused_step_is_a_plain_step(name):
    torch.manual_seed(0)
    plain = build_model(name, bands=16, classes=4, patch=7, layers=[2, 1, 1], growth=[4, 8, 8]).train()
    fused = copy.deepcopy(plain)
    optimisers = [
        torch.optim.Adam(plain.parameters(), lr=0.01),
        torch.optim.Adam(fused.parameters(), lr=0.01, fused=True),
    ]
    x, y = torch.randn(6, 16, 7, 7), torch.arange(6) % 4
    for _ in range(2):
        fused.zero_grad()
        cross_entropy(fused(x), y).backward()  # which lays each gradient out as its parameter
        for ours, theirs in zip(plain.parameters(), fused.parameters(), strict=True):
            ours.grad = None if theirs.grad is None else theirs.grad.contiguous()
        for optimiser in optimisers:
            optimiser.step()
        for ours, theirs in zip(plain.parameters(), fused.parameters(), strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)
        plain.load_state_dict(fused.state_dict())
