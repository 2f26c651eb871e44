"""Fuzzing: every reader and every configuration gets damaged input, and must answer with a typed error.

.. code-block:: sh

    python -m torture.fuzz --trials 200000
    python -m torture.fuzz --trials 5000 --only envi --seed 7 --keep found/

Each input is made from a sound file by random damage; it depends on the seed, the target and its number only,
so that any can be made again. It counts as a failure when reading raises anything but the types of
`hsi.errors`, takes longer than 5 s, takes more memory than a bound, or ends the process.
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
from torture.fuzz_worker import MOST_SECONDS, Failure, damaged, put, scratch, work

_PATIENCE = 4 * MOST_SECONDS  # for the alarm, which waits for native code to return
_STARTING = 180  # seconds

TrainingContext = tuple[str, int, int]


@dataclass
class Outcome:
    """What came of the inputs of one target."""

    trials: int = 0
    taken: int = 0
    seconds: float = 0.0
    failures: list[Failure] = field(default_factory=list)


Told = Callable[[str, Outcome], object]


def fuzz(
    trials: Mapping[str, int], seed: int, runs: Path, told: Told = lambda name, one: None
) -> dict[str, Outcome]:
    """Read so many inputs of each target in a process of its own, started anew where one ends it.

    `told` hears of each target that is finished. `runs` is a folder for what `make_targets` trains.
    """
    outcomes = {name: Outcome() for name in trials}
    jobs = [(name, 0, count) for name, count in trials.items()]
    while jobs:
        jobs = _one_process(jobs, seed, runs, outcomes, told)
    return outcomes


def _one_process(
    jobs: list[TrainingContext], seed: int, runs: Path, outcomes: dict[str, Outcome], told: Told
) -> list[TrainingContext]:
    """Let a process do jobs until it ends or has to be ended; return what is left of them."""
    context = multiprocessing.get_context("spawn")
    place = context.Array("q", [-1, -1, 0, 0])
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=work, args=(jobs, seed, runs, place, theirs))
    process.start()
    theirs.close()
    began, done, why = time.monotonic(), -1, ""
    while done + 1 < len(jobs) and not why:
        heard = _hear(ours)
        if isinstance(heard, Failure):
            outcomes[heard.target].failures.append(heard)
            if heard.kind == "resident":
                why = "stopped"  # a fresh process, so that the next one is measured rightly
        elif isinstance(heard, tuple):
            done, taken, seconds = heard
            name, _, stop = jobs[done]
            one = outcomes[name]
            one.trials, one.taken, one.seconds = stop, one.taken + taken, one.seconds + seconds
            told(name, one)
        elif heard is EOFError:
            why = "died"
        elif place[0] < 0 and time.monotonic() - began > _STARTING:
            why = "never began"
        elif place[0] >= 0 and time.monotonic() - place[2] > _PATIENCE:
            why = "hangs"
    if why not in ("", "died"):
        process.kill()
    process.join()
    if not why:
        return []
    number, index = place[0], place[1]
    if number < 0:
        raise RuntimeError(f"the process that reads did not start ({why}, exit {process.exitcode})")
    name, _, stop = jobs[number]
    outcomes[name].taken += place[3] if done < number else 0
    if why == "stopped":
        index = outcomes[name].failures[-1].index
    elif done < number:
        words = "native code did not return" if why == "hangs" else f"the process ended, {process.exitcode}"
        outcomes[name].failures.append(Failure(name, index, "process", words, words))
    return [(name, index + 1, stop), *jobs[number + 1 :]]


def _hear(pipe: Connection) -> object:
    """Return what a process says, None where it is silent for a second, or `EOFError` where it is gone."""
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
        put(here, {**target.beside, **damaged(target, seed, failure.index)})
        (here / "FAILURE.txt").write_text(f"{failure}\n", encoding="utf-8")


def _show(name: str, one: Outcome) -> None:
    """Print the row of a target, and its kinds of failure."""
    print(f"{name:18}{one.trials:9}{one.taken:9}{len(one.failures):10}{one.seconds:8.0f}", file=sys.stderr)
    kinds = Counter(f"{failure.kind}: {failure.where}" for failure in one.failures)
    for kind, count in kinds.most_common():
        example = next(f for f in one.failures if f"{f.kind}: {f.where}" == kind)
        print(f"    {count} x {kind}; first: {example.index}: {example.message}", file=sys.stderr)


def main(arguments: list[str] | None = None) -> int:
    """Run from the command line; the exit status is 1 where something failed."""
    parser = argparse.ArgumentParser(prog="python -m torture.fuzz", description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=2000, help="inputs in all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", action="append", help="a target; may be given several times")
    parser.add_argument("--keep", type=Path, help="folder for one input of each kind of failure")
    given = parser.parse_args(arguments)

    runs = scratch()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    try:
        targets = make_targets(runs)
        known = {target.name: target for target in targets}
        for name in given.only or ():
            if name not in known:
                parser.error(f"there is no target '{name}'; known: {', '.join(known)}")
        chosen = [target for target in targets if not given.only or target.name in given.only]
        share = given.trials / sum(target.weight for target in chosen)
        started = time.perf_counter()
        print(f"{'target':18}{'inputs':>9}{'read':>9}{'failures':>10}{'s':>8}", file=sys.stderr)
        trials = {target.name: max(1, round(share * target.weight)) for target in chosen}
        found = fuzz(trials, given.seed, runs, _show)
        if given.keep is not None:
            for name, one in found.items():
                keep_inputs(known[name], given.seed, one.failures, given.keep)
    finally:
        shutil.rmtree(runs, ignore_errors=True)
    words = " ".join(["python -m torture.fuzz", *(arguments if arguments is not None else sys.argv[1:])])
    failures = sum(len(one.failures) for one in found.values())
    print(
        json.dumps(
            {
                "what": "fuzzing",
                "command": words,
                "trials": sum(one.trials for one in found.values()),
                "failures": failures,
                "seconds": round(time.perf_counter() - started, 1),
                "by_target": {
                    name: {"trials": one.trials, "failures": len(one.failures)} for name, one in found.items()
                },
            }
        )
    )
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
