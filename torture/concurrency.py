"""Two processes on one run folder, map, scene or sweep: the second is refused, the first comes to its end.

``python -m torture.concurrency --trials 50``: a first process is stopped at one of the moments at which its
files change (see `torture.faults`), a second one gets the same command (half of the time both go on with a
run that was killed), then the first goes on. Every third time both just start together. While the first holds
its lock and is not done the second must end with status 2 and one sentence; never may both fail, and the
folder must hold what one process alone makes.
"""

from __future__ import annotations

import argparse
import fcntl
import shutil
import signal
import sys
import tempfile
from pathlib import Path

import numpy as np

from torture import faults
from torture.contents import contents, differences
from torture.forks import Ended, Forked, run_forked
from torture.interruptions import count_moments
from torture.outcome import Outcome, show
from torture.scenarios import SCENARIOS, Scenario
from torture.warm import warm


def concurrency(verb: str, trials: int, seed: int = 0) -> Outcome:
    """Let two processes of one verb meet so many times."""
    again = f"python -m torture.concurrency --verb {verb} --trials {trials} --seed {seed}"
    outcome, random = Outcome(f"two at once, {verb}", again), np.random.default_rng(seed)
    shared = Path(tempfile.mkdtemp(prefix="hsi-torture-"))
    try:
        with SCENARIOS[verb](shared).ready() as scenario:
            counts = [count_moments(scenario, variant) for variant in range(scenario.variants)]
            for trial in range(trials):
                variant = trial % scenario.variants
                found = _meet(scenario, variant, int(random.integers(counts[variant])), trial, random)
                outcome.tried(1, ["; ".join(found)] if found else [])
    finally:
        shutil.rmtree(shared, ignore_errors=True)
    return outcome


def _meet(
    scenario: Scenario, variant: int, moment: int, trial: int, random: np.random.Generator
) -> list[str]:
    """Let two processes meet; return what was wrong."""
    folder = scenario.folder("trial", variant)
    if trial % 2:  # what they meet on was begun and killed
        earlier = faults.at_moment(int(random.integers(moment + 1)), faults.kill)
        run_forked(scenario.command(folder, variant), folder, earlier)
        scenario.after_kill(True)
    command = scenario.command(folder, variant)
    together = trial % 3 == 2
    first = Forked(command, folder, None if together else faults.at_moment(moment, faults.stop))
    holds = False
    if not together and first.wait_until_stopped():
        locks = [path for path in folder.rglob("*.lock") if scenario.forbids(path, variant)]
        holds = any(_is_held(path) for path in locks) and not _is_complete(folder, scenario.wanted[variant])
    second = Forked(command, folder)
    if not together:
        seconds = second.wait()
        first.send(signal.SIGCONT)
    firsts, seconds = first.wait(), second.wait()
    words = [*_ill_ended("the first", firsts), *_ill_ended("the second", seconds)]
    if holds and seconds.status != 2:
        words.append(f"the second was not refused: status {seconds.status}")
    if firsts.status and seconds.status:
        words.append(f"both ended with status {firsts.status} and {seconds.status}")
    return words + differences(contents(folder), scenario.wanted[variant])


def _is_complete(folder: Path, wanted: dict[str, object]) -> bool:
    """Whether all is there that is wanted, so that a second process is right to find nothing to do."""
    try:
        return all(words.endswith("is left over") for words in differences(contents(folder), wanted))
    except ValueError:  # half a temporary file
        return False


def _is_held(path: Path) -> bool:
    """Whether a process holds a lock file; it may be there and not be held yet, or no more."""
    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def _ill_ended(which: str, ended: Ended) -> list[str]:
    refused = ended.status == 2 and ended.sentence.startswith("hsi: ") and "Traceback" not in ended.said
    return [] if refused or ended.status == 0 else [f"{which}: status {ended.status}: {ended.sentence}"]


def main() -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--verb", action="append", choices=list(SCENARIOS), help="default: all of them")
    parser.add_argument("--trials", type=int, default=50, help="of each verb")
    parser.add_argument("--seed", type=int, default=0)
    said = parser.parse_args()
    warm()
    return show([concurrency(verb, said.trials, said.seed) for verb in said.verb or list(SCENARIOS)])


if __name__ == "__main__":
    sys.exit(main())
