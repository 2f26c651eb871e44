"""Mechanisms switched off: what is left by hand, and that no block of a trained network is dead."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import hsi
from hsi.errors import ConfigError, ModelError, SplitError
from hsi.explain.mechanisms import mechanisms_of, switched_off
from hsi.models.ekgnet import ExpertKernelConv3d
from hsi.models.kanet import KANConv3d
from hsi.models.sgdscnet import SnakeTemplates
from hsi.models.stnet import GATES, SpatialSpectralTransformer
from hsi.models.wcnet import WaveletConv3d

MECHANISMS = {
    "kanet": "splines",
    "ekgnet": "experts",
    "sgdscnet": "offsets",
    "stnet": "gate",
    "wcnet": "wavelets",
}


def scattered(block: nn.Module) -> nn.Module:
    """Move every parameter off its start, in float64 and evaluation mode."""
    torch.manual_seed(0)
    block.double().eval()
    with torch.no_grad():
        for parameter in block.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return block


@pytest.fixture
def x() -> torch.Tensor:
    return torch.randn(2, 8, 6, 5, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


@torch.no_grad()
def off(block: nn.Module, mechanism: str, run) -> torch.Tensor:
    """Run with the mechanism off; see that it does something, and that it is back afterwards."""
    before = {name: value.clone() for name, value in block.state_dict().items()}
    on = run()
    with switched_off(block, mechanism):
        without = run()
    assert not torch.allclose(on, without)
    assert torch.equal(run(), on)
    assert all(torch.equal(value, before[name]) for name, value in block.state_dict().items())
    return without


def test_kan_without_splines_is_linear_in_silu(x):
    block = scattered(KANConv3d(8, 4))
    expected = torch.einsum("oi,nidhw->nodhw", block.base_weight, F.silu(x))
    torch.testing.assert_close(off(block, "splines", lambda: block(x)), expected)


def test_experts_without_choice_weigh_the_same(x):
    block = scattered(ExpertKernelConv3d(8, 3, experts=5, temperature=0.5))
    expected = F.conv3d(x, block.weight.mean(0), block.bias.mean(0))
    torch.testing.assert_close(off(block, "experts", lambda: block(x)), expected)


def test_snakes_without_offsets_are_straight(x):
    block = scattered(SnakeTemplates(8, 4))
    straight = torch.stack(torch.meshgrid(*(torch.arange(n) for n in x.shape[2:]), indexing="ij")).double()
    with torch.no_grad(), switched_off(block, "offsets"):
        for view, positions in zip(block.views, block.positions(x), strict=True):
            own = "dhw".index(view)
            for point in range(3):
                wanted = straight.clone()
                wanted[own] = (wanted[own] + point - 1).clamp(0, x.shape[2 + own] - 1)
                torch.testing.assert_close(positions[0, point].double(), wanted)
    off(block, "offsets", lambda: block(x))


@pytest.mark.parametrize("gate", GATES)
def test_without_a_gate_both_attentions_have_half(x, gate):
    block = scattered(SpatialSpectralTransformer(8, gate=gate))
    without = off(block, "gate", lambda: block.gate_map(x))
    torch.testing.assert_close(without, torch.full_like(without, 0.5))
    off(block, "gate", lambda: block(x))


@pytest.mark.parametrize("levels", [1, 2])
def test_without_wavelets_the_base_convolution_is_left(x, levels):
    block = scattered(WaveletConv3d(8, levels=levels))
    expected = block.base(x) * block.base_scale.view(-1, 1, 1, 1)
    torch.testing.assert_close(off(block, "wavelets", lambda: block(x)), expected)


def test_the_mechanism_is_back_after_an_error(x):
    block = scattered(WaveletConv3d(8))
    scales = block.band_scales[0].clone()

    def fail() -> None:
        with switched_off(block, "wavelets"):
            assert not block.band_scales[0].any()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert torch.equal(block.band_scales[0], scales)


def test_an_unknown_mechanism_is_named():
    network = hsi.build_model("wcnet", bands=8, classes=2, patch=7)
    assert mechanisms_of(network) == ("wavelets",)
    with pytest.raises(ModelError, match=r"no mechanism 'gate' .* it has: wavelets\."):
        switched_off(network, "gate").__enter__()


@pytest.fixture(scope="module")
def trained(scene, tmp_path_factory):
    """Return a function that trains a network of the published widths, one layer a block, for four epochs."""

    def trained(name, **options):
        return hsi.train(
            model=name,
            dataset=str(scene),
            protocol="disjoint",
            train=0.3,
            patch=7,
            epochs=4,
            batch=16,
            lr=0.003,
            device="cpu",
            model_options={"layers": [1, 1, 1], **options},
            out=tmp_path_factory.mktemp("trained") / name,
        )

    return trained


@pytest.mark.parametrize("name", MECHANISMS)
def test_no_block_of_a_trained_network_is_dead(trained, patches_round, name):
    """Without its mechanism a network's logits change by a clear part of their spread."""
    run = trained(name)
    found = hsi.explain.switch_off(run, device="cpu")
    (row,) = found.rows
    assert row.mechanism == MECHANISMS[name]
    assert (found.pixels, found.labelled) == (len(run.split.test),) * 2
    patches, _, _ = patches_round(run, run.split.test)
    network = run.load_model("cpu")
    with torch.no_grad():
        on = network(patches)
        with switched_off(network, MECHANISMS[name]):
            change = network(patches) - on
    truth = run.load_scene().labels.ravel()[run.split.test]
    assert row.oa == pytest.approx(np.mean(on.argmax(1).numpy() + 1 == truth))
    assert float(change.std() / on.std()) > 0.03
    assert row.moved > 0.003


def test_labels_change_as_counted_by_hand(run_of, patches_round):
    run, pixels = run_of("wcnet"), np.array([2, 45, 99, 131, 479, 27])
    (row,) = hsi.explain.switch_off(run, pixels=pixels, device="cpu").rows
    patches, _, _ = patches_round(run, pixels)
    network = run.load_model("cpu")
    with torch.no_grad():
        on = torch.softmax(network(patches), 1)
        for scale in (p for name, p in network.named_parameters() if "band_scales" in name):
            scale.zero_()
        without = torch.softmax(network(patches), 1)
    truth = torch.from_numpy(run.load_scene().labels.ravel()[pixels])
    labelled = truth > 0
    assert row.changed == pytest.approx(float((on.argmax(1) != without.argmax(1)).double().mean()))
    assert row.moved == pytest.approx(float((on - without).abs().sum(1).mean() / 2), rel=1e-4)
    assert row.oa == pytest.approx(float((on.argmax(1) + 1 == truth)[labelled].double().mean()))
    assert row.oa_without == pytest.approx(float((without.argmax(1) + 1 == truth)[labelled].double().mean()))


def test_pixels_without_labels_have_no_accuracy_but_changes(run_of):
    run = run_of("stnet")
    unlabelled = np.flatnonzero(run.load_scene().labels.ravel() == 0)[:5]
    found = hsi.explain.switch_off(run, pixels=unlabelled, device="cpu")
    (row,) = found.rows
    assert (found.pixels, found.labelled, row.oa, row.oa_without) == (5, 0, None, None)
    assert row.moved > 0


def test_figures_show_both_accuracies(run_of):
    run = run_of("kanet")
    found = hsi.explain.switch_off(run, device="cpu")
    figure = found.figure()
    texts = [text.get_text() for text in figure.axes[0].texts]
    assert texts == [f"{100 * found.rows[0].oa:.2f}", f"{100 * found.rows[0].oa_without:.2f}"]
    (tick,) = figure.axes[0].get_yticklabels()
    assert tick.get_text() == f"splines\n{100 * found.rows[0].changed:.1f} % of labels change"
    unlabelled = hsi.explain.switch_off(run, pixels=[0], device="cpu").figure()
    assert not unlabelled.axes[0].texts


def test_bad_requests_are_named(run_of):
    with pytest.raises(ModelError, match=r"is a run of densenet3d, which has no mechanism"):
        hsi.explain.switch_off(run_of("densenet3d"))
    with pytest.raises(ConfigError, match="pixels must be a list"):
        hsi.explain.switch_off(run_of("wcnet"), pixels=[0.5], device="cpu")
    other = hsi.load_scene("demo")
    with pytest.raises(SplitError):
        hsi.explain.switch_off(run_of("wcnet"), other, device="cpu")
