"""What one repeat does: forward and backward of an operator, or one step of a network."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hsi.bench.cases import Case
from hsi.bench.references import load_references
from hsi.bench.scale import Scale
from hsi.bench.setting import Setting

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
        """The same as a call: an operator alone has no optimiser."""
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
        fused = x.device.type in ("cpu", "cuda")  # as the training loop has it
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
    """Return one side of a comparison, the same weights and input each time; None without a reference.

    Our operators get channels-last maps, as our networks hand them on; references get contiguous ones.
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
    """Run forward and backward on a tiny input, so that libraries are loaded before anything is measured."""
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
