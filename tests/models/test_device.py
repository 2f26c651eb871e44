"""The memory format of a network as a whole; that the six networks follow it is in test_networks.py."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from torch import nn

from hsi.models import DenseNet3D, build_model
from hsi.models.device import FORMATS, format_of, lay_out, other_formats


def built(name: str) -> nn.Module:
    torch.manual_seed(0)
    return build_model(name, bands=14, classes=3, patch=9).eval()


@pytest.mark.parametrize(
    ("name", "own", "others"),
    [
        ("densenet3d", "channels_last_3d", ("contiguous",)),
        ("wcnet", "channels_last_3d", ("contiguous",)),
        ("ssrn", "contiguous", ("channels_last_3d",)),
        ("hybridsn", "contiguous", ("channels_last_3d",)),
        ("cnn1d", None, ()),
        ("spectralformer", None, ()),
        ("svm", None, ()),
    ],
)
def test_what_each_network_runs_in_and_could_run_in(
    name: str, own: str | None, others: tuple[str, ...]
) -> None:
    network = built(name)
    assert (format_of(network), other_formats(network)) == (own, others)


def test_a_format_of_a_users_own_is_left_to_them() -> None:
    network = nn.Sequential(nn.Conv3d(1, 2, 3))
    assert format_of(network) == "contiguous"
    network.memory_format = torch.preserve_format  # type: ignore[assignment]
    assert (format_of(network), other_formats(network)) == (None, ())


@pytest.mark.parametrize("name", FORMATS)
def test_kernels_move_and_their_values_and_objects_stay(name: str) -> None:
    network = nn.ModuleDict(
        {"volume": nn.Conv3d(4, 5, 3), "image": nn.Conv2d(4, 5, 3), "norm": nn.BatchNorm3d(5)}
    )
    before = copy.deepcopy(network.state_dict())
    objects = list(network.parameters())
    for each in (*FORMATS, name):
        lay_out(network, each)
    assert network["volume"].weight.is_contiguous(memory_format=FORMATS[name])  # type: ignore[operator, union-attr]
    assert network["image"].weight.is_contiguous()  # type: ignore[operator, union-attr]
    assert all(now is then for now, then in zip(network.parameters(), objects, strict=True))
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())


def test_copies_and_pickles_keep_the_format() -> None:
    network = built("densenet3d")
    lay_out(network, "contiguous")
    for twin in (copy.deepcopy(network), pickle.loads(pickle.dumps(network))):
        assert format_of(twin) == "contiguous"
        assert twin.blocks[0][0].conv.weight.is_contiguous()


@torch.no_grad()
def test_compiled_in_one_graph() -> None:
    torch._dynamo.reset()  # other tests of this process compile the same code, and there is a limit to that
    network = DenseNet3D(8, 3, 7, layers=(1, 1, 1), growth=(4, 4, 4)).eval()
    x = torch.randn(2, 8, 7, 7, generator=torch.Generator().manual_seed(1))
    expected = network(x)
    lay_out(network, "contiguous")
    compiled = torch.compile(network, backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(x), expected, rtol=1e-4, atol=1e-6)
    lay_out(network, "channels_last_3d")  # what is compiled already follows
    torch.testing.assert_close(compiled(x), expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", ["ssrn", "hybridsn"])
@torch.no_grad()
def test_other_networks_give_the_same_in_both(name: str) -> None:
    """Their convolutions follow their kernels."""
    network = built(name)
    x = torch.randn(3, 14, 9, 9, generator=torch.Generator().manual_seed(1))
    expected = network(x)
    assert expected.std() > 1e-4
    lay_out(network, "channels_last_3d")
    kernels = [module.weight for module in network.modules() if isinstance(module, nn.Conv3d)]
    assert all(kernel.is_contiguous(memory_format=torch.channels_last_3d) for kernel in kernels)
    assert not all(kernel.is_contiguous() for kernel in kernels)
    for layout in (torch.contiguous_format, torch.channels_last):
        logits = network(x.contiguous(memory_format=layout))
        torch.testing.assert_close(logits, expected, rtol=1e-4, atol=1e-6)
