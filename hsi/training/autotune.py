"""How a training step is computed: precision, memory format, compiled or not; measured on a GPU.

On a CPU there is nothing to choose: precision is float32, the memory format the network's own, and compiling
does not pay: a step of the backbone took as long as before, after a minute and a half of compilation (torch
2.13, 2 cores).
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import cast

import torch
from torch import nn
from torch.nn import functional

from hsi.config import Config
from hsi.inference.predict import out_of_memory
from hsi.io.measurements import measured_once
from hsi.models.device import (
    autocast,
    choose_precision,
    device_name,
    lay_out,
    precisions_of,
    seconds_of,
    synchronise,
)

MIN_COMPILE_SECONDS = 120.0
"""Compiling is not tried for a training that takes less."""

TRIES = 5
"""Steps that are measured; the fastest counts."""


@dataclass(frozen=True)
class ExecutionPlan:
    """How a training step is computed; `memory_format` None is that of the network as it is built."""

    precision: torch.dtype
    compiled: bool = False
    memory_format: str | None = None

    def of(self, network: nn.Module) -> nn.Module:
        """Convert a network to the memory format; return it, or its compiled form (same parameters)."""
        if self.memory_format is not None:
            lay_out(network, self.memory_format)
        if not self.compiled:
            return network
        return cast(nn.Module, torch.compile(network, dynamic=False))

    def __str__(self) -> str:
        """Return such as "bfloat16, contiguous, compiled"; measurements are kept under it."""
        name = str(self.precision).removeprefix("torch.")
        parts = (name, self.memory_format, "compiled" if self.compiled else None)
        return ", ".join(part for part in parts if part is not None)


@dataclass(frozen=True)
class Cost:
    """Seconds of a step, and of the first one, which includes compilation."""

    step: float
    warm_up: float

    def of(self, steps: int) -> float:
        """Return the seconds of so many steps."""
        return self.warm_up + steps * self.step


Trial = Callable[[ExecutionPlan], Cost | None]
"""Measures a plan; None where it does not work here."""


def choose_plan(
    config: Config,
    device: torch.device,
    formats: Sequence[str],
    steps: int,
    trial: Trial,
    message: Callable[[str], None],
) -> ExecutionPlan:
    """Choose how steps are computed; `message` is called with a sentence on what was chosen.

    What the options leave open is measured by `trial` on a GPU, unless ``config.tune`` is off: which
    precision and memory format (the network's own, or one of `formats`) make a step fastest, then whether
    compiling takes less time than it saves in all `steps`.

    Raises
    ------
    ConfigError
        For a precision that the device does not have.
    """
    default = choose_precision(config.precision, device)
    if config.compile == "on":
        return _compiled(ExecutionPlan(default, compiled=True), trial, message)
    if device.type != "cuda" or not config.tune:
        return ExecutionPlan(default)
    precisions = precisions_of(device) if config.precision == "auto" else (default,)
    candidates = [ExecutionPlan(each, memory_format=name) for each in precisions for name in (None, *formats)]
    costs = {plan: trial(plan) for plan in candidates} if steps else {}
    working = {plan: cost for plan, cost in costs.items() if cost is not None}
    if not working:
        return ExecutionPlan(default)
    best = min(working, key=lambda plan: working[plan].step)
    if config.compile == "auto" and working[best].of(steps) > MIN_COMPILE_SECONDS:
        compiled = replace(best, compiled=True)
        cost = trial(compiled)
        if cost is not None and cost.of(steps) < working[best].of(steps):
            best = compiled
    if len(candidates) > 1 or best.compiled:
        name = replace(best, memory_format=None)
        message(f"Using {name}: fastest in a short benchmark on this GPU (--no-tune skips it).")
    return best


def _compiled(plan: ExecutionPlan, trial: Trial, message: Callable[[str], None]) -> ExecutionPlan:
    cost = trial(plan)
    if cost is None:
        message("The network cannot be compiled here; it runs as it is.")
        return ExecutionPlan(plan.precision)
    message(f"The network is compiled; the first step took {cost.warm_up:.0f} s for that.")
    return plan


def step_trial(network: nn.Module, features: int, config: Config, device: torch.device) -> Trial:
    """Return what measures a step of copies of a network on a batch of random patches."""

    def measure(plan: ExecutionPlan) -> dict[str, float] | None:
        copied = copy.deepcopy(network).train()
        model = plan.of(copied)
        optimiser = torch.optim.Adam(copied.parameters(), lr=config.lr, fused=True)
        patches = torch.randn(config.batch, config.patch, config.patch, features, device=device)
        targets = torch.zeros(config.batch, dtype=torch.int64, device=device)

        def step() -> None:
            copied.zero_grad(set_to_none=True)
            with autocast(device, plan.precision):
                logits = model(patches.permute(0, 3, 1, 2))
                loss = functional.cross_entropy(logits.float(), targets)
            loss.backward()
            optimiser.step()

        started = time.perf_counter()
        try:
            step()
            synchronise(device)
            warm_up = time.perf_counter() - started
            return {"step": seconds_of(step, device, TRIES), "warm_up": warm_up}
        except Exception as error:  # whatever fails with another plan, the plain network still works
            if plan.compiled or plan.memory_format is not None or out_of_memory(error):
                return None
            raise

    def trial(plan: ExecutionPlan) -> Cost | None:
        facts = {
            "what": "training step",
            "model": config.model,
            "model_options": config.model_options,
            "weights": sum(weights.numel() for weights in network.parameters()),
            "bands": features,
            "patch": config.patch,
            "batch": config.batch,
            "way": str(plan),  # the key of measurements already cached
        }
        numbers = measured_once(facts, device_name(device), lambda: measure(plan))
        return None if numbers is None else Cost(**numbers)

    return trial
