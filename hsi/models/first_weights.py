"""The weights that a network starts with, where its paper names one rule for all layers."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn


def draw_weights(network: nn.Module, draw: Callable[[Tensor], Tensor]) -> None:
    """Draw the weights of every convolution and linear layer in place, such as by `nn.init.kaiming_normal_`.

    Their biases become zero; layers of normalisation keep theirs.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv3d | nn.Conv2d | nn.Linear):
            draw(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
