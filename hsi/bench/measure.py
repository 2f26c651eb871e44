"""A function in a fresh process of its own, so that nothing done before is in its memory.

How much memory an action needs beyond what is there before it.

Times of several actions, taken in turn so that a change of the machine's mood meets all of them.
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

    Function and arguments must be picklable. A process dies, for one, when the system runs out of memory.

    Raises
    ------
    Exception
        What the function raised.
    """
    methods = multiprocessing.get_all_start_methods()
    # A fork server imports this package once and forks from there: quicker than a new interpreter each time.
    context: Any = multiprocessing.get_context("forkserver" if "forkserver" in methods else "spawn")
    if "forkserver" in methods:
        context.set_forkserver_preload(["hsi.models", "hsi.bench.cases"])
    here, there = context.Pipe(duplex=False)
    process = context.Process(target=_answer, args=(there, function, arguments), daemon=True)
    process.start()
    there.close()
    try:
        result, error = here.recv()
    except EOFError:
        return None
    finally:
        here.close()
        process.join()
    if error is not None:
        raise error
    value: Result = result
    return value


def _answer(pipe: Connection, function: Callable[..., object], arguments: tuple[object, ...]) -> None:
    try:
        answer: tuple[object, Exception | None] = (function(*arguments), None)
    except Exception as error:  # whatever it is, the parent raises it
        answer = (None, error)
    pipe.send(answer)
    pipe.close()


STATUS = Path("/proc/self/status")
CLEAR = Path("/proc/self/clear_refs")


def peak_growth(action: Callable[[], object], device: torch.device) -> int | None:
    """Run an action once; return the growth of this process's peak memory, in bytes.

    On a CPU that is resident memory, so call it once in a process of its own: memory that was used and freed
    before may be used again without any growth. On a CUDA GPU it is what PyTorch has allocated there. None
    where the system does not tell.
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
    """Set Linux's peak of this process back to what is resident now; tell whether that worked."""
    try:
        CLEAR.write_text("5", encoding="ascii")
    except OSError:
        return False
    return True


def _peak() -> int | None:
    """Peak resident memory in bytes. Linux's ``ru_maxrss`` would include the parent's before ``exec``."""
    in_status = _resident("VmHWM")
    if in_status is not None:
        return in_status
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _resident(field: str) -> int | None:
    """Return one field of Linux's process status, in bytes."""
    try:
        lines = STATUS.read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(field + ":")), None)


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
