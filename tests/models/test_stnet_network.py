"""STNet as a network: what it counts, that it trains at any size, and its precision; its block has a file."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from hsi.errors import ModelError
from hsi.models.densenet3d import DenseNet3D
from hsi.models.registry import build_model, model_entry
from hsi.models.stnet import stnet


@pytest.mark.parametrize(
    ("bands", "classes", "count"), [(200, 16, 3_168_736), (103, 9, 3_165_929), (176, 13, 3_167_533)]
)
def test_parameter_counts(bands: int, classes: int, count: int) -> None:
    assert sum(p.numel() for p in stnet(bands, classes, 11).parameters()) == count


def test_placement_before_the_expansion_costs_three_times_the_parameters() -> None:
    count = sum(p.numel() for p in stnet(200, 16, 11, placement="before_expand").parameters())
    assert 10_550_000 < count < 10_650_000


def small_net(bands: int, patch: int, **options: object) -> DenseNet3D:
    torch.manual_seed(0)
    net = build_model("STNet", bands=bands, classes=3, patch=patch, layers=(1, 1, 1), **options)
    assert isinstance(net, DenseNet3D)
    return net


@pytest.mark.parametrize(("bands", "patch"), [(8, 7), (9, 9), (30, 11), (13, 17)])
def test_trains_at_any_size(bands: int, patch: int) -> None:
    net = small_net(bands, patch)
    logits = net(torch.randn(3, bands, patch, patch))
    F.cross_entropy(logits, torch.tensor([0, 1, 2])).backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name


def test_listed_as_re_implemented() -> None:
    assert model_entry("stnet").provenance == "re-implemented from the description"


def test_bad_placement_is_named() -> None:
    with pytest.raises(ModelError, match="placement must be one of"):
        build_model("stnet", bands=20, classes=3, patch=7, placement="middle")
