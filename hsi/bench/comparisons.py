"""One of our operators or networks beside its reference: same function first, then time and memory."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from typing import Any

from hsi.bench.cases import CASES, Case
from hsi.bench.equality import check_difference, float64_difference, relative_difference
from hsi.bench.isolated import in_own_process
from hsi.bench.memory import peak_growth
from hsi.bench.networks import in_megabytes, share, speed
from hsi.bench.products import MatrixProduct
from hsi.bench.scale import Scale
from hsi.bench.setting import Setting
from hsi.bench.subjects import SIDES, make_step
from hsi.bench.timing import interleave, summary
from hsi.models.cost import count_macs


def compare(name: str, scale: Scale, setting: Setting) -> dict[str, Any]:
    """Measure one case: forward and backward of an operator, or a training step of a network.

    Without a reference only ours is measured. ``ratio`` is the reference's median time over ours,
    ``memory_ratio`` the same of the growth of peak memory, each side in a process of its own.

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
    outputs = [step() for step in steps.values()]  # these runs warm up as well
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
        result["memory_ratio"] = _memory_ratio(ours["peak_memory_mb"], reference["peak_memory_mb"])
    return result


def _side(case: Case, side: str, samples: list[float], scale: Scale, setting: Setting) -> dict[str, Any]:
    peak = in_own_process(_peak_of_side, case.name, side, scale, setting)
    return {"seconds": summary(samples), "peak_memory_mb": in_megabytes(peak)}


def _memory_ratio(ours: float | None, reference: float | None) -> float | None:
    return reference / ours if ours and reference else None


def _peak_of_side(name: str, side: str, scale: Scale, setting: Setting) -> int | None:
    device = setting.apply()
    step = make_step(CASES[name], side, scale, setting)
    return None if step is None else peak_growth(step, device)
