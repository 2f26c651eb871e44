"""How long the runs of a sweep will take, in core-seconds: seconds times the cores that work on a run.

The best source at hand counts, in this order:

1. finished runs of the same cell (model, scene and protocol), by their mean;
2. a result of `hsi bench`: epochs x (training patches / patches per second in training + validation patches /
   patches per second in inference) + all labelled patches / patches per second in inference, where the rates
   of the same network are scaled by multiply-accumulates of a patch (so by bands and patch width). A network
   that was not measured counts with the median of the measured multiply-accumulates per second;
3. finished runs of the same model on other scenes or protocols, by their mean;
4. nothing: such runs are left out of sums, which is said.

Runs that are finished while a sweep goes on correct the estimates of source 2 by the median of what they took
over what was estimated.
"""

from __future__ import annotations

import json
import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hsi.runs.state import RunState
from hsi.sweep.plan import PlannedRun
from hsi.sweep.results import Facts, read_facts
from hsi.sweep.sizes import RunSize

START_CORE_SECONDS = 5.0  # importing PyTorch and loading a scene
SYMMETRIES = 8  # patches that test-time augmentation makes of one


@dataclass(frozen=True)
class Rates:
    """What networks reached in `hsi bench`, by their names.

    ``training`` and ``inference`` are multiply-accumulates (of the forward pass) a second and core, so that a
    rate over a network's own is patches a second; ``step_mb`` is the memory of a training step in MB for each
    value of its input (batch x bands x P x P).
    """

    training: Mapping[str, float] = field(default_factory=dict)
    inference: Mapping[str, float] = field(default_factory=dict)
    step_mb: Mapping[str, float] = field(default_factory=dict)

    def of(self, model: str, kind: str) -> float | None:
        """Return the figure of a network, such as "training", else the median; None without any."""
        rates: Mapping[str, float] = getattr(self, kind)
        return rates.get(model, statistics.median(rates.values()) if rates else None)


def read_rates(path: Path) -> Rates:
    """Read the rates from a result file of `hsi bench`."""
    result: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    machine, rows = result["machine"], result["networks"]
    threads = machine["threads"] if machine["device"] == "cpu" else 1
    patch = result["bands"] * result["patch"] ** 2
    training, inference = (
        {row["name"]: row[kind]["patches_per_second"] * row["macs"] / threads for row in rows}
        for kind in ("training", "inference")
    )
    step_mb = {
        row["name"]: row["training"]["peak_memory_mb"] / (row["batch"] * patch)
        for row in rows
        if row["training"].get("peak_memory_mb")
    }
    return Rates(training, inference, step_mb)


def newest_bench(folders: Iterable[Path], device: str) -> Path | None:
    """Return the newest result of `hsi bench` for a kind of device ("cpu", "cuda") in some folders."""
    found: list[tuple[str, Path]] = []
    for folder in folders:
        for path in sorted(folder.glob("bench-*.json")):
            try:
                machine = json.loads(path.read_text(encoding="utf-8"))["machine"]
                read_rates(path)  # one that lacks them is as good as none
                if str(machine["device"]).split()[0] == device:
                    found.append((machine["date"], path))
            except (OSError, ValueError, KeyError, TypeError):
                continue
    return max(found)[1] if found else None


def core_seconds(run: PlannedRun, size: RunSize, rates: Rates) -> float | None:
    """Return the estimate of source 2; None for a model whose work is not counted, or without any rate."""
    training, inference = (rates.of(run.config.model, kind) for kind in ("training", "inference"))
    if size.macs is None or not training or not inference:
        return None
    config = run.config
    an_epoch = size.train * size.macs / training + size.val * size.macs / inference
    times = SYMMETRIES if getattr(config, "tta", False) else 1
    at_the_end = times * size.scene.labelled * size.macs / inference
    return START_CORE_SECONDS + config.epochs * an_epoch + at_the_end


def measured_core_seconds(facts: Facts) -> float:
    """Return what a finished run took, as its folder says."""
    threads = facts["environment"].get("threads") or 1
    cores = threads if facts["device"] == "cpu" else 1
    return START_CORE_SECONDS + cores * sum(facts["seconds"].values())


class Estimator:
    """Knows what the runs of a plan will take, and learns from those that finish.

    Parameters
    ----------
    guesses
        Estimates of source 2 by the runs' keys; None where there is none.
    """

    def __init__(self, guesses: Mapping[str, float | None]) -> None:
        self.guesses = guesses
        self.taken: dict[str, list[float]] = defaultdict(list)  # core-seconds by cell
        self.ratios: list[float] = []

    def learn(self, run: PlannedRun, taken: float) -> None:
        """Take note that a run took so many core-seconds from its beginning to its end."""
        self.taken[run.cell].append(taken)
        guess = self.guesses.get(run.key)
        if guess:
            self.ratios.append(taken / guess)

    def learn_finished(self, plan: Iterable[PlannedRun]) -> None:
        """Take note of the runs of a plan that are finished already."""
        for run in plan:
            if run.state is RunState.DONE:
                self.learn(run, measured_core_seconds(read_facts(run)))

    def core_seconds(self, run: PlannedRun) -> float | None:
        """Return what a run will take from its beginning, or None where nothing is known."""
        if self.taken[run.cell]:
            return statistics.mean(self.taken[run.cell])
        guess = self.guesses.get(run.key)
        if guess is not None:
            return guess * (statistics.median(self.ratios) if self.ratios else 1.0)
        alike = [
            seconds
            for cell, taken in self.taken.items()
            for seconds in taken
            if cell.rpartition("/")[2] == run.model
        ]
        return statistics.mean(alike) if alike else None

    def total(self, runs: Sequence[PlannedRun]) -> float | None:
        """Return the core-seconds of those runs of several that have an estimate; None where none has."""
        known = [seconds for run in runs if (seconds := self.core_seconds(run)) is not None]
        return sum(known) if known or not runs else None
