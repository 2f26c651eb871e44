"""Two processes on one run folder, map, scene or sweep: the second is refused, the first finishes.

``python -m torture.concurrency --trials 50``: a first process is stopped at one of the moments at which its
files change (see `torture.faults`), a second one gets the same command, then the first continues. Half of the
time both resume a run that was killed; every third time both just start together. While the first holds its
lock and is not done, the second must end with exit status 2 and one sentence. Both must never fail, and the
folder must hold what one process alone makes.
"""

from __future__ import annotations

import fcntl
import signal
import sys
from pathlib import Path

import numpy as np

from torture import faults
from torture.command import open_scenario, run_part
from torture.contents import contents, differences
from torture.forks import ForkedCommand, Result, run_forked
from torture.outcome import Outcome
from torture.scenarios import Scenario, count_moments


def concurrency(verb: str, trials: int, seed: int = 0) -> Outcome:
    """Start two processes of one verb so many times."""
    again = f"python -m torture.concurrency --verb {verb} --trials {trials} --seed {seed}"
    outcome, random = Outcome(f"two at once, {verb}", again), np.random.default_rng(seed)
    with open_scenario(verb) as scenario:
        counts = [count_moments(scenario, variant) for variant in range(scenario.variants)]
        for trial in range(trials):
            variant = trial % scenario.variants
            found = _two_at_once(scenario, variant, int(random.integers(counts[variant])), trial, random)
            outcome.tried(1, ["; ".join(found)] if found else [])
    return outcome


def _two_at_once(
    scenario: Scenario, variant: int, moment: int, trial: int, random: np.random.Generator
) -> list[str]:
    """Start two processes; return the problems."""
    folder, expected = scenario.folder("trial", variant), scenario.expected[variant]
    if trial % 2:  # both find what a killed command left
        earlier = faults.at_moment(int(random.integers(moment + 1)), faults.kill)
        run_forked(scenario.command(folder, variant), folder, earlier)
        scenario.after_kill(True)
    command = scenario.command(folder, variant)
    together = trial % 3 == 2
    first = ForkedCommand(command, folder, None if together else faults.at_moment(moment, faults.stop))
    holds = False
    if not together and first.wait_until_stopped():
        locks = [path for path in folder.rglob("*.lock") if scenario.must_refuse(path, variant)]
        holds = any(_is_locked(path) for path in locks) and not _is_complete(folder, expected)
    second = ForkedCommand(command, folder)
    if not together:
        second.wait()
        first.send(signal.SIGCONT)
    results = {"first": first.wait(), "second": second.wait()}
    problems = [problem for which, result in results.items() for problem in _problems_of(which, result)]
    statuses = [result.status for result in results.values()]
    if holds and statuses[1] != 2:
        problems.append(f"the second was not refused: status {statuses[1]}")
    if all(statuses):
        problems.append(f"both ended with status {statuses[0]} and {statuses[1]}")
    return problems + differences(contents(folder), expected)


def _is_complete(folder: Path, expected: dict[str, object]) -> bool:
    """Whether all expected files are there, so that a second process rightly finds nothing to do."""
    try:
        return all(problem.endswith("is left over") for problem in differences(contents(folder), expected))
    except ValueError:  # half a temporary file
        return False


def _is_locked(path: Path) -> bool:
    """Whether a process holds this lock file, which may exist without being held."""
    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def _problems_of(which: str, result: Result) -> list[str]:
    message = result.last_line
    refused = result.status == 2 and message.startswith("hsi: ") and "Traceback" not in result.output
    return [] if refused or result.status == 0 else [f"the {which}: status {result.status}: {message}"]


if __name__ == "__main__":
    sys.exit(run_part(__doc__, 50, lambda verb, options: [concurrency(verb, options.trials, options.seed)]))
