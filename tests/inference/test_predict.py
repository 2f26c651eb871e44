"""Predictions pixel by pixel.

The average over the eight symmetries of the square.
"""

import numpy as np
import torch
from torch import nn

from hsi.datasets.patches import PatchCutter
from hsi.inference.predict import SymmetryAverage, predict_labels, predict_logits
from hsi.models import build_model


class CentreSpectrum(nn.Module):
    """Logits are the first three bands of the centre; dropout shows whether it is in evaluation mode."""

    def __init__(self):
        super().__init__()
        self.dropout = nn.Dropout(0.5)

    def forward(self, x):
        middle = x.shape[-1] // 2
        return self.dropout(x[:, :3, middle, middle])


def test_each_pixel_gets_its_own_answer_whatever_the_batch():
    cube = np.random.default_rng(0).normal(size=(9, 7, 5)).astype(np.float32)
    cutter = PatchCutter(cube, 3)
    pixels = np.random.default_rng(1).permutation(63)
    model = CentreSpectrum().train()
    expected = cube.reshape(63, 5)[pixels, :3]
    for batch in (1, 10, 63, 100):
        torch.testing.assert_close(
            predict_logits(model, cutter, pixels, batch=batch), torch.from_numpy(expected), rtol=0, atol=0
        )
        labels = predict_labels(model, cutter, pixels, batch=batch)
        np.testing.assert_array_equal(labels, expected.argmax(axis=1) + 1)
    assert model.training


class CornerNetwork(nn.Module):
    """Logits that depend on where things are: the four corners and one edge of each patch."""

    def forward(self, patches):
        corners = (patches[..., 0, 0], patches[..., 0, -1], 2 * patches[..., -1, 0], patches[..., 1, 0])
        return torch.stack([corner.sum(1) for corner in corners], dim=1)


def test_it_is_the_mean_of_eight_softmaxes():
    patches = torch.randn(6, 3, 5, 5, generator=torch.Generator().manual_seed(0))
    found = SymmetryAverage(CornerNetwork())(patches).exp().numpy()
    for patch, shares in zip(patches.numpy().astype(np.float64), found, strict=True):
        views = [np.rot90(side, k, (1, 2)) for side in (patch, patch.transpose(0, 2, 1)) for k in range(4)]
        logits = [np.array([v[:, 0, 0], v[:, 0, -1], 2 * v[:, -1, 0], v[:, 1, 0]]).sum(axis=1) for v in views]
        wanted = np.mean([np.exp(one) / np.exp(one).sum() for one in logits], axis=0)
        np.testing.assert_allclose(shares, wanted, rtol=1e-5)


def test_turning_the_patch_changes_nothing():
    torch.manual_seed(0)
    average = SymmetryAverage(build_model("densenet3d", bands=12, classes=4, patch=7)).eval()
    patches = torch.randn(3, 12, 7, 7)
    with torch.inference_mode():
        plain = average(patches)
        turned = average(torch.rot90(patches, 1, (2, 3)))
        mirrored = average(patches.flip(2))
    torch.testing.assert_close(plain, turned, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(plain, mirrored, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(plain.exp().sum(1), torch.ones(3))
