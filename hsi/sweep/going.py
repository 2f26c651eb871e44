"""A run of a sweep that was started, wherever it goes on: watched, stopped."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod

from hsi.runs.state import RunState
from hsi.sweep.plan import PlannedRun


class Going(ABC):
    """What a sweep knows of a run that it started.

    Attributes
    ----------
    run
        The run.
    resumed
        Whether it goes on from where it was interrupted.
    """

    def __init__(self, run: PlannedRun) -> None:
        self.run = run
        self.resumed = run.state is RunState.INTERRUPTED
        self._started = time.monotonic()

    @property
    def seconds(self) -> float:
        """How long it has been running."""
        return time.monotonic() - self._started

    def epochs(self) -> int:
        """Return how many epochs are over, as its history says."""
        try:
            return (self.run.folder / "history.csv").read_bytes().count(b"\n") - 1
        except OSError:
            return 0

    @property
    @abstractmethod
    def running(self) -> bool:
        """Whether it goes on."""

    @property
    @abstractmethod
    def failure(self) -> str | None:
        """Why one that has ended is not done, in one line; None where it is."""

    @abstractmethod
    def interrupt(self) -> None:
        """Ask it to stop, as Ctrl-C does."""

    @abstractmethod
    def wait_or_kill(self) -> None:
        """Wait for an interrupted one; end it by force when it does not stop in time."""
