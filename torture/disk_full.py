"""Commands whose disk becomes full or read-only at any moment, and that are repeated with free space.

``python -m torture.disk_full --trials 100``: on a small tmpfs that is filled up to a random rest, on one that
is made read-only, and with calls that fail as on such disks from a random moment on (see `torture.faults`).
The command must end with exit status 1 and one sentence that names the file and the reason; what was whole
before must still be whole; and with free space the command must give the same as without the fault. Mounting
needs root on Linux; without it only failing calls are tested, with a note.
"""

from __future__ import annotations

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
from torture.command import open_scenario, run_part
from torture.contents import contents, differences
from torture.forks import Result, run_forked
from torture.outcome import Outcome
from torture.scenarios import Scenario, count_moments

SIZE = 8 << 20  # bytes of the tmpfs
REASONS = {code: os.strerror(code) for code in (errno.ENOSPC, errno.EROFS)}


def disk_full(verb: str, trials: int, seed: int = 0) -> list[Outcome]:
    """Let the disk of one verb become full or read-only, so many times in each way."""
    random = np.random.default_rng(seed)
    again = f"python -m torture.disk_full --verb {verb} --trials {trials} --seed {seed}"
    with open_scenario(verb) as scenario, _small_disk() as disk:
        calls = Outcome(f"failing calls, {verb}", again)
        _failing_calls(scenario, trials, random, calls)
        if disk is None:
            print(f"note: no tmpfs can be mounted here; {verb} met failing calls only", file=sys.stderr)
            return [calls]
        scenario.base = disk
        full, frozen = (Outcome(f"{kind} disk, {verb}", again) for kind in ("full", "read-only"))
        _full_disk(scenario, disk, trials, random, full)
        _read_only_disk(scenario, disk, trials, random, frozen)
        return [calls, full, frozen]


@contextmanager
def _small_disk() -> Iterator[Path | None]:
    """Mount a tmpfs and yield its folder, or None where that is not allowed."""
    folder = Path(tempfile.mkdtemp(prefix="hsi-torture-disk-"))
    mounted = _mount("-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", str(folder))
    try:
        yield folder if mounted else None
    finally:
        if mounted:
            subprocess.run(["umount", str(folder)], check=True)
        folder.rmdir()


def _mount(*arguments: str) -> bool:
    try:
        return subprocess.run(["mount", *arguments], capture_output=True).returncode == 0
    except OSError:
        return False


def _failing_calls(scenario: Scenario, trials: int, random: np.random.Generator, outcome: Outcome) -> None:
    counts = [count_moments(scenario, variant) for variant in range(scenario.variants)]
    for trial in range(trials):
        variant = trial % scenario.variants
        code = int(random.choice(list(REASONS)))
        folder = scenario.folder("trial", variant)
        moment = int(random.integers(counts[variant]))
        result = run_forked(scenario.command(folder, variant), folder, faults.failing_from(moment, code))
        problems = _problems_after_fault(scenario, folder, variant, result, REASONS[code])
        _repeat(scenario, folder, variant, problems, outcome)


def _full_disk(
    scenario: Scenario, disk: Path, trials: int, random: np.random.Generator, outcome: Outcome
) -> None:
    filler = disk / "filler"
    for trial in range(trials):
        variant = trial % scenario.variants
        folder = scenario.folder("trial", variant)
        left = int(random.uniform(0, 1.5 * scenario.sizes[variant]))
        with filler.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, max(1, shutil.disk_usage(disk).free - left))
        result = run_forked(scenario.command(folder, variant), folder)
        problems = _problems_after_fault(scenario, folder, variant, result, REASONS[errno.ENOSPC])
        filler.unlink()
        _repeat(scenario, folder, variant, problems, outcome)


def _read_only_disk(
    scenario: Scenario, disk: Path, trials: int, random: np.random.Generator, outcome: Outcome
) -> None:
    for trial in range(trials):
        variant = trial % scenario.variants
        folder = scenario.folder("trial", variant)
        moment = int(random.integers(count_moments(scenario, variant)))
        if trial % 2:  # else the first command already finds a read-only disk
            run_forked(scenario.command(folder, variant), folder, faults.at_moment(moment, faults.kill))
            scenario.after_kill(True)
        if not _mount("-o", "remount,ro", str(disk)):
            raise RuntimeError(f"{disk} cannot be made read-only")
        try:
            result = run_forked(scenario.command(folder, variant), folder)
            reason = REASONS[errno.EROFS]
            problems = _problems_after_fault(scenario, folder, variant, result, reason, killed_before=True)
        finally:
            _mount("-o", "remount,rw", str(disk))
        _repeat(scenario, folder, variant, problems, outcome)


def _problems_after_fault(
    scenario: Scenario, folder: Path, variant: int, result: Result, reason: str, killed_before: bool = False
) -> list[str]:
    problems = scenario.check(folder, variant)
    if result.status == 0:
        return problems
    if result.status != 1:
        problems.append(f"status {result.status}")
    if "Traceback" in result.output or not result.last_line.startswith("hsi: "):
        problems.append(f"no sentence but: {result.last_line}")
    elif not re.search(rf"cannot be (written|made) \({reason}\)", result.output):
        problems.append(f"names no file or no reason: {result.last_line}")
    if not killed_before:
        problems += [f"{path.name} is left" for path in folder.rglob(".*.tmp")]
    return problems


def _repeat(scenario: Scenario, folder: Path, variant: int, problems: list[str], outcome: Outcome) -> None:
    """Repeat the command without the fault; count the trial, and all its problems as one failure."""
    result = run_forked(scenario.command(folder, variant), folder)
    if result.status != 0:
        found = [f"status {result.status}: {result.last_line}"]
    else:
        try:
            found = differences(contents(folder), scenario.expected[variant])
        except ValueError as error:
            found = [str(error)]
    problems = problems + [f"with free space again {problem}" for problem in found]
    outcome.tried(1, ["; ".join(problems)] if problems else [])


if __name__ == "__main__":
    sys.exit(run_part(__doc__, 100, lambda verb, options: disk_full(verb, options.trials, options.seed)))
