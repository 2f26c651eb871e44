"""Predictions pixel by pixel."""

import numpy as np
import torch
from torch import nn

from hsi.datasets.patches import PatchCutter
from hsi.mapping.predict import predict_labels, predict_logits


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
