from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import hsi
from hsi.errors import ModelError
from hsi.explain.receptive import ReceptiveField, draw_receptive_field, feature_axis, mean_gradient


class Plain(nn.Module):
    """One 3x3x3 convolution; its mean over all places is the logit of class 1, class 2 has none."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv3d(1, 2, 3, padding=1)

    def forward(self, x):
        y = self.conv(x.unsqueeze(1))
        return torch.stack([y.mean(dim=(1, 2, 3, 4)), torch.full((len(x),), -1e9)], dim=1)


def test_a_plain_convolution_is_known_by_hand():
    torch.manual_seed(0)
    network = Plain()
    batches = [torch.randn(3, 6, 7, 7), torch.randn(1, 6, 7, 7)]
    wanted = np.zeros((6, 7, 7))
    wanted[2:5, 2:5, 2:5] = network.conv.weight.detach().sum(dim=0)[0].abs()  # round the voxel (3, 3, 3)
    np.testing.assert_allclose(mean_gradient(network, batches, network.conv), wanted, rtol=1e-6)
    # Of the mean over all voxels: each place in the interior is under all 27 taps of both channels.
    everywhere = mean_gradient(network, batches)
    inside = abs(float(network.conv.weight.detach().double().sum())) / (2 * 6 * 7 * 7)
    np.testing.assert_allclose(everywhere[1:-1, 1:-1, 1:-1], inside, rtol=1e-4)


def test_the_mean_is_of_absolute_values():
    class Signed(nn.Module):
        def forward(self, x):
            return torch.stack([x.square().sum(dim=(1, 2, 3)), torch.zeros(len(x))], dim=1)

    x = torch.randn(5, 3, 3, 3)
    np.testing.assert_allclose(mean_gradient(Signed(), [x]), (2 * x).abs().mean(dim=0), rtol=1e-6)


@pytest.mark.parametrize("name", ["wcnet", "sgdscnet"])
def test_gradients_are_those_of_finite_differences(run_of, patches_round, name):
    run, pixel = run_of(name), 99
    field = hsi.explain.receptive_field(run, [pixel], device="cpu")
    assert field.gradient.shape == (12, 7, 7)
    patches, _, _ = patches_round(run, [pixel])
    network, step = run.load_model("cpu").double(), 1e-6
    patch = patches.double()
    with torch.no_grad():
        label = network(patch).argmax()
        for place in [(0, 0, 0), (5, 3, 3), (11, 6, 2), (7, 2, 5)]:
            shift = torch.zeros_like(patch)
            shift[(0, *place)] = step
            slope = float((network(patch + shift) - network(patch - shift))[0, label]) / (2 * step)
            assert field.gradient[place] == pytest.approx(abs(slope), rel=2e-3, abs=2e-6)


def test_shares_and_width():
    gradient = np.zeros((4, 5, 5))
    gradient[:, 2, 2] = (1, 2, 3, 4)
    gradient[1, 2, 3], gradient[1, 1, 2], gradient[1, 0, 0] = 1, 0.5, 0.4
    field = ReceptiveField(gradient, "x", np.arange(4.0), "Band", 1)
    assert field.spatial.sum() == pytest.approx(1)
    assert field.spectral.sum() == pytest.approx(1)
    np.testing.assert_allclose(field.spectral, np.array([1, 3.9, 3, 4]) / 11.9)
    assert field.width == pytest.approx(np.sqrt(3))  # 0.4 is below 4.55 % of 10, 0.5 above


def test_a_layer_in_the_first_block_sees_less_than_the_answer(run_of):
    run = run_of("densenet3d")
    first = hsi.explain.receptive_field(run, [99], layer=0, device="cpu")
    whole = hsi.explain.receptive_field(run, [99], device="cpu")
    assert first.answer == "central voxel of dense layer 1.1"
    # A stem of stride 2 and one 3x3x3 convolution: 7 bands round band 6, of 12.
    np.testing.assert_array_equal(np.flatnonzero(first.spectral), np.arange(3, 10))
    assert (whole.spectral > 0).all()
    assert first.axis == "Wavelength (nm)"
    np.testing.assert_array_equal(first.places, np.arange(500, 620, 10))
    left, right = first.figure().axes[:2]
    np.testing.assert_allclose(left.images[0].get_array(), 100 * first.spatial)
    assert right.get_xlabel() == "Wavelength (nm)"


def test_what_has_no_gradients_or_no_dense_layers(run_of):
    with pytest.raises(ModelError, match="without gradients"):
        hsi.explain.receptive_field(run_of("svm"))
    with pytest.raises(ModelError, match="without gradients"):
        mean_gradient(nn.Sequential(nn.Flatten(), Constant()), [torch.zeros(2, 3, 3, 3)])


class Constant(nn.Module):
    def forward(self, x):
        return torch.zeros(len(x), 2)


def test_the_axis_of_features(scene, tmp_path):
    said = {"dataset": str(scene), "patch": 1, "epochs": 1, "device": "cpu", "model": "cnn1d"}
    few = hsi.train(**said, bands="0,2,5-11", out=tmp_path / "few")
    places, title = feature_axis(few, few.load_scene())
    assert title == "Wavelength (nm)"
    np.testing.assert_array_equal(places, 500 + 10 * np.array([0, 2, 5, 6, 7, 8, 9, 10, 11]))
    pca = hsi.train(**said, pca=8, out=tmp_path / "pca")
    places, title = feature_axis(pca, pca.load_scene())
    assert title == "Principal component"
    np.testing.assert_array_equal(places, np.arange(1, 9))
    with pytest.raises(ModelError, match="no dense layers"):
        hsi.explain.receptive_field(pca, [99], layer=0, device="cpu")


def test_shares_in_percent_round_the_centre():
    spatial = np.arange(25.0).reshape(5, 5) / 300
    spectral = np.arange(6.0) / 15
    places = np.array([1.0, 2.0, 3.0, 20.0, 21.0, 22.0])  # a gap in the middle
    figure = draw_receptive_field(spatial, spectral, places, "Band", "logit")
    left, right, bar = figure.axes
    np.testing.assert_allclose(left.images[0].get_array(), 100 * spatial)
    assert left.images[0].get_extent() == [-2.5, 2.5, 2.5, -2.5]
    assert [line.get_xdata().tolist() for line in right.lines] == [[1, 2, 3], [20, 21, 22]]
    np.testing.assert_allclose(np.concatenate([line.get_ydata() for line in right.lines]), 100 * spectral)
    assert right.get_xlabel() == "Band"
    assert bar.get_ylabel() == "Share of the gradient (%)"
    assert figure.get_suptitle() == "Logit"
