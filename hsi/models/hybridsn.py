"""HybridSN: three 3D convolutions, one 2D convolution, three linear layers; a baseline.

S. K. Roy, G. Krishna, S. R. Dubey and B. B. Chaudhuri, "HybridSN: Exploring 3-D-2-D CNN Feature Hierarchy for
Hyperspectral Image Classification", IEEE Geoscience and Remote Sensing Letters 17(2), 2020 (arXiv
1902.06701), table I. Re-implemented from the description.

From the paper: 8 kernels of 7 x 3 x 3 (bands x rows x columns), 16 of 5 x 3 x 3 and 32 of 3 x 3 x 3; channels
and bands become one axis; 64 kernels of 3 x 3; linear layers of 256 and 128 units with dropout of 0.4 after
each, and the classes. ReLU after every layer but the last, no padding, no batch normalisation. The paper
gives it patches of 25 x 25 pixels and 30 principal components (15 on Pavia University and Salinas).

Our decision: the convolutions take away 12 bands and 8 pixels in each direction, so an input with fewer than
13 bands or 9 pixels is first framed with zeros to that size, on both sides alike (of an odd number of bands,
one more behind). Weights are Xavier-uniform and biases zero, which the paper leaves open. Without principal
components, as many bands as the scene has go through the same layers.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hsi.models.registry import check_sizes, init_weights, register_model

CHANNELS_3D = (8, 16, 32)
BANDS_A_KERNEL = (7, 5, 3)
CHANNELS_2D = 64
HIDDEN = (256, 128)
DROPOUT = 0.4
LEAST_BANDS = 1 + sum(size - 1 for size in BANDS_A_KERNEL)
LEAST_PATCH = 1 + 2 * (len(CHANNELS_3D) + 1)


class HybridSN(nn.Module):
    """3D convolutions over bands and pixels, a 2D convolution over pixels, linear layers.

    Parameters
    ----------
    bands, classes, patch
        Spectral bands or components (>= 1), classes (>= 2), odd patch width in pixels (>= 1); what is smaller
        than 13 bands or 9 pixels is framed with zeros.

    Notes
    -----
    Input ``(N, bands, P, P)``, output logits ``(N, classes)``. The first linear layer holds most parameters:
    16,384 for each pixel that the convolutions leave, (P - 8)^2 of them.

    Raises
    ------
    ModelError
        For sizes that it cannot take.
    """

    def __init__(self, bands: int, classes: int, patch: int) -> None:
        super().__init__()
        check_sizes(bands, classes, patch)
        few, narrow = max(LEAST_BANDS - bands, 0), max(LEAST_PATCH - patch, 0) // 2
        self.frame = (narrow, narrow, narrow, narrow, few // 2, few - few // 2)
        self.prefix_shrinks_by = 0 if narrow else LEAST_PATCH - 1  # a framed patch has borders of its own
        inputs = 1
        self.conv3d = nn.Sequential()
        for outputs, size in zip(CHANNELS_3D, BANDS_A_KERNEL, strict=True):
            self.conv3d.append(nn.Conv3d(inputs, outputs, kernel_size=(size, 3, 3)))
            self.conv3d.append(nn.ReLU(inplace=True))
            inputs = outputs
        bands_left = max(bands, LEAST_BANDS) - LEAST_BANDS + 1
        pixels_left = max(patch, LEAST_PATCH) - LEAST_PATCH + 1
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
        """Run all convolutions, or nothing if patches are framed; see `hsi.inference.classify`."""
        return self._convolve(image) if self.prefix_shrinks_by else image

    def after_prefix(self, features: Tensor) -> Tensor:
        """``(N, 64, P - 8, P - 8)``, or patches that are framed yet, to logits ``(N, classes)``."""
        maps = features if self.prefix_shrinks_by else self._convolve(features)
        logits: Tensor = self.head(self.hidden(maps.flatten(1)))
        return logits

    def _convolve(self, x: Tensor) -> Tensor:
        if any(self.frame):
            x = F.pad(x, self.frame)
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
