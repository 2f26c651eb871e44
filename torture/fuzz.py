"""Fuzzing: every reader and every configuration gets damaged input, and must raise a typed error.

.. code-block:: sh

    python -m torture.fuzz --trials 200000
    python -m torture.fuzz --trials 5000 --only envi --seed 7 --keep found/

Each input is a valid file with random damage; it depends only on the seed, the target and its number, so any
input can be reproduced. A failure is when reading raises anything but the types of `hsi.errors`, takes longer
than 5 s or more memory than a bound, or ends the process.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import shutil
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path

from torture.fuzz_targets import Target, make_targets
from torture.fuzz_worker import MAX_SECONDS, Failure, damaged, scratch, work, write_files

_KILL_AFTER_S = 4 * MAX_SECONDS  # for the alarm, which waits for native code to return
_START_TIMEOUT_S = 180

Job = tuple[str, int, int]


@dataclass
class TargetOutcome:
    """Counts and failures of one target."""

    trials: int = 0
    accepted: int = 0
    seconds: float = 0.0
    failures: list[Failure] = field(default_factory=list)


Progress = Callable[[str, TargetOutcome], object]


def fuzz(
    trials: Mapping[str, int], seed: int, runs: Path, progress: Progress = lambda name, one: None
) -> dict[str, TargetOutcome]:
    """Read so many inputs of each target in a child process, which is replaced when an input ends it.

    `progress` is called after each target; `runs` is a folder for the run that `make_targets` trains.
    """
    outcomes = {name: TargetOutcome() for name in trials}
    jobs = [(name, 0, count) for name, count in trials.items()]
    while jobs:
        jobs = _one_process(jobs, seed, runs, outcomes, progress)
    return outcomes


def _one_process(
    jobs: list[Job], seed: int, runs: Path, outcomes: dict[str, TargetOutcome], progress: Progress
) -> list[Job]:
    """Run jobs in one process until it ends or has to be killed; return the remaining jobs."""
    context = multiprocessing.get_context("spawn")
    position = context.Array("q", [-1, -1, 0, 0])
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=work, args=(jobs, seed, runs, position, theirs))
    process.start()
    theirs.close()
    began, done, why = time.monotonic(), -1, ""
    while done + 1 < len(jobs) and not why:
        received = _receive(ours)
        if isinstance(received, Failure):
            outcomes[received.target].failures.append(received)
            if received.kind == "resident":
                why = "stopped"  # a fresh process, since this one's peak memory hides that of the next inputs
        elif isinstance(received, tuple):
            done, accepted, seconds = received
            name, _, stop = jobs[done]
            one = outcomes[name]
            one.trials, one.accepted, one.seconds = stop, one.accepted + accepted, one.seconds + seconds
            progress(name, one)
        elif received is EOFError:
            why = "died"
        elif position[0] < 0 and time.monotonic() - began > _START_TIMEOUT_S:
            why = "never began"
        elif position[0] >= 0 and time.monotonic() - position[2] > _KILL_AFTER_S:
            why = "hangs"
    if why not in ("", "died"):
        process.kill()
    process.join()
    if not why:
        return []
    number, index = position[0], position[1]
    if number < 0:
        raise RuntimeError(f"the process that reads did not start ({why}, exit {process.exitcode})")
    name, _, stop = jobs[number]
    outcomes[name].accepted += position[3] if done < number else 0
    if why == "stopped":
        index = outcomes[name].failures[-1].index
    elif done < number:
        text = "native code did not return" if why == "hangs" else f"the process ended, {process.exitcode}"
        outcomes[name].failures.append(Failure(name, index, "process", text, text))
    return [(name, index + 1, stop), *jobs[number + 1 :]]


def _receive(pipe: Connection) -> object:
    """Return what a process sent, None after a second without anything, or `EOFError` where it has ended."""
    try:
        return pipe.recv() if pipe.poll(1.0) else None
    except EOFError:
        return EOFError


def keep_inputs(target: Target, seed: int, failures: list[Failure], folder: Path) -> None:
    """Write one input of each kind of failure into a folder of its own."""
    seen: set[str] = set()
    for failure in failures:
        if failure.where + failure.kind in seen:
            continue
        seen.add(failure.where + failure.kind)
        here = folder / f"{target.name}-{failure.index}"
        here.mkdir(parents=True, exist_ok=True)
        write_files(here, {**target.beside, **damaged(target, seed, failure.index)})
        (here / "FAILURE.txt").write_text(f"{failure}\n", encoding="utf-8")


def _show(name: str, one: TargetOutcome) -> None:
    """Print a target's row and its kinds of failure."""
    print(f"{name:18}{one.trials:9}{one.accepted:9}{len(one.failures):10}{one.seconds:8.0f}", file=sys.stderr)
    kinds = Counter(f"{failure.kind}: {failure.where}" for failure in one.failures)
    for kind, count in kinds.most_common():
        example = next(f for f in one.failures if f"{f.kind}: {f.where}" == kind)
        print(f"    {count} x {kind}; first: {example.index}: {example.message}", file=sys.stderr)


def main(arguments: list[str] | None = None) -> int:
    """Run from the command line; the exit status is 1 where something failed."""
    parser = argparse.ArgumentParser(prog="python -m torture.fuzz", description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=2000, help="inputs in all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", action="append", help="a target; can be repeated")
    parser.add_argument("--keep", type=Path, help="folder for one input of each kind of failure")
    options = parser.parse_args(arguments)

    runs = scratch()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    try:
        targets = make_targets(runs)
        known = {target.name: target for target in targets}
        for name in options.only or ():
            if name not in known:
                parser.error(f"there is no target '{name}'; known: {', '.join(known)}")
        chosen = [target for target in targets if not options.only or target.name in options.only]
        share = options.trials / sum(target.weight for target in chosen)
        started = time.perf_counter()
        print(f"{'target':18}{'inputs':>9}{'read':>9}{'failures':>10}{'s':>8}", file=sys.stderr)
        trials = {target.name: max(1, round(share * target.weight)) for target in chosen}
        found = fuzz(trials, options.seed, runs, _show)
        if options.keep is not None:
            for name, one in found.items():
                keep_inputs(known[name], options.seed, one.failures, options.keep)
    finally:
        shutil.rmtree(runs, ignore_errors=True)
    command = " ".join(["python -m torture.fuzz", *(arguments if arguments is not None else sys.argv[1:])])
    failures = sum(len(one.failures) for one in found.values())
    outcome = {
        "what": "fuzzing",
        "command": command,
        "trials": sum(one.trials for one in found.values()),
        "failures": failures,
        "seconds": round(time.perf_counter() - started, 1),
        "by_target": {
            name: {"trials": one.trials, "failures": len(one.failures)} for name, one in found.items()
        },
    }
    print(json.dumps(outcome))
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
