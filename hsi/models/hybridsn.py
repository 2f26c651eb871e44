"""HybridSN: three 3D convolutions, one 2D convolution, three linear layers; a baseline.

S. K. Roy, G. Krishna, S. R. Dubey and B. B. Chaudhuri, "HybridSN: Exploring 3-D-2-D CNN Feature Hierarchy for
Hyperspectral Image Classification", IEEE Geoscience and Remote Sensing Letters 17(2), 2020 (arXiv
1902.06701), table I. Re-implemented from the description.

From the paper: 8 kernels of 7 x 3 x 3 (bands x rows x columns), 16 of 5 x 3 x 3 and 32 of 3 x 3 x 3; channels
and bands become one axis; 64 kernels of 3 x 3; linear layers of 256 and 128 units with dropout of 0.4 after
each, and the classes. ReLU after every layer but the last, no padding, no batch normalisation. The paper
gives it patches of 25 x 25 pixels and 30 principal components (15 on Pavia University and Salinas).

Not from the paper: inputs below 13 bands or 9 pixels, which the unpadded convolutions cannot take, are zero
padded on both sides (an odd band at the end); weights are Xavier-uniform, biases zero; without principal
components, all bands of the scene go through the same layers.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hsi.models.registry import check_sizes, init_weights, register_model

CHANNELS_3D = (8, 16, 32)
KERNEL_BANDS = (7, 5, 3)
CHANNELS_2D = 64
HIDDEN = (256, 128)
DROPOUT = 0.4
MIN_BANDS = 1 + sum(size - 1 for size in KERNEL_BANDS)
MIN_PATCH = 1 + 2 * (len(CHANNELS_3D) + 1)


class HybridSN(nn.Module):
    """3D convolutions over bands and pixels, a 2D convolution over pixels, linear layers.

    Takes any number of bands and any odd patch width. The first linear layer has most parameters: 16,384 for
    each of the (P - 8)^2 pixels that the convolutions leave.
    """

    def __init__(self, bands: int, classes: int, patch: int) -> None:
        super().__init__()
        check_sizes(bands, classes, patch)
        pad_bands, border = max(MIN_BANDS - bands, 0), max(MIN_PATCH - patch, 0) // 2
        self.padding = (border, border, border, border, pad_bands // 2, pad_bands - pad_bands // 2)
        self.prefix_shrinks_by = 0 if border else MIN_PATCH - 1  # a padded patch shares nothing
        inputs = 1
        self.conv3d = nn.Sequential()
        for outputs, size in zip(CHANNELS_3D, KERNEL_BANDS, strict=True):
            self.conv3d.append(nn.Conv3d(inputs, outputs, kernel_size=(size, 3, 3)))
            self.conv3d.append(nn.ReLU(inplace=True))
            inputs = outputs
        bands_left = max(bands, MIN_BANDS) - MIN_BANDS + 1
        pixels_left = max(patch, MIN_PATCH) - MIN_PATCH + 1
        self.conv2d = nn.Conv2d(inputs * bands_left, CHANNELS_2D, kernel_size=3)
        self.hidden = nn.Sequential(
            nn.Linear(CHANNELS_2D * pixels_left**2, HIDDEN[0]),
            nn.ReLU(inplace=True),
            nn.Dropout(DROPOUT),
            nn.Linear(HIDDEN[0], HIDDEN[1]),
            nn.ReLU(inplace=True),
            nn.Dropout(DROPOUT),
        )
        self.head = nn.Linear(HIDDEN[1], classes)
        init_weights(self, nn.init.xavier_uniform_)

    def forward(self, x: Tensor) -> Tensor:
        """``(N, bands, P, P)`` to logits ``(N, classes)``."""
        return self.after_prefix(self.prefix(x))

    def prefix(self, image: Tensor) -> Tensor:
        """Run all convolutions, or nothing if patches are padded; see `DensePrefix`."""
        return self._convolve(image) if self.prefix_shrinks_by else image

    def after_prefix(self, features: Tensor) -> Tensor:
        """``(N, 64, P - 8, P - 8)``, or patches that are still to be padded, to logits ``(N, classes)``."""
        maps = features if self.prefix_shrinks_by else self._convolve(features)
        logits: Tensor = self.head(self.hidden(maps.flatten(1)))
        return logits

    def _convolve(self, x: Tensor) -> Tensor:
        if any(self.padding):
            x = F.pad(x, self.padding)
        maps = self.conv3d(x.unsqueeze(1)).flatten(1, 2)
        return torch.relu(self.conv2d(maps))


@register_model(
    "hybridsn",
    title="HybridSN: 3D convolutions, then a 2D convolution",
    paper="Roy et al., GRSL 2020, arXiv 1902.06701",
    provenance="re-implemented from the description",
    aliases=("hybrid-sn",),
    baseline=True,
)
def hybridsn(bands: int, classes: int, patch: int) -> HybridSN:
    """Build HybridSN: 5,122,176 parameters in the paper (patch 25, 30 components, 16 classes)."""
    return HybridSN(bands, classes, patch)
