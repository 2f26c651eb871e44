"""What is measured beside a reference: operators and training steps on the networks' own shapes.

The folder of references is a Python package with a table ``REFERENCES``: for the name of a case, a function
that takes our module and returns a module of the same function, computed as its source paper's public code
does. That module either has parameters with the same names and values, or it uses those of our module, which
it keeps as its attribute ``ours``.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

import hsi
from hsi.bench.setting import Scale, Setting
from hsi.errors import ConfigError
from hsi.models.densenet3d import GROWTH
from hsi.models.ekgnet import ExpertKernelConv3d
from hsi.models.kanet import KANConv3d
from hsi.models.registry import build_model
from hsi.models.sgdscnet import SnakeTemplates
from hsi.models.stnet import SpatialSpectralTransformer
from hsi.models.wcnet import WaveletConv3d

Maker = Callable[[nn.Module], nn.Module]

PACKAGE = "hsi_bench_references"


def find_references() -> Path | None:
    """Return the folder beside the checkout that this package is imported from, or None."""
    folder = Path(hsi.__file__).resolve().parent.parent / "benchmarks" / "references"
    return folder if (folder / "__init__.py").is_file() else None


def load_references(folder: Path | None) -> Mapping[str, Maker]:
    """Import the folder and return its table; empty for None.

    Raises
    ------
    ConfigError
        When the folder is not a package with such a table.
    """
    if folder is None:
        return {}
    source = folder / "__init__.py"
    if not source.is_file():
        raise ConfigError(f"There are no reference operators in '{folder}': it has no __init__.py.")
    spec = importlib.util.spec_from_file_location(PACKAGE, source, submodule_search_locations=[str(folder)])
    if spec is None or spec.loader is None:
        raise ConfigError(f"'{source}' cannot be imported.")
    for name in [name for name in sys.modules if name.partition(".")[0] == PACKAGE]:
        del sys.modules[name]  # of another folder
    module = importlib.util.module_from_spec(spec)
    sys.modules[PACKAGE] = module
    spec.loader.exec_module(module)
    table = getattr(module, "REFERENCES", None)
    if not isinstance(table, Mapping):
        raise ConfigError(f"'{source}' has no table REFERENCES of reference operators.")
    return table


CHANNELS = 28
"""Channels in, between those of the first block's first and last layer."""

WIDTH = 4 * GROWTH[0]
"""Channels out: the width of the first block's bottleneck."""


@dataclass(frozen=True)
class Case:
    """One comparison.

    ``reference`` describes the reference; ``build`` makes our module; ``channels`` is None for a network;
    ``batch`` names the field of `Scale` with the batch size.
    """

    name: str
    title: str
    reference: str
    build: Callable[[Scale], nn.Module]
    channels: int | None = None
    batch: str = "batch"

    @property
    def is_network(self) -> bool:
        """Whether a training step of a network is measured, not an operator."""
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


def _transformer(scale: Scale) -> SpatialSpectralTransformer:
    return SpatialSpectralTransformer(WIDTH)


_TRANSFORMER = "SpatialSpectralTransformer"
_RECURSION = "Cox-de Boor on unfolded rows"

CASES = {
    case.name: case
    for case in (
        Case("kan", "KANConv3d 1x1x1", _RECURSION, lambda scale: _kan(1), CHANNELS),
        Case("kan-3x3x3", "KANConv3d 3x3x3", _RECURSION, lambda scale: _kan(3), CHANNELS, "small_batch"),
        Case(
            "snake", "SnakeConv3d, 3 views", "trilinear sampling of 3 points a view",
            lambda scale: SnakeTemplates(CHANNELS, WIDTH // 4), CHANNELS,
        ),
        Case(
            "wavelet", "WaveletConv3d, 2 levels", "strided convolutions, fixed filters",
            lambda scale: WaveletConv3d(CHANNELS, levels=2), CHANNELS,
        ),
        Case(
            "expert", "ExpertKernelConv3d 1x1x1", "one convolution, groups = batch",
            lambda scale: ExpertKernelConv3d(CHANNELS, WIDTH), CHANNELS,
        ),
        Case("transformer", _TRANSFORMER, "two nn.MultiheadAttention calls", _transformer, WIDTH),
        Case("transformer-fused", _TRANSFORMER, "the same, need_weights=False", _transformer, WIDTH),
        Case("kanet-step", "KANet, training step", f"plain modules; {_RECURSION}", _network("kanet")),
        Case(
            "backbone-step", "3D-DenseNet, training step", "plain modules, contiguous",
            _network("densenet3d"), batch="large_batch",
        ),
    )
}  # fmt: skip


SIDES = ("ours", "reference")


class OperatorStep:
    """Forward and backward of an operator, with a fixed gradient of its output."""

    def __init__(self, module: nn.Module, x: Tensor, grad: Tensor, setting: Setting) -> None:
        self.module, self.x, self.grad = module, x.requires_grad_(), grad
        self._setting = setting

    def __call__(self) -> Tensor:
        """Run once; return the output."""
        return self.gradients()

    def gradients(self) -> Tensor:
        """Run once; return the output."""
        self.x.grad = None
        self.module.zero_grad()
        with self._setting.autocast():
            y: Tensor = self.module(self.x)
        y.backward(self.grad.to(y.dtype))
        return y


class TrainingStep:
    """Forward, cross-entropy, backward and a step of Adam."""

    def __init__(self, module: nn.Module, x: Tensor, labels: Tensor, setting: Setting) -> None:
        self.module, self.x, self.labels = module.train(), x, labels
        self._setting = setting
        fused = x.device.type in ("cpu", "cuda")  # as in the training loop
        self._optimiser = torch.optim.Adam(module.parameters(), lr=5e-4, fused=fused)

    def __call__(self) -> Tensor:
        """Run once; return the logits before the step."""
        logits = self.gradients()
        self._optimiser.step()
        return logits

    def gradients(self) -> Tensor:
        """Run all but the optimiser's step; return the logits."""
        self._optimiser.zero_grad()
        with self._setting.autocast():
            logits: Tensor = self.module(self.x)
            loss = F.cross_entropy(_at_least_float32(logits), self.labels)
        loss.backward()
        return logits


class InferenceStep:
    """Forward in evaluation mode, without gradients."""

    def __init__(self, module: nn.Module, x: Tensor, setting: Setting) -> None:
        self.module, self.x = module, x
        self._setting = setting

    def __call__(self) -> Tensor:
        """Run once; return the logits."""
        self.module.eval()
        with torch.no_grad(), self._setting.autocast():
            logits: Tensor = self.module(self.x)
        self.module.train()
        return logits


Step = OperatorStep | TrainingStep


def make_step(
    case: Case, side: str, scale: Scale, setting: Setting, *, dtype: torch.dtype = torch.float32
) -> Step | None:
    """Return one side of a comparison, with the same weights and input each time; None without a reference.

    Our operators get channels-last maps, as in our networks; references get contiguous ones.
    """
    torch.manual_seed(0)
    module = case.build(scale)
    x = torch.randn(case.shape(scale))
    if side == "reference":
        make = load_references(setting.references).get(case.name)
        if make is None:
            return None
        module = make(module)
    module.to(setting.device, dtype).train()
    x = x.to(setting.device, dtype)
    if case.is_network:
        warm_up(module, x[:2, :8, :7, :7])
        return TrainingStep(module, x, random_labels(len(x), scale, x.device), setting)
    channels = warm_up(module, x[:2, :, :4, :2, :2]).shape[1]  # our operators keep D, H, W
    layout = torch.channels_last_3d if side == "ours" else torch.contiguous_format
    generator = torch.Generator().manual_seed(1)
    grad = torch.randn(len(x), channels, *x.shape[2:], generator=generator).to(x)
    return OperatorStep(
        module, x.contiguous(memory_format=layout), grad.contiguous(memory_format=layout), setting
    )


def warm_up(module: nn.Module, tiny: Tensor) -> Tensor:
    """Run forward and backward on a tiny input, which loads libraries before anything is measured."""
    y: Tensor = module(tiny)
    y.sum().backward()
    module.zero_grad()
    return y


def _at_least_float32(logits: Tensor) -> Tensor:
    return logits.to(torch.promote_types(logits.dtype, torch.float32))


def random_labels(count: int, scale: Scale, device: torch.device) -> Tensor:
    """Return a class for each patch of a batch, the same each time."""
    generator = torch.Generator().manual_seed(2)
    return torch.randint(0, scale.classes, (count,), generator=generator).to(device)
