"""SG-DSCNet: dynamic snake convolution in the mixer slot of the 3D-DenseNet.

Source: Li and Ye, "Spatial-Geometry Enhanced 3D Dynamic Snake Convolutional Neural Network for
Hyperspectral Image Classification" (arXiv 2504.04463). No code is released; this is re-implemented from the
description.

From the paper: snake convolution with constrained deformable offsets, and several fused templates (views).
Its equations are two-dimensional: points at -c..c on one axis, steps in [-1, 1] summed outward from the fixed
centre, bilinear interpolation.

From DSCNet's three-dimensional code (Qi et al., ICCV 2023, arXiv 2307.08388): three views, each moving in the
two other axes; offsets from a 3x3x3 convolution, batch normalisation and tanh; positions clamped to the
volume; a convolution over the K points; group normalisation (groups of 4 channels) and ReLU; K = 3; a plain
template beside them. Its offset head also has channels for the fixed centre, which nothing uses: they are
parameters here too, but not computed.

Not from either: the block is in the mixer slot; BN - ReLU before it; a 1x1x1 plain template; k channels per
template, so that the width is that of the plain network and its grouped convolution does the fusion; the
options `view_drop` and `zero_start`.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hsi.errors import ModelError
from hsi.models.densenet3d import GROWTH, LAYERS, DenseNet3D
from hsi.models.kernels.norm_conv import count_batch
from hsi.models.kernels.snake import View, check_axis, check_points, outward_sum, snake_rows, split_points
from hsi.models.registry import register_model

VIEWS = "whd"


class OffsetHead(nn.Module):
    """3x3x3 convolution, batch normalisation, tanh: a step in [-1, 1] for each point, axis and voxel.

    Channels are ordered view, point, axis; the last `fixed` ones, of the fixed centres, are not computed.
    With `zero_start` the scale of the batch norm, and so all displacement, starts at 0. The convolution
    starts as torch's do.
    """

    self_initialised = True
    mechanism = "offsets"

    def __init__(self, in_channels: int, moving: int, fixed: int, *, zero_start: bool) -> None:
        super().__init__()
        self.conv = nn.Conv3d(in_channels, moving + fixed, kernel_size=3, padding=1)
        self.norm = nn.BatchNorm3d(moving + fixed)
        if zero_start:
            nn.init.zeros_(self.norm.weight)

    def forward(self, x: Tensor, first: int, last: int) -> Tensor:
        """``(N, C, D, H, W)`` to the steps ``(N, D, H, W, last - first)`` of channels first to last - 1."""
        part = slice(first, last)
        norm, bias = self.norm, cast(Tensor, self.conv.bias)
        weight, padding = _crop_taps(self.conv.weight[part], x.shape[2:])
        y = F.conv3d(x, weight, bias[part], padding=padding)
        momentum = count_batch(norm) if self.training else 0.0
        mean, variance = cast(Tensor, norm.running_mean), cast(Tensor, norm.running_var)
        scale, shift = norm.weight[part], norm.bias[part]
        y = F.batch_norm(y, mean[part], variance[part], scale, shift, self.training, momentum, norm.eps)
        return torch.tanh(y).permute(0, 2, 3, 4, 1)

    def switch_parameters(self) -> tuple[Tensor, Tensor]:
        """Return scale and shift of the batch norm, without which snakes are straight; see `Switchable`."""
        return self.norm.weight, self.norm.bias


def _crop_taps(weight: Tensor, sizes: Sequence[int]) -> tuple[Tensor, list[int]]:
    """Leave out the taps of a 3x3x3 kernel that only see padding; return kernel and padding."""
    for dim, size in enumerate(sizes, start=2):
        if size == 1:
            weight = weight.narrow(dim, 1, 1)
    return weight, [0 if size == 1 else 1 for size in sizes]


class SnakeTemplates(nn.Module):
    """Snakes of one or several views, with a plain template before them, computed together.

    Parameters
    ----------
    in_channels, width
        Channels of the input, and of the output of each view.
    plain
        Output channels of the plain 1x1x1 template, a multiple of `width`; 0 for none.
    views
        Axes of the snakes: one or more of "w", "h" and "d".
    points
        Points K of a snake, odd, at least 3; one number, or one for each view.
    spectral_offsets
        Whether the views "w" and "h" also move along the spectral axis. If not, they move in the image
        plane only: the paper's two-dimensional equations, band by band.
    view_drop
        Probability of dropping a view of a sample in training, never all of them; the others are scaled to
        keep the mean.
    zero_start
        Start without displacement, as straight kernels.

    Raises
    ------
    ModelError
        For views, points, widths or probabilities out of range.

    Notes
    -----
    ``(N, C, D, H, W)`` to ``(N, plain + width * views, D, H, W)``. Each template ends with group
    normalisation (groups of 4 channels) and ReLU. Where both other axes of a view have one voxel, its offsets
    are not computed and their statistics not updated.
    """

    def __init__(
        self,
        in_channels: int,
        width: int,
        *,
        plain: int = 0,
        views: str = VIEWS,
        points: int | Sequence[int] = 3,
        spectral_offsets: bool = True,
        view_drop: float = 0.0,
        zero_start: bool = False,
    ) -> None:
        super().__init__()
        self.views = check_views(views)
        self.points = _one_per_view(points, len(views))
        self.view_drop = view_drop
        if not 0 <= view_drop < 1:
            raise ModelError(
                f"view_drop is a probability and must be at least 0 and below 1; got {view_drop}."
            )
        if in_channels < 1 or width < 1:
            raise ModelError(f"A snake needs at least one channel in and out; got {in_channels} and {width}.")
        if plain < 0 or plain % width:
            raise ModelError(
                f"The plain template needs a multiple of {width} channels, or none; got {plain}."
            )
        groups = max(1, width // 4)
        if width % groups:
            raise ModelError(
                f"The channels of a snake must be a multiple of 4, or fewer than 8; got {width}."
            )
        # The axes that a view moves in, the later one first, as in F.grid_sample.
        self.moves = ["".join(a for a in VIEWS if a != view) for view in views]
        if not spectral_offsets:
            self.moves = [axes.replace("d", "") for axes in self.moves]
        self.channels = [(k - 1) * len(axes) for k, axes in zip(self.points, self.moves, strict=True)]
        self.offsets = OffsetHead(
            in_channels, sum(self.channels), sum(map(len, self.moves)), zero_start=zero_start
        )
        self.plain = nn.Conv3d(in_channels, plain, kernel_size=1, bias=False) if plain else None
        self.weights = nn.ParameterList(torch.empty(width, in_channels, k) for k in self.points)
        self.bias = nn.Parameter(torch.empty(len(views) * width))
        self.norm = nn.GroupNorm(groups * (plain // width + len(views)), plain + len(views) * width)
        self.relu = nn.ReLU(inplace=True)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Initialise the snakes as torch does convolutions: uniform within 1 / sqrt(fan-in)."""
        for weight, bias in zip(self.weights, self.bias.chunk(len(self.views)), strict=True):
            bound = (weight.shape[1] * weight.shape[2]) ** -0.5
            nn.init.uniform_(weight, -bound, bound)
            with torch.no_grad():
                bias.uniform_(-bound, bound)

    def forward(self, x: Tensor) -> Tensor:
        """``(N, C, D, H, W)`` to ``(N, plain + width * views, D, H, W)``."""
        x = x.contiguous(memory_format=torch.channels_last_3d)
        offsets, views = self._displacements(x)
        if torch.is_autocast_enabled(x.device.type):
            x = x.to(torch.get_autocast_dtype(x.device.type))
        centres, outers = zip(*(split_points(weight) for weight in self.weights), strict=True)
        bias: Tensor = self.bias
        if self.plain is not None:
            centres = (self.plain.weight.flatten(1), *centres)
            bias = F.pad(bias, (self.plain.out_channels, 0))
        rows = snake_rows(
            x.permute(0, 2, 3, 4, 1),
            torch.cat(centres).to(x.dtype),
            bias.to(x.dtype),
            torch.cat(outers).to(x.dtype),
            offsets,
            views,
        )
        y = cast(Tensor, self.relu(self.norm(rows.permute(0, 4, 1, 2, 3))))
        return self._drop_views(y) if self.training and self.view_drop else y

    def positions(self, x: Tensor) -> Iterator[Tensor]:
        """Yield for each view the positions ``(N, K, 3, D, H, W)`` that `forward` samples.

        In voxels, order D, H, W, for the K points of the snake centred on each voxel, clamped to the volume.
        In training mode this updates the running statistics of the offset head.
        """
        offsets, views = self._displacements(x)
        ticks = [torch.arange(n, dtype=torch.float32, device=x.device) for n in x.shape[2:]]
        straight = torch.stack(torch.meshgrid(*ticks, indexing="ij"))  # (3, D, H, W)
        for view in views:
            own, middle = "dhw".index(view.axis), view.points // 2
            position = straight.repeat(x.shape[0], view.points, 1, 1, 1, 1)
            position[:, :, own] += torch.arange(-middle, middle + 1, device=x.device).view(-1, 1, 1, 1)
            if offsets is not None and view.slot is not None:
                shift = offsets.narrow(-2, view.slot, view.points - 1).permute(0, 4, 5, 1, 2, 3)
                for i, axis in enumerate(axis for axis in (2, 1, 0) if axis != own):
                    position[:, :middle, axis] += shift[:, :middle, i]
                    position[:, middle + 1 :, axis] += shift[:, middle:, i]
            for axis, size in enumerate(x.shape[2:]):
                position[:, :, axis].clamp_(0, size - 1)
            yield position

    def _displacements(self, x: Tensor) -> tuple[Tensor | None, tuple[View, ...]]:
        """Return the offsets ``(N, D, H, W, slots, 2)`` of the points, and the views that use them."""
        sizes = dict(zip("dhw", map(int, x.shape[2:]), strict=True))
        movable = [max(sizes[axis] for axis in axes) > 1 for axes in self.moves]
        if not any(movable):
            return None, tuple(View(axis, k, None) for axis, k in zip(self.views, self.points, strict=True))
        # Compute the channels from the first movable view to the last.
        begin, end = movable.index(True), len(movable) - movable[::-1].index(True)
        steps = self.offsets(x, sum(self.channels[:begin]), sum(self.channels[:end]))
        views, pieces, slot = [], [], 0
        parts = iter(torch.split(steps, self.channels[begin:end], -1))
        for i, (axis, k) in enumerate(zip(self.views, self.points, strict=True)):
            views.append(View(axis, k, slot if movable[i] else None))
            if begin <= i < end:
                piece = outward_sum(next(parts).view(*steps.shape[:-1], k - 1, -1), -2)
                pieces.append(F.pad(piece, (0, 2 - piece.shape[-1])))  # the spectral axis comes last
                slot += k - 1
        return torch.cat(pieces, -2), tuple(views)

    def _drop_views(self, y: Tensor) -> Tensor:
        """Drop views at random per sample, but keep the one with the highest draw."""
        count, drop = len(self.views), self.view_drop
        draw = torch.rand(y.shape[0], count, device=y.device)
        keep = (draw >= drop) | (draw == draw.amax(1, keepdim=True))
        factor = keep / (1 - drop + drop**count / count)  # over the probability to be kept
        plain = y.shape[1] - self.bias.shape[0]
        factor = F.pad(factor.repeat_interleave(self.bias.shape[0] // count, 1), (plain, 0), value=1.0)
        return y * factor.to(y.dtype)[:, :, None, None, None]


def check_views(views: str) -> str:
    """Return `views`; raise ModelError unless it names one or more of the axes, each once."""
    for axis in views:
        check_axis(axis)
    if not views or len(set(views)) < len(views):
        raise ModelError(f"views must name one or more of 'w', 'h' and 'd', each once; got '{views}'.")
    return views


def _one_per_view(points: int | Sequence[int], views: int) -> list[int]:
    numbers = [points] * views if isinstance(points, int) else list(points)
    if len(numbers) != views:
        raise ModelError(
            f"There are {views} views, so give one number of points or {views}; got {len(numbers)}."
        )
    for number in numbers:
        check_points(number)
    return numbers


class SnakeConv3d(SnakeTemplates):
    """One view of dynamic snake convolution: offsets, sampling, sum over points, GroupNorm, ReLU.

    Parameters
    ----------
    in_channels, out_channels
        Channels in and out; the latter a multiple of 4, or fewer than 8.
    axis
        Axis of the points: "w", "h" or "d" (spectral). They move in the two others.
    points
        Points K, odd, at least 3.
    spectral_offsets
        Whether a snake on "w" or "h" may also move along the spectral axis.
    zero_start
        Start without displacement.

    Raises
    ------
    ModelError
        For an unknown axis, an even number of points, or an unusable number of channels.

    Notes
    -----
    ``(N, in, D, H, W)`` to ``(N, out, D, H, W)``. Source: DSCNet (arXiv 2307.08388). `SnakeTemplates`
    computes several views of one input together, much faster; `hsi.models.kernels.snake.snake_conv3d` is the
    bare operator.
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
    """BN - ReLU, then a plain 1x1x1 template and the snakes, concatenated: SG-DSCNet's mixer.

    Each view gives a quarter of `out_channels`, a multiple of 4, and the plain template the rest; the options
    are those of `SnakeTemplates`.
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
    downsampling: str = "released",
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
    return DenseNet3D(
        bands,
        classes,
        patch,
        mixer=mixer,
        layers=layers,
        growth=growth,
        init=init,
        downsampling=downsampling,
    )
