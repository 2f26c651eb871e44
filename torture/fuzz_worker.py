"""Reads damaged files under limits of time and memory, in a process that may die of it."""

from __future__ import annotations

import os
import random
import resource
import shutil
import signal
import tempfile
import time
import traceback
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from torture.fuzz_mutate import Packed, mutate
from torture.fuzz_targets import Target, make_targets

MAX_SECONDS = 5.0
MAX_BYTES = 512 << 20
"""Address space that reading may add; the files are smaller than 100 kB."""
MAX_RESIDENT = 200 << 20


class TooSlow(BaseException):
    """Raised by the alarm; a BaseException, so that no reader takes it for a damaged file."""


@dataclass(frozen=True)
class Failure:
    """An input that did not raise a typed error in time; `where` groups similar failures."""

    target: str
    index: int
    kind: str
    where: str
    message: str


def scratch() -> Path:
    """Return a new folder for damaged files, in memory if possible."""
    return Path(tempfile.mkdtemp(prefix="hsi-fuzz-", dir="/dev/shm" if os.path.isdir("/dev/shm") else None))


def damaged(target: Target, seed: int, index: int) -> dict[str, bytes]:
    """Return the files of one input; it depends on the three arguments only."""
    chance = random.Random(f"{seed}/{target.name}/{index}")
    chosen = chance.choice(target.seeds)
    hit = {chance.choice(sorted(chosen))}
    if chance.random() < 0.1:
        hit.add(chance.choice(sorted(chosen)))
    files: dict[str, bytes] = {}
    for name, content in chosen.items():
        if name in hit:
            others = [plain(seeds[name]) for seeds in target.seeds if name in seeds]
            files[name] = mutate(content, chance, others)
        else:
            files[name] = plain(content)
    return files


def plain(content: bytes | Packed) -> bytes:
    """Return the undamaged bytes of a file."""
    return content if isinstance(content, bytes) else content.pack(content.parts)


def write_files(folder: Path, files: dict[str, bytes]) -> None:
    """Replace the files of a folder by new ones, without writing into files that may still be mapped."""
    for name in os.listdir(folder):
        path = folder / name
        if path.is_dir():
            shutil.rmtree(path)
        elif name not in files:
            path.unlink()
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        path.write_bytes(content)


def judge(target: Target, folder: Path, index: int) -> tuple[bool, Failure | None]:
    """Read the files of a folder; return whether they were accepted, and the failure."""
    from hsi.errors import HsiError

    def failed(kind: str, error: BaseException | None = None, message: str = "") -> Failure:
        where = ""
        if error is not None:
            frames = list(traceback.extract_tb(error.__traceback__))
            ours = [frame for frame in frames if "/hsi/" in frame.filename] or frames[-1:]
            last = ours[-1]
            where = f"{type(error).__name__} at {Path(last.filename).name}:{last.lineno} {last.name}"
            message = " ".join(str(error).split())[:200]
        return Failure(target.name, index, kind, where, message)

    resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.perf_counter()
    accepted = False
    signal.setitimer(signal.ITIMER_REAL, MAX_SECONDS)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            target.read(folder)
        accepted = True
    except HsiError as error:
        cause: BaseException | None = error
        while cause is not None:
            if isinstance(cause, MemoryError):
                return False, failed("memory", cause)
            cause = cause.__context__
    except TooSlow as error:
        return False, failed("time", error)
    except MemoryError as error:
        return False, failed("memory", error)
    except BaseException as error:
        return False, failed("untyped", error)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    if time.perf_counter() - started > MAX_SECONDS:
        return accepted, failed("time", message=f"{time.perf_counter() - started:.1f} s")
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - resident) * 1024
    if grown > MAX_RESIDENT:
        return accepted, failed("resident", message=f"{grown >> 20} MiB more in memory")
    return accepted, None


def limit_this_process() -> None:
    """Limit the memory that may be added, and make the alarm raise `TooSlow`."""

    def alarm(number: int, frame: Any) -> None:
        raise TooSlow

    signal.signal(signal.SIGALRM, alarm)
    with open("/proc/self/statm", encoding="ascii") as file:
        now = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (now + MAX_BYTES, resource.RLIM_INFINITY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def work(jobs: list[tuple[str, int, int]], seed: int, runs: Path, position: Any, pipe: Connection) -> None:
    """Read the inputs of each job.

    Parameters
    ----------
    jobs
        Name of the target, first input, end of the range of inputs.
    seed, runs
        See `damaged`, and `torture.fuzz_targets.make_targets`.
    position
        Shared: number of the job, of the input, start of its reading (monotonic seconds), inputs accepted.
    pipe
        Gets each failure, and for each finished job ``(number of the job, inputs accepted, seconds)``.
    """
    targets = {target.name: target for target in make_targets(runs, {name for name, _, _ in jobs})}
    folder = scratch()
    os.chdir(folder)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # native libraries print to it
    for name, _, _ in jobs:  # imports what reading needs, before memory is limited
        for files in undamaged(targets[name]):
            write_files(folder, files)
            targets[name].read(folder)
    limit_this_process()
    try:
        for number, (name, start, stop) in enumerate(jobs):
            target, accepted, began = targets[name], 0, time.perf_counter()
            for index in range(start, stop):
                position[:] = [number, index, int(time.monotonic()), accepted]
                write_files(folder, {**target.beside, **damaged(target, seed, index)})
                ok, failure = judge(target, folder, index)
                accepted += ok
                if failure is not None:
                    pipe.send(failure)
            pipe.send((number, accepted, time.perf_counter() - began))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def undamaged(target: Target) -> Iterator[dict[str, bytes]]:
    """Yield each set of a target's files, undamaged."""
    for seeds in target.seeds:
        yield {**target.beside, **{name: plain(content) for name, content in seeds.items()}}
