"""Running the runs of a sweep, some at a time; a failed one stops none of the others."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from hsi.errors import HsiError
from hsi.sweep.engine import Engine
from hsi.sweep.going import Going
from hsi.sweep.plan import PlannedRun

POLL_SECONDS = 0.2


class SweepWatcher:
    """Told of what happens in a sweep; this one stays silent, displays derive from it."""

    def started(self, child: Going) -> None:
        """A run was started."""

    def finished(self, child: Going) -> None:
        """A run is done; its folder is complete."""

    def failed(self, run: PlannedRun, reason: str) -> None:
        """A run ended without being done."""

    def tick(self, running: Sequence[Going], waiting: Sequence[PlannedRun]) -> None:
        """Some time has passed."""


@dataclass
class Outcome:
    """What became of the runs: done, failed (with the reason), and left for another time."""

    done: list[PlannedRun] = field(default_factory=list)
    failed: list[tuple[PlannedRun, str]] = field(default_factory=list)
    left: list[PlannedRun] = field(default_factory=list)


def execute(
    runs: Sequence[PlannedRun],
    *,
    workers: int,
    threads: int,
    data_root: Path | None = None,
    watcher: SweepWatcher | None = None,
    max_seconds: float | None = None,
    lock: int | None = None,
    engine: Engine | None = None,
) -> Outcome:
    """Train runs, `workers` at a time, each on `threads` threads.

    Parameters
    ----------
    runs
        What is missing or interrupted, in the order in which to start.
    max_seconds
        After so long no run is started any more, and those that are going are interrupted; they can be
        gone on with.
    lock
        See `hsi.sweep.lock.locked`.
    engine
        Where the runs go on; default: on this machine.

    Raises
    ------
    KeyboardInterrupt
        When the user stopped it; the running ones have been interrupted then, and can be gone on with.
    """
    watcher, engine = watcher or SweepWatcher(), engine or Engine()
    waiting, running, outcome = list(runs), list[Going](), Outcome()
    started = time.monotonic()
    try:
        while waiting or running:
            late = max_seconds is not None and time.monotonic() - started >= max_seconds
            if late:
                _stop(running)
            for child in [child for child in running if not child.running]:
                running.remove(child)
                _settle(child, late, outcome, watcher)
            while waiting and not late and len(running) < workers:
                run = waiting.pop(0)
                try:
                    child = engine.start(run, threads=threads, data_root=data_root, lock=lock)
                except (HsiError, OSError) as error:
                    outcome.failed.append((run, str(error)))
                    watcher.failed(run, str(error))
                    continue
                running.append(child)
                watcher.started(child)
            if late and not running:
                outcome.left += waiting
                break
            watcher.tick(running, waiting)
            time.sleep(POLL_SECONDS)
    finally:
        _stop(running)
    return outcome


def _settle(child: Going, late: bool, outcome: Outcome, watcher: SweepWatcher) -> None:
    reason = child.failure
    if reason is None:
        outcome.done.append(child.run)
        watcher.finished(child)
    elif late:
        outcome.left.append(child.run)
    else:
        outcome.failed.append((child.run, reason))
        watcher.failed(child.run, reason)


def _stop(children: Sequence[Going]) -> None:
    for child in children:
        child.interrupt()
    for child in children:
        child.wait_or_kill()
