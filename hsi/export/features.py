"""A run's fitted preprocessing as part of a network's graph.

Each step is affine for each pixel, so the graph takes the scene's own band values. It computes in float32,
which every runtime has, and loses nothing by that: a mean is kept as the sum of two float32 numbers, so that
taking it away does not cancel the digits that matter.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from hsi.datasets.preprocess import Preprocess
from hsi.datasets.steps import PCA, BandList, Standardise
from hsi.errors import ExportError


class Features(nn.Module):
    """The steps of a `Preprocess`, for patches; pixels that are not there become zeros.

    Parameters
    ----------
    preprocess
        Fitted.

    Raises
    ------
    ExportError
        For a step that has no form for graphs.
    """

    def __init__(self, preprocess: Preprocess) -> None:
        super().__init__()
        steps = [_as_module(step) for step in preprocess.steps_]
        self.steps = nn.ModuleList(steps)

    def forward(self, patches: Tensor) -> Tensor:
        """``(N, bands, P, P)`` as measured to ``(N, features, P, P)``; a pixel with NaN or infinity is zero.

        So zeros stand where a patch reaches beyond the scene or the area of its centre, as in training, and
        where a scene has no data, as on a map.
        """
        there: Tensor | None = None
        for step in self.steps:
            patches = step(patches)
            if isinstance(step, _Scale):
                there = torch.isfinite(patches).all(dim=1, keepdim=True)
            if there is not None:
                patches = torch.where(there, patches, torch.zeros_like(patches))
        return patches


class _Choose(nn.Module):
    keep: Tensor

    def __init__(self, step: BandList) -> None:
        super().__init__()
        self.register_buffer("keep", torch.from_numpy(step.keep))

    def forward(self, patches: Tensor) -> Tensor:
        return patches.index_select(1, self.keep)


class _Scale(nn.Module):
    high: Tensor
    low: Tensor
    gain: Tensor

    def __init__(self, step: Standardise) -> None:
        super().__init__()
        high = step.mean_.astype(np.float32)
        gain = np.divide(1.0, step.scale_, out=np.zeros_like(step.scale_), where=step.scale_ > 0)
        self.register_buffer("high", _for_bands(high))
        self.register_buffer("low", _for_bands(step.mean_ - high))
        self.register_buffer("gain", _for_bands(gain))

    def forward(self, patches: Tensor) -> Tensor:
        return (patches - self.high - self.low) * self.gain


class _Components(nn.Module):
    weight: Tensor
    offset: Tensor

    def __init__(self, step: PCA) -> None:
        super().__init__()
        self.register_buffer("weight", torch.from_numpy(step.components_).float()[:, :, None, None])
        self.register_buffer("offset", torch.from_numpy(-step.components_ @ step.mean_).float())

    def forward(self, patches: Tensor) -> Tensor:
        return functional.conv2d(patches, self.weight, self.offset)


def _for_bands(values: NDArray[Any]) -> Tensor:
    return torch.from_numpy(np.asarray(values)).float()[:, None, None]


def _as_module(step: object) -> nn.Module:
    if isinstance(step, BandList):
        return _Choose(step)
    if isinstance(step, Standardise):
        return _Scale(step)
    if isinstance(step, PCA):
        return _Components(step)
    raise ExportError(f"The preprocessing step {type(step).__name__} has no form that can be exported.")
