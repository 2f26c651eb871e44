"""The cores of a CPU that are free for this process, and how PyTorch's threads wait on those that are not.

PyTorch's threads meet after each of the thousands of short operations of a training step, and spin while
they wait. On a quiet machine that is fastest. Beside a busy process the thread that all wait for has lost its
core, and a training takes many times as long. Threads that sleep lose a fifth there, but on a quiet machine
half of the speed. The number of threads cannot follow the load, since the last bits of results depend on it;
how they wait changes nothing.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch

INTERVAL = 0.25
"""Seconds between two looks at the machine."""
BUSY, QUIET = 0.3, 0.1
"""Cores that these threads need and others use: above the first they sleep, below the second they spin."""
_GRAIN = 1 << 15  # elements that PyTorch gives a thread


def available_cores() -> int:
    """Return the number of cores that this process may use, within its affinity and its container's quota."""
    from joblib import cpu_count  # knows both; takes a while to import

    return int(cpu_count())


@contextlib.contextmanager
def shared_cores(message: Callable[[str], None] = lambda _: None) -> Iterator[None]:
    """Within it PyTorch uses no more threads than there are cores; they sleep where others need a core.

    `message` is called with a sentence the first time that they do, in another thread. Only GNU's OpenMP,
    that of PyTorch on Linux, can be told so; elsewhere threads wait as ever.
    """
    before = torch.get_num_threads()
    allowed = min(before, available_cores())
    if allowed < before:
        torch.set_num_threads(allowed)
    try:
        with _watched(message, allowed) if _can_sleep(allowed) else contextlib.nullcontext():
            yield
    finally:
        if allowed < before:
            torch.set_num_threads(before)


def _can_sleep(threads: int) -> bool:
    """Tell whether threads wait for each other, in GNU's OpenMP with its own rules for waiting."""
    told = os.environ.get("OMP_WAIT_POLICY") or os.environ.get("GOMP_SPINCOUNT")
    gnu = sys.platform == "linux" and "OpenMP" in torch.__config__.parallel_info()
    return threads > 1 and gnu and not told and not _watching.locked() and cores_used_by_others() is not None


_watching = threading.Lock()
"""Held while one context watches for all of the process."""


@contextlib.contextmanager
def _watched(message: Callable[[str], None], threads: int) -> Iterator[None]:
    with _watching:
        end = threading.Event()
        watcher = threading.Thread(target=_watch, args=(end, message, threads), daemon=True)
        watcher.start()
        try:
            yield
        finally:
            end.set()
            watcher.join()


def _watch(end: threading.Event, message: Callable[[str], None], threads: int) -> None:
    spare = len(_own_cores()) - threads
    crowd: _Crowd | None = None
    said = False
    earlier = cores_used_by_others()
    while not end.wait(INTERVAL):
        now = cores_used_by_others()
        if earlier is None or now is None:
            continue
        others = (now[0] - earlier[0]) / max(now[1] - earlier[1], 1e-3) - spare
        earlier = now
        if crowd is None and others > BUSY:
            crowd = _Crowd(spare + 2)
            if not said:
                message(
                    "Other processes use this machine's cores; threads that wait sleep meanwhile, which "
                    "changes no result."
                )
                said = True
        elif crowd is not None and others < QUIET:
            crowd.leave()
            crowd = None
    if crowd is not None:
        crowd.leave()


def cores_used_by_others() -> tuple[float, float] | None:
    """Return the seconds that other processes have used this one's cores, and the time; None if unknown.

    The first counts from the start of the machine; its growth over that of the time is a number of cores.
    """
    if sys.platform != "linux":
        return None
    try:
        lines = Path("/proc/stat").read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    own = {f"cpu{core}" for core in _own_cores()}
    times = [[int(ticks) for ticks in line.split()[1:9]] for line in lines if line.split(" ")[0] in own]
    # user, nice, system, idle, iowait, irq, softirq, steal
    ticks = sum(user + nice + system + irq + soft for user, nice, system, _, _, irq, soft, _ in times)
    return ticks / os.sysconf("SC_CLK_TCK") - time.process_time(), time.monotonic()


def _own_cores() -> set[int]:
    if sys.platform == "linux":
        return os.sched_getaffinity(0)
    return set()


class _Crowd:
    """Sleeping OpenMP threads, as many as make more than there are cores.

    GNU's OpenMP then lets all waiting threads of the process spin for a hundred rounds, not for 300,000, and
    sleep (GNU OpenMP, "GOMP_SPINCOUNT"). They belong to a Python thread, and end with it.
    """

    def __init__(self, size: int) -> None:
        self._left, gathered = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._stay, args=(size, gathered), daemon=True)
        self._thread.start()
        gathered.wait()

    def _stay(self, size: int, gathered: threading.Event) -> None:
        threads = torch.get_num_threads()
        try:
            torch.set_num_threads(size)  # of this thread, and of those that first use PyTorch from now on
            torch.empty(size * _GRAIN).fill_(0)
        finally:
            torch.set_num_threads(threads)
            gathered.set()
        self._left.wait()

    def leave(self) -> None:
        """End the crowd."""
        self._left.set()
        self._thread.join()
