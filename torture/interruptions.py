"""Commands that are killed or interrupted, at random and at every moment that matters, and gone on with.

``python -m torture.interruptions --verb train --trials 200``: half of the kills come at a random time of the
command, half just before or after one of the calls that change its folder (each in turn; see
`torture.faults`). What goes on is killed again half of the time. In the end the folder must hold what it
holds without any interruption, bit for bit, but for times and memory. With ``--signal INT`` it is Ctrl-C
instead, which must end with status 130 and one sentence that says how to go on.
"""

from __future__ import annotations

import argparse
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from torture import faults
from torture.contents import contents, differences
from torture.forks import Ended, Forked, run_forked
from torture.outcome import Outcome, show
from torture.scenarios import SCENARIOS, Scenario
from torture.warm import warm

SIGNALS = {"KILL": signal.SIGKILL, "INT": signal.SIGINT}
Plan = tuple[int, float, "Callable[[], None] | None"]
"""Variant, seconds until the signal (infinite: none from outside), what is planted in the first process."""


def interruptions(verb: str, trials: int, seed: int = 0, kind: str = "KILL") -> Outcome:
    """Interrupt one verb so many times.

    Parameters
    ----------
    verb
        "train", "map", "download" or "sweep".
    trials
        How many interruptions.
    seed
        Of the moments.
    kind
        "KILL" or "INT".
    """
    outcome = Outcome(
        f"{'kill' if kind == 'KILL' else 'Ctrl-C'} {verb}",
        f"python -m torture.interruptions --verb {verb} --trials {trials} --seed {seed} --signal {kind}",
    )
    random = np.random.default_rng(seed)
    shared = Path(tempfile.mkdtemp(prefix="hsi-torture-"))
    try:
        with SCENARIOS[verb](shared).ready() as scenario:
            for plan in _plans(scenario, trials, random, kind):
                hits, found = _chain(scenario, plan, random, SIGNALS[kind])
                outcome.tried(hits, ["; ".join(dict.fromkeys(found))] if found else [])
                if outcome.trials >= trials:
                    break
    finally:
        shutil.rmtree(shared, ignore_errors=True)
    return outcome


def _plans(scenario: Scenario, trials: int, random: np.random.Generator, kind: str) -> Iterator[Plan]:
    """Yield a moment and a random time in turn, for ever; moments in random order until all were there."""
    do = faults.kill if kind == "KILL" else faults.interrupt
    moments = [
        (variant, number)
        for variant in range(scenario.variants)
        for number in range(count_moments(scenario, variant))
    ]
    while True:
        for index in random.permutation(len(moments)):
            variant, number = moments[index]
            yield variant, float("inf"), faults.at_moment(number, do)
            variant = int(random.integers(scenario.variants))
            yield variant, float(random.uniform(0, 1.05 * scenario.seconds[variant])), None


def count_moments(scenario: Scenario, variant: int) -> int:
    """Return how many moments a command has in which its files change."""
    folder, counter = scenario.folder("counted", variant), scenario.shared / "moments"
    counter.unlink(missing_ok=True)
    run_forked(scenario.command(folder, variant), folder, faults.counting(counter))
    return counter.stat().st_size


def _chain(
    scenario: Scenario, plan: Plan, random: np.random.Generator, number: signal.Signals
) -> tuple[int, list[str]]:
    """Interrupt and go on until a command comes to its end; return the interruptions and what was wrong."""
    variant, delay, prepare = plan
    folder = scenario.folder("trial", variant)
    hits, found = 0, list[str]()
    while True:
        before = _names(folder)
        given = scenario.command(folder, variant)
        ended = _interrupted(Forked(given, folder, prepare), delay, number)
        prepare = None
        hit = ended.status == (-signal.SIGKILL if number == signal.SIGKILL else 130)
        if hit:
            hits += 1
            scenario.after_kill(bool(random.integers(2)))
            found += scenario.check(folder, variant)
            if number == signal.SIGINT:
                found += _ill_said(ended, scenario, folder, variant, before, given)
            delay = float("inf")
            if random.integers(2):
                delay = float(random.uniform(0, scenario.seconds[variant]))
        elif scenario.may_wait(ended):
            time.sleep(0.1)
        elif ended.status != 0:
            return max(hits, 1), [*found, f"status {ended.status}: {ended.sentence}"]
        else:
            break
    try:
        found += differences(contents(folder), scenario.wanted[variant])
    except ValueError as error:
        found.append(str(error))
    return hits, found


def _interrupted(forked: Forked, delay: float, number: signal.Signals) -> Ended:
    end = time.monotonic() + delay
    while forked.poll() is None and time.monotonic() < end:
        time.sleep(min(0.005, max(0.0, end - time.monotonic())))
        if delay == float("inf"):
            return forked.wait()
    forked.send(number)
    return forked.wait()


def _names(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*")}


def _ill_said(
    ended: Ended, scenario: Scenario, folder: Path, variant: int, before: set[str], given: list[str]
) -> list[str]:
    """Hold the words after Ctrl-C against what is there."""
    words = []
    if not ended.sentence.startswith("hsi: Interrupted") or "Traceback" in ended.said:
        words.append(f"Ctrl-C said: {ended.sentence}")
    if "nothing was written" in ended.sentence and _names(folder) != before:
        words.append("Ctrl-C said that nothing was written, but something was")
    onward = scenario.command(folder, variant)
    good = ended.sentence.endswith(f"go on with: hsi {' '.join(onward)}")
    if onward != given and not good and "what is finished is kept" not in ended.sentence:
        words.append(f"Ctrl-C did not say how to go on: {ended.sentence}")
    words += [f"{name} is left by Ctrl-C" for name in _names(folder) - before if name.endswith(".tmp")]
    return words


def main() -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--verb", action="append", choices=list(SCENARIOS), help="default: all of them")
    parser.add_argument("--trials", type=int, default=200, help="interruptions of each verb")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--signal", choices=list(SIGNALS), default="KILL")
    said = parser.parse_args()
    warm()
    verbs = said.verb or list(SCENARIOS)
    return show([interruptions(verb, said.trials, said.seed, said.signal) for verb in verbs])


if __name__ == "__main__":
    sys.exit(main())
