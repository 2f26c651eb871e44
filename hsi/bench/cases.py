"""What is measured beside a reference: five operators and two training steps, on the networks' own shapes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from hsi.bench.scale import Scale
from hsi.models.densenet3d import GROWTH
from hsi.models.ekgnet import ExpertKernelConv3d
from hsi.models.kanet import KANConv3d
from hsi.models.registry import build_model
from hsi.models.snake_templates import SnakeTemplates
from hsi.models.stnet import SpatialSpectralTransformer
from hsi.models.wcnet import WaveletConv3d

CHANNELS = 28
"""Channels in, between those of the first block's first and last layer."""

WIDTH = 4 * GROWTH[0]
"""Channels out: the width of the first block's bottleneck."""


@dataclass(frozen=True)
class Case:
    """One comparison.

    ``reference`` says what the reference does; ``build`` makes our module; ``channels`` is None for a
    network; ``batch`` names the field of `Scale` with its batch size.
    """

    name: str
    title: str
    reference: str
    build: Callable[[Scale], nn.Module]
    channels: int | None = None
    batch: str = "batch"

    @property
    def is_network(self) -> bool:
        """Whether a whole training step is measured, not an operator."""
        return self.channels is None

    def shape(self, scale: Scale) -> tuple[int, ...]:
        """Return the shape of the input, batch first."""
        batch = getattr(scale, self.batch)
        if self.channels is None:
            return (batch, scale.bands, scale.patch, scale.patch)
        return (batch, self.channels, *scale.block)


def _kan(kernel_size: int) -> KANConv3d:
    """A KAN convolution whose knots are not uniform, as after a grid update."""
    layer = KANConv3d(CHANNELS, WIDTH, kernel_size, padding=kernel_size // 2)
    steps = 0.2 + torch.rand(layer.grid.shape)
    knots = steps.cumsum(1)
    layer.grid.copy_(3.2 * (knots - knots[:, :1]) / (knots[:, -1:] - knots[:, :1]) - 1.6)
    return layer


def _network(name: str) -> Callable[[Scale], nn.Module]:
    return lambda scale: build_model(name, bands=scale.bands, classes=scale.classes, patch=scale.patch)


_TRANSFORMER = "SpatialSpectralTransformer"
_RECURSION = "Cox-de Boor on unfolded rows"

CASES = {
    case.name: case
    for case in (
        Case("kan", "KANConv3d 1x1x1", _RECURSION, lambda scale: _kan(1), CHANNELS),
        Case("kan-3x3x3", "KANConv3d 3x3x3", _RECURSION, lambda scale: _kan(3), CHANNELS, "small_batch"),
        Case(
            "snake",
            "SnakeConv3d, 3 views",
            "trilinear sampling of 3 points a view",
            lambda scale: SnakeTemplates(CHANNELS, WIDTH // 4),
            CHANNELS,
        ),
        Case(
            "wavelet",
            "WaveletConv3d, 2 levels",
            "strided convolutions, fixed filters",
            lambda scale: WaveletConv3d(CHANNELS, levels=2),
            CHANNELS,
        ),
        Case(
            "expert",
            "ExpertKernelConv3d 1x1x1",
            "one convolution, groups = batch",
            lambda scale: ExpertKernelConv3d(CHANNELS, WIDTH),
            CHANNELS,
        ),
        Case(
            "transformer",
            _TRANSFORMER,
            "two nn.MultiheadAttention calls",
            lambda scale: SpatialSpectralTransformer(WIDTH),
            WIDTH,
        ),
        Case(
            "transformer-fused",
            _TRANSFORMER,
            "the same, need_weights=False",
            lambda scale: SpatialSpectralTransformer(WIDTH),
            WIDTH,
        ),
        Case("kanet-step", "KANet, training step", f"plain modules; {_RECURSION}", _network("kanet")),
        Case(
            "backbone-step",
            "3D-DenseNet, training step",
            "plain modules, contiguous",
            _network("densenet3d"),
            batch="large_batch",
        ),
    )
}
