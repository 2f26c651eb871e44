"""What the four baseline networks have in common: any size, samples apart, gradients everywhere, learning."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from hsi.errors import ModelError
from hsi.models import build_model, count_macs, list_models, model_entry

NETWORKS = ["cnn1d", "hybridsn", "ssrn", "spectralformer"]
SIZES = [(8, 7), (12, 7), (14, 11), (25, 9)]
"""Bands and patch widths: the smallest of both, one of each, none at a limit of HybridSN (13 and 9)."""

every_network = pytest.mark.parametrize("name", NETWORKS)


def test_they_are_registered_as_baselines() -> None:
    assert set(NETWORKS) <= set(list_models())
    for name in NETWORKS:
        assert model_entry(name).baseline
        assert model_entry(name).provenance == "re-implemented from the description"
    assert not model_entry("densenet3d").baseline
    for alias, name in [
        ("1D-CNN", "cnn1d"),
        ("Hybrid-SN", "hybridsn"),
        ("spectral-former", "spectralformer"),
    ]:
        assert model_entry(alias).name == name


@every_network
@settings(max_examples=8, deadline=None)
@given(
    bands=st.integers(8, 40),
    classes=st.integers(2, 20),
    half=st.integers(3, 8),
    count=st.integers(1, 3),
)
def test_any_size_gives_logits(name: str, bands: int, classes: int, half: int, count: int) -> None:
    patch = 2 * half + 1
    network = build_model(name, bands=bands, classes=classes, patch=patch).eval()
    with torch.no_grad():
        logits = network(torch.randn(count, bands, patch, patch))
    assert logits.shape == (count, classes)
    assert logits.isfinite().all()


@pytest.mark.parametrize(("bands", "patch"), [(220, 7), (10, 25)])
@every_network
def test_the_largest_sizes_of_the_protocols(name: str, bands: int, patch: int) -> None:
    network = build_model(name, bands=bands, classes=3, patch=patch).eval()
    with torch.no_grad():
        assert network(torch.randn(1, bands, patch, patch)).shape == (1, 3)


@pytest.mark.parametrize(("bands", "patch"), SIZES)
@every_network
def test_gradients_reach_every_parameter(name: str, bands: int, patch: int) -> None:
    torch.manual_seed(0)
    network = build_model(name, bands=bands, classes=4, patch=patch)
    F.cross_entropy(network(torch.randn(6, bands, patch, patch)), torch.arange(6) % 4).backward()
    for key, parameter in network.named_parameters():
        assert parameter.grad is not None, key
        assert parameter.grad.isfinite().all(), key
        if name != "ssrn" or parameter.dim() > 1:  # its batch norms take biases away again
            assert parameter.grad.any(), key


@pytest.mark.parametrize(("bands", "patch"), SIZES)
@every_network
def test_a_batch_is_its_samples_one_by_one(name: str, bands: int, patch: int) -> None:
    network = trained_a_little(name, bands, patch)
    x = torch.randn(5, bands, patch, patch, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        together = network(x)
        alone = torch.cat([network(sample) for sample in x.split(1)])
        strided = network(x.contiguous(memory_format=torch.channels_last))
    assert together.std() > 0.01
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(together, strided, atol=1e-5, rtol=1e-4)


@every_network
def test_bf16_autocast_and_float64_say_the_same(name: str) -> None:
    network = trained_a_little(name, 14, 9)
    x = torch.randn(4, 14, 9, 9, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected = network(x)
        with torch.autocast("cpu", torch.bfloat16):
            half = network(x).float()
        double = network.double()(x.double()).float()
    torch.testing.assert_close(double, expected, atol=1e-5, rtol=1e-4)
    assert (half - expected).abs().max() < 0.05 * expected.abs().max()


@every_network
def test_counting_its_work_leaves_it_alone(name: str) -> None:
    network = build_model(name, bands=14, classes=3, patch=9)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    assert count_macs(network, bands=14, patch=9) > 0
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())


@pytest.mark.parametrize(
    ("name", "sizes", "words"),
    [
        *[(name, (20, 3, 8), "odd number of pixels, 1 or more; got 8") for name in NETWORKS],
        *[(name, (20, 1, 7), "at least 2 classes; got 1") for name in NETWORKS],
        *[(name, (0, 3, 7), r"at least \d bands") for name in NETWORKS],
        *[(name, (20, 3, -1), "odd number of pixels, 1 or more; got -1") for name in NETWORKS],
        ("ssrn", (6, 3, 7), "at least 7 bands, as many as its first kernels are deep; got 6"),
        ("ssrn", (20, 3, 1), "at least 3 pixels, as wide as its spatial kernels; got 1"),
        ("spectralformer", (2, 3, 7), "at least 3 bands, as many as a group has neighbours; got 2"),
    ],
)
def test_refusals(name: str, sizes: tuple[int, int, int], words: str) -> None:
    bands, classes, patch = sizes
    with pytest.raises(ModelError, match=words):
        build_model(name, bands=bands, classes=classes, patch=patch)


@every_network
def test_learns_easy_classes(name: str) -> None:
    torch.manual_seed(0)
    x, labels = easy_patches(bands=16, classes=4, patch=7, count=96)
    network = build_model(name, bands=16, classes=4, patch=7)
    with torch.no_grad():
        untrained = accuracy(network.eval(), x, labels)
    optimiser = torch.optim.Adam(network.parameters(), lr=2e-3)
    for _ in range(20):
        network.train()
        chosen = torch.randperm(len(x))[:32]
        loss = F.cross_entropy(network(x[chosen]), labels[chosen])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    with torch.no_grad():
        assert accuracy(network.eval(), x, labels) > max(0.9, untrained)


def accuracy(network: nn.Module, x: Tensor, labels: Tensor) -> float:
    return float((network(x).argmax(1) == labels).double().mean())


def easy_patches(*, bands: int, classes: int, patch: int, count: int) -> tuple[Tensor, Tensor]:
    """Patches of one spectrum a class, with noise of 0.3 standard deviations of the spectra."""
    random = torch.Generator().manual_seed(0)
    spectra = torch.randn(classes, bands, generator=random)
    labels = torch.arange(count) % classes
    noise = torch.randn(count, bands, patch, patch, generator=random)
    return spectra[labels][:, :, None, None] + 0.3 * noise, labels


def trained_a_little(name: str, bands: int, patch: int) -> nn.Module:
    """A network in evaluation mode whose batch norms have seen data and whose norms and biases matter."""
    torch.manual_seed(0)
    network = build_model(name, bands=bands, classes=4, patch=patch)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d | nn.BatchNorm3d | nn.LayerNorm):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.uniform_(module.bias, -0.2, 0.2)
        elif isinstance(module, nn.Linear | nn.Conv1d | nn.Conv2d | nn.Conv3d) and module.bias is not None:
            nn.init.uniform_(module.bias, -0.2, 0.2)
    network.train()
    with torch.no_grad():
        for _ in range(2):
            network(torch.randn(8, bands, patch, patch))
    return network.eval()
