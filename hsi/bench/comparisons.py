"""One of our operators or training steps beside its reference: same function first, then time and memory.

Output and gradients are compared in float64 on a small input. In float32 the gradients of a deep network
differ by up to a percent between any two implementations, since rounding turns some ReLUs on or off; so at
the measured size and precision only the output is compared.
"""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from hsi.bench.cases import CASES, SIDES, Case, OperatorStep, Step, make_step
from hsi.bench.measure import in_own_process, interleave, peak_growth, summarise
from hsi.bench.networks import MatrixProduct, in_megabytes, share, speed
from hsi.bench.setting import Scale, Setting
from hsi.errors import HsiError
from hsi.models.registry import count_macs

TOLERANCE = {"float64": 1e-9, "float32": 1e-3, "tf32": 5e-2, "bf16": 2e-1}
"""Largest relative difference of two tensors (L2 norms), by precision."""

FLOOR = 1e-3
"""A gradient's norm counts as at least this share of the largest one: some gradients are zero but for
rounding, such as that of a bias before a batch norm."""

FLOAT64_BATCH = 4
FLOAT64_BANDS = 25
"""A short spectrum shows as much, in a second; 25 bands give odd sizes."""


def float64_difference(case: Case, scale: Scale, setting: Setting) -> float:
    """Return the largest relative difference between the sides, over output and all gradients, in float64."""
    sizes = {
        name: min(getattr(scale, name), FLOAT64_BATCH) for name in ("batch", "large_batch", "small_batch")
    }
    small = dataclasses.replace(scale, bands=min(scale.bands, FLOAT64_BANDS), **sizes)
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


def compare(name: str, scale: Scale, setting: Setting) -> dict[str, Any]:
    """Measure one case: forward and backward of an operator, or a training step of a network.

    Without a reference only ours is measured. ``ratio`` is the reference's median time over ours,
    ``memory_ratio`` the same for the growth of peak memory, each side in a process of its own.

    Raises
    ------
    HsiError
        When the two sides do not compute the same function.
    """
    case = CASES[name]
    device = setting.apply()
    steps = {side: step for side in SIDES if (step := make_step(case, side, scale, setting)) is not None}
    result: dict[str, Any] = {
        "name": name,
        "title": case.title,
        "shape": list(case.shape(scale)),
        "reference": case.reference if "reference" in steps else None,
    }
    outputs = [step() for step in steps.values()]  # also warms up
    if len(steps) > 1:
        result["difference"] = {
            "float64": float64_difference(case, scale, setting),
            setting.precision: relative_difference(outputs[0], outputs[1]),
        }
        for precision, difference in result["difference"].items():
            check_difference(case.title, difference, precision)
    product = MatrixProduct(setting) if case.is_network else None
    actions: dict[str, Callable[[], object]] = {**steps}
    if product is not None:
        actions["product"] = product
        product()
    taken = interleave(actions, device, rounds=scale.rounds, seconds=scale.seconds)
    sides = {side: _side(case, side, taken[side], scale, setting) for side in steps}
    if product is not None:
        rate = product.operations / statistics.median(taken["product"])
        macs = count_macs(case.build(scale), scale.bands, scale.patch)
        batch = case.shape(scale)[0]
        for side in sides.values():
            side.update(speed(side["seconds"], batch))
            side["share"] = share("training", macs, side["patches_per_second"], rate)
    result.update({f"{side}_side": measured for side, measured in sides.items()})
    if result["reference"]:
        ours, reference = result["ours_side"], result["reference_side"]
        result["ratio"] = reference["seconds"]["median"] / ours["seconds"]["median"]
        megabytes = (reference["peak_memory_mb"], ours["peak_memory_mb"])
        result["memory_ratio"] = megabytes[0] / megabytes[1] if all(megabytes) else None
    return result


def _side(case: Case, side: str, samples: list[float], scale: Scale, setting: Setting) -> dict[str, Any]:
    peak = in_own_process(_peak_of_side, case.name, side, scale, setting)
    return {"seconds": summarise(samples), "peak_memory_mb": in_megabytes(peak)}


def _peak_of_side(name: str, side: str, scale: Scale, setting: Setting) -> int | None:
    device = setting.apply()
    step = make_step(CASES[name], side, scale, setting)
    return None if step is None else peak_growth(step, device)
