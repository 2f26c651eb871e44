"""How a step is computed: precision, memory format, compiled or not; measured where it may pay.

Only a GPU has something to choose. On a CPU precision is float32, the memory format that of the network as it
is built, and compiling does not pay: a step of the backbone took as long as before, and compiling it a minute
and a half (measured with torch 2.13, 2 cores).
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

WORTH_SECONDS = 120.0
"""A training that takes less is not compiled, and not even tried: our decision."""

TRIES = 5
"""Steps that are measured; the quickest counts."""


@dataclass(frozen=True)
class ExecutionPlan:
    """How a step is computed.

    `precision` is what matrix products run in; `compiled` says whether the network is compiled;
    `memory_format` names one of `hsi.models.device.FORMATS`, or is None: as the network is built.
    """

    precision: torch.dtype
    compiled: bool = False
    memory_format: str | None = None

    def of(self, network: nn.Module) -> nn.Module:
        """Bring a network to its memory format and return what is called for a step.

        That is the network, or its compiled form with the same parameters.
        """
        if self.memory_format is not None:
            lay_out(network, self.memory_format)
        if not self.compiled:
            return network
        return cast(nn.Module, torch.compile(network, dynamic=False))

    def __str__(self) -> str:
        """Return it in words, such as "bfloat16, contiguous, compiled"; measurements are kept under it."""
        name = str(self.precision).removeprefix("torch.")
        parts = (name, self.memory_format, "compiled" if self.compiled else None)
        return ", ".join(part for part in parts if part is not None)


@dataclass(frozen=True)
class Cost:
    """What a way costs: seconds a step, and seconds before the first one."""

    step: float
    warm_up: float

    def of(self, steps: int) -> float:
        """Return the seconds that so many steps take."""
        return self.warm_up + steps * self.step


Trial = Callable[[ExecutionPlan], Cost | None]
"""Measures a way; None where it does not work here."""


def choose_plan(
    config: Config,
    device: torch.device,
    formats: Sequence[str],
    steps: int,
    trial: Trial,
    say: Callable[[str], None],
) -> ExecutionPlan:
    """Choose how steps are computed.

    What the config leaves open is measured, unless ``config.tune`` is off: on a GPU, which precision and
    memory format make a step quickest, then whether compiling takes less time than it saves in all `steps`.

    Parameters
    ----------
    config
        ``precision``, ``compile`` and ``tune`` say what is open.
    device
        Where the training runs.
    formats
        Memory formats that the network could run in beside its present one.
    steps
        Steps that are to be done.
    trial
        Measures a way.
    say
        Told what was chosen by measurement, and of a network that cannot be compiled.

    Raises
    ------
    ConfigError
        For a precision that the device does not have.
    """
    default = choose_precision(config.precision, device)
    if config.compile == "on":
        return _compiled(ExecutionPlan(default, compiled=True), trial, say)
    if device.type != "cuda" or not config.tune:
        return ExecutionPlan(default)
    precisions = precisions_of(device) if config.precision == "auto" else (default,)
    open_ones = [ExecutionPlan(each, memory_format=name) for each in precisions for name in (None, *formats)]
    costs = {plan: trial(plan) for plan in open_ones} if steps else {}
    works = {plan: cost for plan, cost in costs.items() if cost is not None}
    if not works:
        return ExecutionPlan(default)
    best = min(works, key=lambda plan: works[plan].step)
    if config.compile == "auto" and works[best].of(steps) > WORTH_SECONDS:
        compiled = replace(best, compiled=True)
        cost = trial(compiled)
        if cost is not None and cost.of(steps) < works[best].of(steps):
            best = compiled
    if len(open_ones) > 1 or best.compiled:
        say(f"Steps are computed in {best}: the quickest here by measurement (--no-tune: without).")
    return best


def _compiled(plan: ExecutionPlan, trial: Trial, say: Callable[[str], None]) -> ExecutionPlan:
    cost = trial(plan)
    if cost is None:
        say("The network cannot be compiled here; it runs as it is.")
        return ExecutionPlan(plan.precision)
    say(f"The network is compiled; the first step took {cost.warm_up:.0f} s for that.")
    return plan


def step_trial(network: nn.Module, bands: int, config: Config, device: torch.device) -> Trial:
    """Return what measures a step of a network on a batch of random patches; the network is left alone.

    Parameters
    ----------
    network
        On `device`; copies of it are trained.
    bands
        Features of its input.
    config
        Patch width, batch, and what the network is.
    device
        Where it trains.
    """

    def measure(plan: ExecutionPlan) -> dict[str, float] | None:
        trained = copy.deepcopy(network).train()
        called = plan.of(trained)
        optimiser = torch.optim.Adam(trained.parameters(), lr=config.lr, fused=True)
        patches = torch.randn(config.batch, config.patch, config.patch, bands, device=device)
        targets = torch.zeros(config.batch, dtype=torch.int64, device=device)

        def step() -> None:
            trained.zero_grad(set_to_none=True)
            with autocast(device, plan.precision):
                logits = called(patches.permute(0, 3, 1, 2))
                loss = functional.cross_entropy(logits.float(), targets)
            loss.backward()
            optimiser.step()

        started = time.perf_counter()
        try:
            step()
            synchronise(device)
            warm_up = time.perf_counter() - started
            return {"step": seconds_of(step, device, TRIES), "warm_up": warm_up}
        except Exception as error:  # whatever goes wrong in another way, the plain network does its work
            if plan.compiled or plan.memory_format is not None or out_of_memory(error):
                return None
            raise

    def trial(plan: ExecutionPlan) -> Cost | None:
        facts = {
            "what": "training step",
            "model": config.model,
            "model_options": config.model_options,
            "weights": sum(weights.numel() for weights in network.parameters()),
            "bands": bands,
            "patch": config.patch,
            "batch": config.batch,
            "way": str(plan),
        }
        numbers = measured_once(facts, device_name(device), lambda: measure(plan))
        return None if numbers is None else Cost(**numbers)

    return trial
