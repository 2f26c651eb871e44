"""Commands whose disk becomes full or read-only, at any moment, and that go on once there is room again.

``python -m torture.disk_full --trials 100``: on a small tmpfs that is filled up to a random rest, on one that
is made read-only, and with calls that fail as on such disks from a random moment on (see `torture.faults`).
The command must end with status 1 and one sentence that names the file and the reason; what was whole before
must be so still, and once there is room the command must come to what it comes to without the fault. Mounting
wants root on Linux; without it only the calls fail, which is then said.
"""

from __future__ import annotations

import argparse
import errno
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from torture import faults
from torture.contents import contents, differences
from torture.forks import Ended, run_forked
from torture.interruptions import count_moments
from torture.outcome import Outcome, show
from torture.scenarios import SCENARIOS, Scenario
from torture.warm import warm

SIZE = 8 << 20  # bytes of the tmpfs
REASONS = {code: os.strerror(code) for code in (errno.ENOSPC, errno.EROFS)}


@contextmanager
def small_disk() -> Iterator[Path | None]:
    """Mount a tmpfs and yield its folder, or None where that is not allowed."""
    folder = Path(tempfile.mkdtemp(prefix="hsi-torture-disk-"))
    mounted = _mount("-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", str(folder))
    try:
        yield folder if mounted else None
    finally:
        if mounted:
            subprocess.run(["umount", str(folder)], check=True)
        folder.rmdir()


def _mount(*words: str) -> bool:
    try:
        return subprocess.run(["mount", *words], capture_output=True).returncode == 0
    except OSError:
        return False


def disk_full(verb: str, trials: int, seed: int = 0) -> list[Outcome]:
    """Let the disk of one verb become full or read-only so many times in each way."""
    shared = Path(tempfile.mkdtemp(prefix="hsi-torture-"))
    random = np.random.default_rng(seed)
    again = f"python -m torture.disk_full --verb {verb} --trials {trials} --seed {seed}"
    try:
        with SCENARIOS[verb](shared).ready() as scenario, small_disk() as disk:
            outcomes = [_failing_calls(scenario, trials, random, Outcome(f"failing calls, {verb}", again))]
            if disk is None:
                print(f"note: no tmpfs can be mounted here; {verb} met failing calls only", file=sys.stderr)
                return outcomes
            scenario.place = disk
            outcomes.append(_filled(scenario, disk, trials, random, Outcome(f"full disk, {verb}", again)))
            outcomes.append(
                _frozen(scenario, disk, trials, random, Outcome(f"read-only disk, {verb}", again))
            )
            return outcomes
    finally:
        shutil.rmtree(shared, ignore_errors=True)


def _failing_calls(scenario: Scenario, trials: int, random: np.random.Generator, outcome: Outcome) -> Outcome:
    counts = [count_moments(scenario, variant) for variant in range(scenario.variants)]
    for trial in range(trials):
        variant = trial % scenario.variants
        code = int(random.choice(list(REASONS)))
        folder = scenario.folder("trial", variant)
        moment = int(random.integers(counts[variant]))
        ended = run_forked(scenario.command(folder, variant), folder, faults.full_from(moment, code))
        found = _after(scenario, folder, variant, ended, REASONS[code])
        outcome.tried(1, _finished(scenario, folder, variant, found))
    return outcome


def _filled(
    scenario: Scenario, disk: Path, trials: int, random: np.random.Generator, outcome: Outcome
) -> Outcome:
    filler = disk / "filler"
    for trial in range(trials):
        variant = trial % scenario.variants
        folder = scenario.folder("trial", variant)
        need = 1.5 * scenario.sizes[variant]
        free = shutil.disk_usage(disk).free
        _fill(filler, max(0, free - int(random.uniform(0, need))))
        ended = run_forked(scenario.command(folder, variant), folder)
        found = _after(scenario, folder, variant, ended, REASONS[errno.ENOSPC])
        filler.unlink()
        outcome.tried(1, _finished(scenario, folder, variant, found))
    return outcome


def _frozen(
    scenario: Scenario, disk: Path, trials: int, random: np.random.Generator, outcome: Outcome
) -> Outcome:
    for trial in range(trials):
        variant = trial % scenario.variants
        folder = scenario.folder("trial", variant)
        moment = int(random.integers(count_moments(scenario, variant)))
        if trial % 2:  # else the first command already finds it read-only
            run_forked(scenario.command(folder, variant), folder, faults.at_moment(moment, faults.kill))
            scenario.after_kill(True)
        if not _mount("-o", "remount,ro", str(disk)):
            raise RuntimeError(f"{disk} cannot be made read-only")
        try:
            ended = run_forked(scenario.command(folder, variant), folder)
            found = _after(scenario, folder, variant, ended, REASONS[errno.EROFS], before_it=True)
        finally:
            _mount("-o", "remount,rw", str(disk))
        outcome.tried(1, _finished(scenario, folder, variant, found))
    return outcome


def _fill(path: Path, size: int) -> None:
    with path.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, max(1, size))


def _after(
    scenario: Scenario, folder: Path, variant: int, ended: Ended, reason: str, before_it: bool = False
) -> str:
    """Say what is wrong after the fault, or return an empty text."""
    words = scenario.check(folder, variant)
    if ended.status == 0:
        return "; ".join(words)
    if ended.status != 1:
        words.append(f"status {ended.status}")
    if "Traceback" in ended.said or not ended.sentence.startswith("hsi: "):
        words.append(f"no sentence but: {ended.sentence}")
    elif not re.search(rf"cannot be (written|made) \({reason}\)", ended.said):
        words.append(f"names no file or no reason: {ended.sentence}")
    if not before_it:
        words += [f"{path.name} is left" for path in folder.rglob(".*.tmp")]
    return "; ".join(words)


def _finished(scenario: Scenario, folder: Path, variant: int, found: str) -> list[str]:
    """Go on without the fault; return one sentence of what was wrong before and then, or none."""
    words = found + _wrong_then(scenario, folder, variant)
    return [words] if words else []


def _wrong_then(scenario: Scenario, folder: Path, variant: int) -> str:
    ended = run_forked(scenario.command(folder, variant), folder)
    if ended.status != 0:
        return f"; with room again status {ended.status}: {ended.sentence}"
    try:
        words = differences(contents(folder), scenario.wanted[variant])
    except ValueError as error:
        words = [str(error)]
    return "; with room again " + ", ".join(words) if words else ""


def main() -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--verb", action="append", choices=list(SCENARIOS), help="default: all of them")
    parser.add_argument("--trials", type=int, default=100, help="of each verb, in each way")
    parser.add_argument("--seed", type=int, default=0)
    said = parser.parse_args()
    warm()
    verbs = said.verb or list(SCENARIOS)
    return show([outcome for verb in verbs for outcome in disk_full(verb, said.trials, said.seed)])


if __name__ == "__main__":
    sys.exit(main())
