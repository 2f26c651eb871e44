"""The mapper of EKGNet: from a patch's channel means to the logits of its experts.

Source: f_map of arXiv 2504.13045, as in the released code; see `hsi.models.ekgnet`.
"""

from __future__ import annotations

from typing import cast

from torch import Tensor, nn
from torch.nn import functional as F


class ContextMapper(nn.Module):
    """f_map of the paper: channel means to expert logits, by a residual block and a linear layer."""

    def __init__(self, channels: int, experts: int) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm1d(channels)
        self.linear1 = PointwiseLinear(channels, channels)
        self.norm2 = nn.BatchNorm1d(channels)
        self.linear2 = PointwiseLinear(channels, channels)
        self.norm3 = nn.BatchNorm1d(channels)
        self.linear3 = PointwiseLinear(channels, experts)

    def forward(self, g: Tensor) -> Tensor:
        """``(N, C)`` to ``(N, K)``."""
        h = self.linear1(F.gelu(self.norm1(g)))
        h = self.linear2(F.gelu(self.norm2(h)))
        return cast(Tensor, self.linear3(self.norm3(h + g)))


class PointwiseLinear(nn.Conv3d):
    """A linear layer stored as a 1x1x1 convolution, so that the backbone's initialisation of convolutions
    reaches it.

    Alone it starts as in the released code: truncated normal with standard deviation 0.02, zero bias.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, kernel_size=1)
        nn.init.trunc_normal_(self.weight, std=0.02)
        if self.bias is not None:
            nn.init.zeros_(self.bias)

    def forward(self, x: Tensor) -> Tensor:
        """``(N, inputs)`` to ``(N, outputs)``."""
        return F.linear(x, self.weight.flatten(1), self.bias)
