"""Commands that are killed or interrupted, and then repeated or resumed.

``python -m torture.interruptions --verb train --trials 200``: half of the signals come at a random time, half
just before or just after one of the calls that change files (each in turn; see `torture.faults`). Half of the
repeated commands are interrupted again. In the end the folder must be the same, bit for bit, as without any
interruption, except for times and memory. ``--signal INT`` is Ctrl-C, which must end with exit status 130 and
one sentence that says how to resume.
"""

from __future__ import annotations

import math
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from torture import faults
from torture.command import open_scenario, run_part
from torture.contents import contents, differences
from torture.forks import ForkedCommand, Result
from torture.outcome import Outcome
from torture.scenarios import Scenario, count_moments

SIGNALS = {"KILL": signal.SIGKILL, "INT": signal.SIGINT}
Plan = tuple[int, float, "Callable[[], None] | None"]
"""Variant, seconds until the signal (infinite: none from outside), fault of the first process."""


def interruptions(verb: str, trials: int, seed: int = 0, kind: str = "KILL") -> Outcome:
    """Interrupt one verb so many times with SIGKILL or SIGINT (`kind`)."""
    outcome = Outcome(
        f"{'kill' if kind == 'KILL' else 'Ctrl-C'} {verb}",
        f"python -m torture.interruptions --verb {verb} --trials {trials} --seed {seed} --signal {kind}",
    )
    random = np.random.default_rng(seed)
    with open_scenario(verb) as scenario:
        for plan in _plans(scenario, random, kind):
            hits, found = _until_finished(scenario, plan, random, SIGNALS[kind])
            outcome.tried(hits, ["; ".join(dict.fromkeys(found))] if found else [])
            if outcome.trials >= trials:
                break
    return outcome


def _plans(scenario: Scenario, random: np.random.Generator, kind: str) -> Iterator[Plan]:
    """Yield a moment and a random time in turn, for ever; moments in random order until all were used."""
    act = faults.kill if kind == "KILL" else faults.interrupt
    moments = [
        (variant, number)
        for variant in range(scenario.variants)
        for number in range(count_moments(scenario, variant))
    ]
    while True:
        for index in random.permutation(len(moments)):
            variant, number = moments[index]
            yield variant, math.inf, faults.at_moment(number, act)
            variant = int(random.integers(scenario.variants))
            yield variant, float(random.uniform(0, 1.05 * scenario.seconds[variant])), None


def _until_finished(
    scenario: Scenario, plan: Plan, random: np.random.Generator, number: signal.Signals
) -> tuple[int, list[str]]:
    """Interrupt and repeat a command until it finishes; return the number of interruptions and problems."""
    variant, delay, prepare = plan
    folder = scenario.folder("trial", variant)
    hits, found = 0, list[str]()
    while True:
        before = _names(folder)
        arguments = scenario.command(folder, variant)
        result = _interrupted(ForkedCommand(arguments, folder, prepare), delay, number)
        prepare = None
        if result.status == (-signal.SIGKILL if number == signal.SIGKILL else 130):
            hits += 1
            scenario.after_kill(bool(random.integers(2)))
            found += scenario.check(folder, variant)
            if number == signal.SIGINT:
                found += _message_problems(result, scenario, folder, variant, before, arguments)
            delay = float(random.uniform(0, scenario.seconds[variant])) if random.integers(2) else math.inf
        elif scenario.may_retry(result):
            time.sleep(0.1)
        elif result.status != 0:
            return max(hits, 1), [*found, f"status {result.status}: {result.last_line}"]
        else:
            break
    try:
        found += differences(contents(folder), scenario.expected[variant])
    except ValueError as error:
        found.append(str(error))
    return hits, found


def _interrupted(command: ForkedCommand, delay: float, number: signal.Signals) -> Result:
    if delay < math.inf:
        end = time.monotonic() + delay
        while command.poll() is None and time.monotonic() < end:
            time.sleep(min(0.005, max(0.0, end - time.monotonic())))
        command.send(number)
    return command.wait()


def _names(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*")}


def _message_problems(
    result: Result, scenario: Scenario, folder: Path, variant: int, before: set[str], arguments: list[str]
) -> list[str]:
    """Compare the message after Ctrl-C with what is in the folder."""
    problems, message, names = [], result.last_line, _names(folder)
    if not message.startswith("hsi: Interrupted") or "Traceback" in result.output:
        problems.append(f"Ctrl-C printed: {message}")
    if "nothing was written" in message and names != before:
        problems.append("the message was that nothing was written, but something was")
    resume = scenario.command(folder, variant)
    helpful = message.endswith(f": hsi {' '.join(resume)}") or "what is finished is kept" in message
    if resume != arguments and not helpful:
        problems.append(f"the message after Ctrl-C does not tell how to resume: {message}")
    return problems + [f"{name} is left by Ctrl-C" for name in names - before if name.endswith(".tmp")]


if __name__ == "__main__":
    sys.exit(
        run_part(
            __doc__,
            200,
            lambda verb, options: [interruptions(verb, options.trials, options.seed, options.signal)],
            {"--signal": tuple(SIGNALS)},
        )
    )
