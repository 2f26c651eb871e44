"""EKGNet: a 3D-DenseNet whose 1x1x1 convolutions are generated for each patch from a few expert kernels.

G. Li and M. Ye, "Expert Kernel Generation Network Driven by Contextual Mapping for Hyperspectral Image
Classification", arXiv 2504.13045, after dynamic convolution (Chen et al., arXiv 1912.03458). For one sample
X:

    g     = global average of X                       one value per channel
    alpha = softmax(f_map(g) / tau)                   K weights
    W, b  = sum_k alpha_k W_k, sum_k alpha_k b_k      one kernel per sample, the same at all positions
    Y     = W * X + b

From the released code, without its unused parts: K = 4 experts with bias, kernel 1x1x1, first in the dense
layer with no BN-ReLU before it; f_map(g) = Linear(BN(h + g)) with h = BN - GELU - Linear - BN - GELU - Linear
of g, all C wide; experts ~ N(0, 1) with zero biases; tau is trained and starts at 34.

Not from it: tau = exp(parameter) + 0.001, which stays positive, and which a step of Adam changes by a share
of itself (steps as small as the learning rate do not move 34); the options `init="kaiming"`, `pre_norm` and
larger kernels.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any, Literal, cast, get_args

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from hsi.errors import ModelError
from hsi.models.densenet3d import GROWTH, LAYERS, DenseNet3D
from hsi.models.kernels.dispatch import runs_eagerly
from hsi.models.registry import as_triple, register_model


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
    """A linear layer stored as a 1x1x1 convolution, which the backbone's initialisation includes.

    Its own initialisation, as in the released code: truncated normal with std 0.02, zero bias.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, kernel_size=1)
        nn.init.trunc_normal_(self.weight, std=0.02)
        if self.bias is not None:
            nn.init.zeros_(self.bias)

    def forward(self, x: Tensor) -> Tensor:
        """``(N, inputs)`` to ``(N, outputs)``."""
        return F.linear(x, self.weight.flatten(1), self.bias)


ExpertInit = Literal["normal", "kaiming"]
Size3 = int | tuple[int, int, int]

EXPERT_INITS: tuple[str, ...] = get_args(ExpertInit)
MIN_TEMPERATURE = 1e-3


class ExpertKernelConv3d(nn.Module):
    """Convolution with one kernel per sample: a mixture of experts, weighted by the sample's channel means.

    Parameters
    ----------
    in_channels, out_channels, kernel_size, stride, padding
        As in ``nn.Conv3d``: numbers or triples (D, H, W), zero padding.
    experts
        Number K of kernels.
    temperature
        Initial value of the trained softmax temperature tau; above 0.001. High: equal weights.
    init
        Of the experts: "normal" N(0, 1), as in the released code, or "kaiming", fan-out.

    Notes
    -----
    ``(N, C, D, H, W)`` to ``(N, out, D', H', W')``, channels-last. `weight` is ``(K, out, C, kd, kh, kw)``,
    `bias` ``(K, out)``, `log_temperature` the logarithm of tau - 0.001; weights of earlier versions, with a
    `temperature_logit` in its place, are converted when they are loaded. As in the paper, the mapper uses
    batch normalisation: in training a sample's kernel depends on the others, and a batch needs two samples.

    Raises
    ------
    ModelError
        For sizes out of range, an unknown option, an input of another shape, or a training batch of one
        sample.
    """

    mechanism = "experts"

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size3 = 1,
        stride: Size3 = 1,
        padding: Size3 = 0,
        *,
        experts: int = 4,
        temperature: float = 34.0,
        init: ExpertInit = "normal",
    ) -> None:
        super().__init__()
        if min(in_channels, out_channels, experts) < 1:
            raise ModelError(
                f"Channels and experts must be at least 1; got {in_channels}, {out_channels} and {experts}."
            )
        if not MIN_TEMPERATURE < temperature < math.inf:
            raise ModelError(f"The temperature must be a number above {MIN_TEMPERATURE}, not {temperature}.")
        if init not in EXPERT_INITS:
            raise ModelError(f"init must be one of {', '.join(EXPERT_INITS)}, not '{init}'.")
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.kernel_size = as_triple("kernel_size", kernel_size, 1)
        self.stride = as_triple("stride", stride, 1)
        self.padding = as_triple("padding", padding, 0)
        self.mapper = ContextMapper(in_channels, experts)
        self.log_temperature = nn.Parameter(torch.tensor(math.log(temperature - MIN_TEMPERATURE)))
        self.weight = nn.Parameter(torch.empty(experts, out_channels, in_channels, *self.kernel_size))
        self.bias = nn.Parameter(torch.zeros(experts, out_channels))
        for kernel in self.weight:
            if init == "normal":
                nn.init.normal_(kernel)
            else:
                nn.init.kaiming_normal_(kernel, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        """``(N, C, D, H, W)`` to ``(N, out, D', H', W')``."""
        self._check_input(x)
        x, mean = _with_mean(x)
        alpha = self._alpha(mean)
        kernels = (alpha @ self.weight.flatten(1)).view(-1, *self.weight.shape[1:])
        biases = alpha @ self.bias
        if self.kernel_size == self.stride == (1, 1, 1) and self.padding == (0, 0, 0):
            return _pointwise(x, kernels, biases)
        return self._convolve(x, kernels, biases)

    def expert_weights(self, x: Tensor) -> Tensor:
        """Weights alpha ``(N, K)`` of the experts per sample; rows sum to one.

        In training mode this updates the running statistics of the mapper's batch norms.
        """
        self._check_input(x)
        return self._alpha(x.mean(dim=(2, 3, 4)))

    @property
    def temperature(self) -> Tensor:
        """The softmax temperature tau."""
        return self.log_temperature.exp() + MIN_TEMPERATURE

    def switch_parameters(self) -> tuple[Tensor, ...]:
        """Return the mapper's last layer, without which all experts weigh the same; see `Switchable`."""
        last = self.mapper.linear3
        return (last.weight,) if last.bias is None else (last.weight, last.bias)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        logit = state_dict.pop(prefix + "temperature_logit", None)
        if isinstance(logit, Tensor):  # tau was softplus(logit) + 0.001
            state_dict[prefix + "log_temperature"] = F.softplus(logit.double()).log().to(logit.dtype)
        super()._load_from_state_dict(state_dict, prefix, *args)

    def extra_repr(self) -> str:
        """Return the sizes, for ``print(model)``."""
        return (
            f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}, "
            f"padding={self.padding}, experts={len(self.weight)}"
        )

    def _alpha(self, mean: Tensor) -> Tensor:
        logits: Tensor = self.mapper(mean)
        return torch.softmax(logits / self.temperature, dim=1)

    def _convolve(self, x: Tensor, kernels: Tensor, biases: Tensor) -> Tensor:
        """Convolve each sample with its own kernel: one convolution with one group per sample."""
        n = x.shape[0]
        y = F.conv3d(
            x.reshape(1, -1, *x.shape[2:]),
            kernels.flatten(0, 1),
            biases.flatten(),
            self.stride,
            self.padding,
            groups=n,
        )
        y = y.view(n, self.out_channels, *y.shape[2:])
        return y.contiguous(memory_format=torch.channels_last_3d)

    def _check_input(self, x: Tensor) -> None:
        if x.dim() != 5 or x.shape[1] != self.in_channels or x.shape[0] < 1:
            raise ModelError(
                f"Give an input of shape (N, {self.in_channels}, D, H, W), not {tuple(x.shape)}."
            )
        if self.training and x.shape[0] == 1:
            raise ModelError(
                "An expert-kernel convolution cannot train on a batch of one sample, since it normalises "
                "over the batch; choose a batch size that leaves no remainder of one, or drop the last batch."
            )
        for size, kernel, pad in zip(x.shape[2:], self.kernel_size, self.padding, strict=True):
            if size + 2 * pad < kernel:
                raise ModelError(
                    f"The kernel {self.kernel_size} is larger than the padded input {tuple(x.shape[2:])}; "
                    "raise padding or use a smaller kernel."
                )


class _WithMean(torch.autograd.Function):
    """x and its mean over D, H, W; the mean's gradient is added in place."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> tuple[Tensor, Tensor]:
        ctx.positions = x[0, 0].numel()
        return x.view_as(x), x.mean(dim=(2, 3, 4))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor, grad_mean: Tensor) -> Tensor:
        # In place is safe: only the convolution uses the returned x, and it has just allocated this gradient.
        return grad.add_((grad_mean / ctx.positions)[:, :, None, None, None])


def _with_mean(x: Tensor) -> tuple[Tensor, Tensor]:
    if runs_eagerly():
        return cast(tuple[Tensor, Tensor], _WithMean.apply(x))
    return x, x.mean(dim=(2, 3, 4))


def _pointwise(x: Tensor, kernels: Tensor, biases: Tensor) -> Tensor:
    """1x1x1 convolution of each sample with its own kernel, as one batched product of rows of channels."""
    rows = x.permute(0, 2, 3, 4, 1).flatten(1, 3)  # (N, L, C), a view if channels-last
    y = torch.baddbmm(biases.unsqueeze(1), rows, kernels.flatten(2).mT)
    return y.unflatten(1, x.shape[2:]).permute(0, 4, 1, 2, 3)


def expert_kernel_mixer(
    in_channels: int,
    out_channels: int,
    *,
    experts: int = 4,
    temperature: float = 34.0,
    expert_init: ExpertInit = "normal",
    pre_norm: bool = False,
) -> nn.Module:
    """Build EKGNet's mixer; `pre_norm` puts BN - ReLU before it."""
    conv = ExpertKernelConv3d(
        in_channels, out_channels, experts=experts, temperature=temperature, init=expert_init
    )
    return nn.Sequential(nn.BatchNorm3d(in_channels), nn.ReLU(inplace=True), conv) if pre_norm else conv


@register_model(
    "ekgnet",
    title="EKGNet: expert kernels generated by contextual mapping",
    paper="Li and Ye, arXiv 2504.13045",
    provenance="released code",
)
def ekgnet(
    bands: int,
    classes: int,
    patch: int,
    *,
    experts: int = 4,
    temperature: float = 34.0,
    expert_init: ExpertInit = "normal",
    pre_norm: bool = False,
    layers: Sequence[int] = LAYERS,
    growth: Sequence[int] = GROWTH,
    init: str = "released",
    downsampling: str = "released",
) -> DenseNet3D:
    """Build EKGNet: 2,760,250 parameters on Indian Pines (200 bands, 16 classes).

    The released network has 18 more, an unused frozen array of ones in each layer. `expert_init` is `init` of
    ExpertKernelConv3d; `init` is the backbone's.
    """
    mixer = functools.partial(
        expert_kernel_mixer,
        experts=experts,
        temperature=temperature,
        expert_init=expert_init,
        pre_norm=pre_norm,
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
