"""Times of several actions, taken in turn so that a change of the machine's mood meets all of them."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

import torch

from hsi.runs.device import synchronise

MOST_ROUNDS = 15
MOST_REPEATS = 5
"""How often at most an action runs in one round: quick actions more often than slow ones."""


def interleave(
    actions: Mapping[str, Callable[[], object]], device: torch.device, *, rounds: int, seconds: float
) -> dict[str, list[float]]:
    """Run all actions in turn, round after round; return the seconds that each run took.

    Parameters
    ----------
    actions
        What to run, by name. Call each once before, so that nothing is measured cold.
    device
        Where the work is done; a GPU is waited for before and after each run.
    rounds, seconds
        At least so many rounds, then more until so many seconds have passed.
    """
    taken: dict[str, list[float]] = {name: [] for name in actions}
    repeats = dict.fromkeys(actions, 1)
    started = time.perf_counter()
    for done in range(1, max(rounds, MOST_ROUNDS) + 1):
        for name, action in actions.items():
            taken[name].extend(_time(action, device) for _ in range(repeats[name]))
        if done >= rounds and time.perf_counter() - started > seconds:
            break
        slowest = max(times[-1] for times in taken.values())
        for name, times in taken.items():
            repeats[name] = max(1, min(MOST_REPEATS, int(slowest / max(times[-1], 1e-9))))
    return taken


def summary(samples: list[float]) -> dict[str, Any]:
    """Return median, smallest and largest of the samples, and the samples."""
    return {
        "median": statistics.median(samples),
        "min": min(samples),
        "max": max(samples),
        "samples": [float(f"{sample:.4g}") for sample in samples],
    }


def _time(action: Callable[[], object], device: torch.device) -> float:
    synchronise(device)
    started = time.perf_counter()
    action()
    synchronise(device)
    return time.perf_counter() - started
