"""Expert-kernel convolution as dynamic convolution's code computes it: the batch as groups."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hsi.models.ekgnet import ExpertKernelConv3d


class GroupedExpertConv3d(nn.Module):
    """Mix the kernels, then convolve all samples in one convolution with a group for each.

    "Expert Kernel Generation Network Driven by Contextual Mapping" (Li and Ye, arXiv 2504.13045), after
    dynamic convolution (Chen et al., arXiv 1912.03458).
    """

    def __init__(self, ours: ExpertKernelConv3d) -> None:
        super().__init__()
        self.ours = ours

    def forward(self, x: Tensor) -> Tensor:
        """``(N, C, D, H, W)`` to ``(N, out, D', H', W')``."""
        ours = self.ours
        samples, channels = x.shape[:2]
        means = F.adaptive_avg_pool3d(x, 1).flatten(1)
        shares = torch.softmax(ours.mapper(means) / ours.temperature, dim=1)
        experts, outputs = ours.bias.shape
        kernels = torch.mm(shares, ours.weight.view(experts, -1))
        biases = torch.mm(shares, ours.bias)
        y = F.conv3d(
            x.reshape(1, samples * channels, *x.shape[2:]),
            kernels.view(samples * outputs, channels, *ours.kernel_size),
            biases.flatten(),
            ours.stride,
            ours.padding,
            groups=samples,
        )
        return y.view(samples, outputs, *y.shape[2:])
