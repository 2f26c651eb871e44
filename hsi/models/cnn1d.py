"""1D-CNN: a small convolutional network along the spectrum of the centre pixel; a baseline.

W. Hu, Y. Huang, L. Wei, F. Zhang and H. Li, "Deep Convolutional Neural Networks for Hyperspectral Image
Classification", Journal of Sensors 2015, article 258619. Re-implemented from the description.

From the paper, for n1 bands: one convolution of 20 kernels of k1 bands, about n1 / 9, so n2 = n1 - k1 + 1
positions; max pooling over k2 of them, so that n3 = n2 / k2 from 30 to 40 remain; a hidden layer of 100; a
softmax layer; tanh as activation; all parameters drawn uniformly from -0.05 to 0.05.

Rounding, which the paper leaves open: k1 to the nearest, at least 1; k2 = n2 / 40 up; n3 up, so the last
window may be shorter. At the paper's Indian Pines (220 bands, 8 classes) that gives k1 = 24, n2 = 197,
k2 = 5, n3 = 40 and 81,408 parameters. n3 never exceeds 40; for some numbers of bands it is below 30.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from hsi.models.registry import check_sizes, register_model

KERNELS = 20
HIDDEN = 100
KERNELS_PER_SPECTRUM = 9
MAX_POOLED = 40
INIT_BOUND = 0.05


class CNN1D(nn.Module):
    """Convolution, max pooling and two linear layers on the spectrum of the centre pixel alone."""

    def __init__(self, bands: int, classes: int, patch: int) -> None:
        super().__init__()
        check_sizes(bands, classes, patch)
        kernel = max(round(bands / KERNELS_PER_SPECTRUM), 1)
        positions = bands - kernel + 1
        window = math.ceil(positions / MAX_POOLED)
        self.prefix_shrinks_by = patch - 1
        self.conv = nn.Conv1d(1, KERNELS, kernel)
        self.pool = nn.MaxPool1d(window, ceil_mode=True)
        self.hidden = nn.Linear(KERNELS * math.ceil(positions / window), HIDDEN)
        self.head = nn.Linear(HIDDEN, classes)
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -INIT_BOUND, INIT_BOUND)

    def forward(self, x: Tensor) -> Tensor:
        """``(N, bands, P, P)`` to logits ``(N, classes)``."""
        return self.after_prefix(self.prefix(x))

    def prefix(self, image: Tensor) -> Tensor:
        """Crop to the pixels that are the centre of a patch; see `DensePrefix`."""
        edge = self.prefix_shrinks_by // 2
        return image[:, :, edge : image.shape[2] - edge, edge : image.shape[3] - edge]

    def after_prefix(self, features: Tensor) -> Tensor:
        """Spectra ``(N, bands, 1, 1)`` to logits ``(N, classes)``."""
        spectrum = features[:, None, :, 0, 0]
        features = torch.tanh(self.pool(self.conv(spectrum)))  # monotonic, so it may follow the maximum
        logits: Tensor = self.head(torch.tanh(self.hidden(features.flatten(1))))
        return logits


@register_model(
    "cnn1d",
    title="1D-CNN along the spectrum of the centre pixel",
    paper="Hu et al., Journal of Sensors 2015",
    provenance="re-implemented from the description",
    aliases=("1d-cnn", "cnn-1d"),
    baseline=True,
)
def cnn1d(bands: int, classes: int, patch: int) -> CNN1D:
    """Build the 1D-CNN: 81,408 parameters at the paper's Indian Pines (220 bands, 8 classes)."""
    return CNN1D(bands, classes, patch)
