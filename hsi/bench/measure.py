"""Time and peak memory of functions.

Times are taken in turn (`interleave`), so that a change of the machine's speed affects all actions alike.
Peak memory is measured in a fresh process, whose allocator holds nothing to reuse.
"""

from __future__ import annotations

import multiprocessing
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, TypeVar

import torch

from hsi.models.device import synchronise

Result = TypeVar("Result")


def in_own_process(function: Callable[..., Result], *arguments: object) -> Result | None:
    """Return ``function(*arguments)``, computed in a new process; None when that process dies.

    Function and arguments must be picklable. An exception of the function is raised here. A process dies, for
    example, when the system runs out of memory.
    """
    methods = multiprocessing.get_all_start_methods()
    # A fork server imports this package once: quicker than a new interpreter each time.
    context: Any = multiprocessing.get_context("forkserver" if "forkserver" in methods else "spawn")
    if "forkserver" in methods:
        context.set_forkserver_preload(["hsi.models", "hsi.bench.cases"])
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_send_result, args=(sender, function, arguments), daemon=True)
    process.start()
    sender.close()
    try:
        result, error = receiver.recv()
    except EOFError:
        return None
    finally:
        receiver.close()
        process.join()
    if error is not None:
        raise error
    value: Result = result
    return value


def _send_result(pipe: Connection, function: Callable[..., object], arguments: tuple[object, ...]) -> None:
    try:
        result: tuple[object, Exception | None] = (function(*arguments), None)
    except Exception as error:  # whatever it is, the parent raises it
        result = (None, error)
    pipe.send(result)
    pipe.close()


def peak_growth(action: Callable[[], object], device: torch.device) -> int | None:
    """Run an action once; return the growth of this process's peak memory, in bytes.

    On a CPU this is resident memory, so call it once in a process of its own: memory that was freed before
    may be reused without any growth. On a CUDA GPU it is what PyTorch allocated. None where it is unknown.
    """
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        action()
        torch.cuda.synchronize(device)
        return torch.cuda.max_memory_allocated(device) - before
    if device.type != "cpu":
        return None
    start = _resident("VmRSS") if _reset_peak() else _peak()
    action()
    end = _peak()
    return None if start is None or end is None else max(0, end - start)


def _reset_peak() -> bool:
    """Reset Linux's peak of this process to what is resident now; return whether that worked."""
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    except OSError:
        return False
    return True


def _peak() -> int | None:
    """Return peak resident bytes; Linux's ``ru_maxrss`` would include the parent's before ``exec``."""
    if (peak := _resident("VmHWM")) is not None:
        return peak
    if sys.platform == "win32":  # it does not tell that way
        return None
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _resident(field: str) -> int | None:
    """Return one field of Linux's process status, in bytes."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(field + ":")), None)


MAX_ROUNDS = 15
MAX_REPEATS = 5
"""Repeats of a quick action in one round, for one of a slow action."""


def interleave(
    actions: Mapping[str, Callable[[], object]], device: torch.device, *, rounds: int, seconds: float
) -> dict[str, list[float]]:
    """Run all actions in turn, round after round; return the seconds that each run took.

    Parameters
    ----------
    actions
        What to run, by name; call each once before, to warm up.
    device
        Synchronised before and after each run.
    rounds, seconds
        Least number of rounds and least time; at most `MAX_ROUNDS`, unless `rounds` is larger.
    """
    taken: dict[str, list[float]] = {name: [] for name in actions}
    repeats = dict.fromkeys(actions, 1)
    started = time.perf_counter()
    for done in range(1, max(rounds, MAX_ROUNDS) + 1):
        for name, action in actions.items():
            taken[name].extend(_time(action, device) for _ in range(repeats[name]))
        if done >= rounds and time.perf_counter() - started > seconds:
            break
        slowest = max(times[-1] for times in taken.values())
        for name, times in taken.items():
            repeats[name] = max(1, min(MAX_REPEATS, int(slowest / max(times[-1], 1e-9))))
    return taken


def summarise(samples: list[float]) -> dict[str, Any]:
    """Return median, minimum and maximum of the samples, and the samples."""
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
