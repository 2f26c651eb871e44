"""A network's answer averaged over the eight symmetries of the square, known as test-time augmentation."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class SymmetryAverage(nn.Module):
    """Show a network each patch in its eight orientations and average the class probabilities.

    A nadir image has no preferred direction, so each orientation is as good a view of the pixel as the next;
    their average does not depend on how the image was turned. It takes eight times the work of one view. Only
    the forward pass differs: there is nothing to learn and nothing to save. Our decision.

    Parameters
    ----------
    network
        Maps ``(N, bands, P, P)`` to logits ``(N, classes)``.

    Notes
    -----
    ``(N, bands, P, P)`` to the logarithms of the mean probabilities, ``(N, classes)`` float32.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, patches: Tensor) -> Tensor:
        """``(N, bands, P, P)`` to log-probabilities ``(N, classes)``."""
        total: Tensor | None = None
        for side in (patches, patches.flip(3)):
            for turns in range(4):
                view = torch.rot90(side, turns, (2, 3)).contiguous(memory_format=torch.channels_last)
                shares = torch.softmax(self.network(view).float(), dim=1)
                total = shares if total is None else total + shares
        assert total is not None
        return torch.log(total / 8)
