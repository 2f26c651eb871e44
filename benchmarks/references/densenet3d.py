"""The 3D-DenseNet from plain modules in PyTorch's default memory layout."""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn

from hsi.models.densenet3d import DenseLayer, DenseNet3D


class PlainDenseLayer(nn.Module):
    """Mixer, batch norm, ReLU, 3x3x3 convolution in groups, concatenation."""

    def __init__(self, ours: DenseLayer, mixer: nn.Module) -> None:
        super().__init__()
        self.mixer = mixer
        self.norm, self.relu, self.conv = (copy.deepcopy(part) for part in (ours.norm, ours.relu, ours.conv))

    def forward(self, x: Tensor) -> Tensor:
        """``(N, C, D, H, W)`` to ``(N, C + growth, D, H, W)``."""
        new = self.conv(self.relu(self.norm(self.mixer(x))))
        return torch.cat([x, new], dim=1)


class PlainDenseNet3D(nn.Module):
    """The backbone as the released networks of Li and Ye (2025) compute it, module by module, contiguous.

    Parameters
    ----------
    ours
        The network to copy.
    mixer
        What makes the reference of a mixer; by default a copy of it as a sequence of its modules.
    """

    def __init__(self, ours: DenseNet3D, mixer: Callable[..., nn.Module] | None = None) -> None:
        super().__init__()
        make = mixer or _plain_sequence
        self.stem = copy.deepcopy(ours.stem)
        self.blocks = nn.ModuleList(
            nn.Sequential(*(PlainDenseLayer(layer, make(layer.mixer)) for layer in block))
            for block in map(_layers, ours.blocks)
        )
        self.pool = nn.AvgPool3d(kernel_size=2, stride=2)
        self.norm, self.relu, self.head = (copy.deepcopy(part) for part in (ours.norm, ours.relu, ours.head))
        for parameter in self.parameters():
            parameter.data = parameter.data.contiguous()

    def forward(self, x: Tensor) -> Tensor:
        """``(N, bands, P, P)`` to logits ``(N, classes)``."""
        x = self.stem(x.unsqueeze(1))
        for i, block in enumerate(self.blocks):
            x = block(self.pool(x) if i else x)
        y: Tensor = self.head(self.relu(self.norm(x)).mean(dim=(2, 3, 4)))
        return y


def _layers(block: nn.Module) -> list[DenseLayer]:
    return [layer for layer in block.children() if isinstance(layer, DenseLayer)]


def _plain_sequence(mixer: nn.Module) -> nn.Module:
    return nn.Sequential(*(copy.deepcopy(part) for part in mixer.children()))
