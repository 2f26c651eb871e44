"""SSRN: spectral residual blocks, then spatial residual blocks; a baseline.

Z. Zhong, J. Li, Z. Luo and M. Chapman, "Spectral-Spatial Residual Network for Hyperspectral Image
Classification: A 3-D Deep Learning Framework", IEEE Transactions on Geoscience and Remote Sensing 56(2),
2018. Re-implemented from the description.

From the paper, at Indian Pines (7 x 7 x 200): 24 spectral kernels of 7 bands with stride 2, not padded, leave
97 bands; two spectral residual blocks of two such convolutions, padded, stride 1; 128 kernels as deep as the
97 bands turn each pixel's spectrum into 128 features; 24 kernels of 3 x 3 x 128, not padded, leave 5 x 5
pixels; two spatial residual blocks of two 3 x 3 convolutions, padded; the mean over the pixels; a linear
layer. Each convolution but the first takes the ReLU of its batch-normalised input; a block returns its input
plus the output of its second convolution. Convolutions have biases. Dropout is the second regulariser beside
batch normalisation.

Not from the paper: for other sizes the kernel over the remaining bands is (bands - 7) // 2 + 1 deep and the
mean is over (P - 2)^2 pixels; dropout of 0.5 before the linear layer; He-normal weights, zero biases; a batch
normalisation before the mean. A 3 x 3 x 128 kernel over 128 features of one channel is written as a 2D
convolution of 128 channels, the same numbers.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from hsi.models.registry import check_sizes, init_weights, register_model

KERNELS = 24
FEATURES = 128
KERNEL_BANDS = 7
DROPOUT = 0.5
PREFIX_LAYERS = 3  # spatial layers before the first padded one


class ResidualBlock(nn.Sequential):
    """``x + conv(relu(bn(conv(relu(bn(x))))))``.

    `spectral`: kernels of 7 bands on ``(N, C, D, H, W)``; else of 3 x 3 pixels on ``(N, C, H, W)``.
    """

    def __init__(self, channels: int, *, spectral: bool) -> None:
        super().__init__()
        for _ in range(2):
            self.append(nn.BatchNorm3d(channels) if spectral else nn.BatchNorm2d(channels))
            self.append(nn.ReLU(inplace=True))
            if spectral:
                padding = (KERNEL_BANDS // 2, 0, 0)
                self.append(nn.Conv3d(channels, channels, (KERNEL_BANDS, 1, 1), padding=padding))
            else:
                self.append(nn.Conv2d(channels, channels, 3, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        """Return a map of the same shape."""
        return x + super().forward(x)


class SSRN(nn.Module):
    """Spectral, then spatial residual blocks, for 7 bands and 3 pixels of patch width or more."""

    def __init__(self, bands: int, classes: int, patch: int) -> None:
        super().__init__()
        check_sizes(
            bands,
            classes,
            patch,
            min_bands=KERNEL_BANDS,
            min_patch=3,
            bands_reason="as many as its first kernels are deep",
            patch_reason="as wide as its spatial kernels",
        )
        depth = (bands - KERNEL_BANDS) // 2 + 1
        self.spectral = nn.Sequential(
            nn.Conv3d(1, KERNELS, kernel_size=(KERNEL_BANDS, 1, 1), stride=(2, 1, 1)),
            ResidualBlock(KERNELS, spectral=True),
            ResidualBlock(KERNELS, spectral=True),
            nn.BatchNorm3d(KERNELS),
            nn.ReLU(inplace=True),
            nn.Conv3d(KERNELS, FEATURES, kernel_size=(depth, 1, 1)),
        )
        self.prefix_shrinks_by = 2
        self.spatial = nn.Sequential(
            nn.BatchNorm2d(FEATURES),
            nn.ReLU(inplace=True),
            nn.Conv2d(FEATURES, KERNELS, kernel_size=3),
            ResidualBlock(KERNELS, spectral=False),
            ResidualBlock(KERNELS, spectral=False),
            nn.BatchNorm2d(KERNELS),
            nn.ReLU(inplace=True),
        )
        self.dropout = nn.Dropout(DROPOUT)
        self.head = nn.Linear(KERNELS, classes)
        init_weights(self, nn.init.kaiming_normal_)

    def forward(self, x: Tensor) -> Tensor:
        """``(N, bands, P, P)`` to logits ``(N, classes)``."""
        return self.after_prefix(self.prefix(x))

    def prefix(self, image: Tensor) -> Tensor:
        """Run all spectral layers and the first spatial convolution; see `DensePrefix`."""
        features = self.spectral(image.unsqueeze(1)).squeeze(2)  # (N, 128, H, W)
        maps: Tensor = self.spatial[:PREFIX_LAYERS](features)  # (N, 24, H - 2, W - 2)
        return maps

    def after_prefix(self, features: Tensor) -> Tensor:
        """``(N, 24, P - 2, P - 2)`` to logits ``(N, classes)``."""
        maps = self.spatial[PREFIX_LAYERS:](features)
        logits: Tensor = self.head(self.dropout(torch.mean(maps, dim=(2, 3))))
        return logits


@register_model(
    "ssrn",
    title="SSRN: spectral, then spatial residual blocks",
    paper="Zhong et al., TGRS 2018",
    provenance="re-implemented from the description",
    aliases=("spectral-spatial-residual-network",),
    baseline=True,
)
def ssrn(bands: int, classes: int, patch: int) -> SSRN:
    """Build SSRN: 364,168 parameters at the paper's Indian Pines (200 bands, 16 classes), any patch."""
    return SSRN(bands, classes, patch)
