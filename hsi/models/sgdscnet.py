"""SG-DSCNet: dynamic snake convolution in the mixer slot of the 3D-DenseNet.

Source: Li and Ye, "Spatial-Geometry Enhanced 3D Dynamic Snake Convolutional Neural Network for
Hyperspectral Image Classification" (arXiv 2504.04463). No code is released; this is re-implemented from the
description.

The paper's: snake convolution with deformable offsets under a constraint, and several templates that look
at the target from different sides and are fused. Its equations are for two dimensions: points at -c..c on
one axis, steps in [-1, 1] summed outward from the fixed centre, bilinear interpolation.

DSCNet's three-dimensional code (Qi et al., ICCV 2023, arXiv 2307.08388), on which it builds: three views,
each moving in the two other axes; offsets from a 3x3x3 convolution, batch normalisation and tanh; positions
clamped to the volume; a convolution over the K points; group normalisation (groups of 4 channels) and ReLU;
K = 3; a plain template beside them.

Our decision: the place in the network (the slot where the authors' released networks have their blocks); BN
- ReLU in front; a 1x1x1 plain template; k channels for each template, so that the width is that of the
plain network and its grouped convolution does the fusion; random dropping of views as an option; a start
without displacement as an option. As in DSCNet the offset head also has channels for the fixed centre. They
reach nothing, so they count as parameters but are never computed.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import cast

from torch import Tensor, nn

from hsi.errors import ModelError
from hsi.models.densenet3d import GROWTH, LAYERS, DenseNet3D
from hsi.models.registry import register_model
from hsi.models.snake import check_axis
from hsi.models.snake_templates import VIEWS, SnakeTemplates, check_views


class SnakeConv3d(SnakeTemplates):
    """One view of dynamic snake convolution: offsets, sampling, sum over points, GroupNorm, ReLU.

    Parameters
    ----------
    in_channels, out_channels
        Channels in and out; the latter a multiple of 4, or fewer than 8.
    axis
        The axis that the points lie on: "w", "h" or "d" (spectral). They move in the two others.
    points
        Points K, odd, at least 3.
    spectral_offsets
        Whether a snake on "w" or "h" may also move along the spectral axis.
    zero_start
        Begin without displacement.

    Raises
    ------
    ModelError
        For an unknown axis, an even number of points, or an unusable number of channels.

    Notes
    -----
    ``(N, in, D, H, W)`` to ``(N, out, D, H, W)``. Source: DSCNet (arXiv 2307.08388). Several
    views of the same input are much faster together: see `SnakeTemplates`. The bare operator is
    `hsi.models.snake.snake_conv3d`.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        axis: str = "w",
        points: int = 3,
        spectral_offsets: bool = True,
        zero_start: bool = False,
    ) -> None:
        check_axis(axis)
        super().__init__(
            in_channels,
            out_channels,
            views=axis,
            points=points,
            spectral_offsets=spectral_offsets,
            zero_start=zero_start,
        )


class SnakeMixer(nn.Module):
    """BN - ReLU, then a plain 1x1x1 template and the snakes, concatenated: the block of SG-DSCNet.

    Parameters
    ----------
    in_channels, out_channels
        Channels in and out. Each view gives a quarter of the output; the plain template gives the rest.
    points, views, spectral_offsets, view_drop, zero_start
        As in `SnakeTemplates`.

    Raises
    ------
    ModelError
        When `out_channels` is not a multiple of 4, or an option is out of range.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        points: int | Sequence[int] = 3,
        views: str = VIEWS,
        spectral_offsets: bool = True,
        view_drop: float = 0.0,
        zero_start: bool = False,
    ) -> None:
        super().__init__()
        if out_channels < 4 or out_channels % 4:
            raise ModelError(
                f"The block has four templates, so its output needs a multiple of 4; got {out_channels}."
            )
        width = out_channels // 4
        self.norm = nn.BatchNorm3d(in_channels)
        self.relu = nn.ReLU(inplace=True)
        self.templates = SnakeTemplates(
            in_channels,
            width,
            plain=(4 - len(check_views(views))) * width,
            views=views,
            points=points,
            spectral_offsets=spectral_offsets,
            view_drop=view_drop,
            zero_start=zero_start,
        )

    def forward(self, x: Tensor) -> Tensor:
        """``(N, in, D, H, W)`` to ``(N, out, D, H, W)``."""
        return cast(Tensor, self.templates(self.relu(self.norm(x))))


@register_model(
    "sgdscnet",
    title="SG-DSCNet: 3D dynamic snake convolution",
    paper="Li and Ye, 2025, arXiv 2504.04463",
    provenance="re-implemented from the description",
    aliases=("sg-dscnet", "sg_dscnet"),
)
def sgdscnet(
    bands: int,
    classes: int,
    patch: int,
    *,
    points: int | Sequence[int] = 3,
    views: str = VIEWS,
    spectral_offsets: bool = True,
    view_drop: float = 0.0,
    zero_start: bool = False,
    layers: Sequence[int] = LAYERS,
    growth: Sequence[int] = GROWTH,
    init: str = "released",
) -> DenseNet3D:
    """Build SG-DSCNet: 2,346,028 parameters on Indian Pines with 3 points, 6,308,548 with 9."""
    mixer = functools.partial(
        SnakeMixer,
        points=points,
        views=views,
        spectral_offsets=spectral_offsets,
        view_drop=view_drop,
        zero_start=zero_start,
    )
    return DenseNet3D(bands, classes, patch, mixer=mixer, layers=layers, growth=growth, init=init)
