"""Whether both sides of a comparison are the same function: same output, same gradients.

Output and gradients are compared in float64 on a small input. In float32 the gradients of a deep network
differ by up to a percent between any two ways to compute them, since rounding turns some ReLUs on or off;
there, at the measured size, the output is compared.
"""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from hsi.bench.cases import Case
from hsi.bench.scale import Scale
from hsi.bench.setting import Setting
from hsi.bench.subjects import OperatorStep, Step, make_step
from hsi.errors import HsiError

TOLERANCE = {"float64": 1e-9, "float32": 1e-3, "tf32": 5e-2, "bf16": 2e-1}
"""Largest relative difference, L2 norm of a tensor's difference over that of the tensor, by precision."""

FLOOR = 1e-3
"""Gradients whose norm is below this share of the largest one are measured against that share, since some are
zero but for rounding, such as that of a bias before a batch norm."""

SMALL = 4
"""Patches in the float64 comparison."""


def float64_difference(case: Case, scale: Scale, setting: Setting) -> float:
    """Return the largest relative difference between the sides, over output and all gradients, in float64."""
    sizes = {name: min(getattr(scale, name), SMALL) for name in ("batch", "large_batch", "small_batch")}
    # A short spectrum shows as much, in a second; 25 bands give odd sizes.
    small = dataclasses.replace(scale, bands=min(scale.bands, 25), **sizes)
    device = "cpu" if setting.device == "mps" else setting.device  # mps has no float64
    plain = dataclasses.replace(setting, precision="float32", device=device)
    ours, reference = (
        make_step(case, side, small, plain, dtype=torch.float64) for side in ("ours", "reference")
    )
    if ours is None or reference is None:
        raise HsiError(f"There is no reference for '{case.name}' to compare with.")
    output = relative_difference(ours.gradients(), reference.gradients())
    pairs = _gradients(ours, reference)
    largest = max(float(b.norm()) for _, b in pairs)
    return max(output, *(relative_difference(a, b, FLOOR * largest) for a, b in pairs))


def relative_difference(a: Tensor, b: Tensor, floor: float = 0.0) -> float:
    """Return the norm of ``a - b`` over that of b, or over `floor` where that is larger."""
    a, b = (tensor.detach().to(torch.promote_types(tensor.dtype, torch.float32)) for tensor in (a, b))
    scale = max(float(b.norm()), floor)
    error = float((a - b).norm())
    return error / scale if scale else error


def check_difference(title: str, difference: float, precision: str) -> None:
    """Raise HsiError unless a difference is within the tolerance (a NaN is not)."""
    if not difference <= TOLERANCE[precision]:
        raise HsiError(
            f"{title}: ours and the reference differ by {difference:.1e} in {precision}, more than "
            f"{TOLERANCE[precision]:.0e}, so their times cannot be compared."
        )


def _gradients(ours: Step, reference: Step) -> list[tuple[Tensor, Tensor]]:
    theirs = dict(getattr(reference.module, "ours", reference.module).named_parameters())
    pairs: list[tuple[Tensor, Tensor]] = []
    pairs += [(parameter, theirs[name]) for name, parameter in ours.module.named_parameters()]
    if isinstance(ours, OperatorStep) and isinstance(reference, OperatorStep):
        pairs.append((ours.x, reference.x))
    return [(_grad(a), _grad(b)) for a, b in pairs]


def _grad(tensor: Tensor) -> Tensor:
    return torch.zeros_like(tensor) if tensor.grad is None else tensor.grad
