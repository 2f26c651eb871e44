"""The progress of a sweep on standard error: what runs, what is done, about how long it will take."""

from __future__ import annotations

from collections.abc import Sequence

from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn

from hsi.commands.screen import err, percent
from hsi.sweep.estimate import Estimator
from hsi.sweep.execute import SweepWatcher
from hsi.sweep.going import Going
from hsi.sweep.plan import PlannedRun
from hsi.sweep.results import read_facts
from hsi.sweep.time_left import time_left


class SweepProgress(SweepWatcher):
    """A bar for the sweep and one for each running run on a terminal; a line a finished run elsewhere.

    Parameters
    ----------
    runs
        How many will be made.
    cores
        How many cores work on them together.
    threads
        Of each run.
    estimator
        What is known of their times; it is told of each that finishes.
    """

    def __init__(self, runs: int, cores: int, threads: int, estimator: Estimator) -> None:
        self.runs, self.cores, self.threads, self.estimator = runs, cores, threads, estimator
        self.console = err()
        self.over = 0
        self.left = ""
        self.bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[state]}"),
            console=self.console,
            disable=not self.console.is_terminal,
        )
        self.whole = self.bars.add_task("sweep", total=runs, state="")
        self.tasks: dict[str, TaskID] = {}

    def __enter__(self) -> SweepProgress:
        self.bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.bars.stop()

    def started(self, child: Going) -> None:
        """Give the run a bar of its epochs."""
        verb = " (goes on)" if child.resumed else ""
        self.tasks[child.run.key] = self.bars.add_task(
            escape(child.run.key) + verb, total=child.run.config.epochs, state="epochs"
        )

    def finished(self, child: Going) -> None:
        """Show its score, and learn how long it took."""
        if not child.resumed:
            self.estimator.learn(child.run, child.seconds * self.threads)
        oa = read_facts(child.run)["test"]["oa"]
        self._over(child.run, f"OA {percent(oa)} % in {in_words(child.seconds)}")

    def failed(self, run: PlannedRun, reason: str) -> None:
        """Show why."""
        self._over(run, f"failed: {reason}")

    def tick(self, running: Sequence[Going], waiting: Sequence[PlannedRun]) -> None:
        """Move the bars on."""
        left = time_left(self.estimator, running, waiting, cores=self.cores, threads=self.threads)
        self.left = "" if left is None else f"about {in_words(left)} left"
        for child in running:
            self.bars.update(self.tasks[child.run.key], completed=child.epochs())
        self.bars.update(self.whole, completed=self.over, state=self.left)

    def _over(self, run: PlannedRun, what: str) -> None:
        self.over += 1
        task = self.tasks.pop(run.key, None)
        if task is not None:
            self.bars.remove_task(task)
        left = f"; {self.left}" if self.left and self.over < self.runs else ""
        line = f"[{self.over}/{self.runs}] {run.key}: {what}{left}"
        self.console.print(line, highlight=False, markup=False, soft_wrap=True)


def in_words(seconds: float) -> str:
    """Return a time in the one or two units that matter: "42 s", "3 min 20 s", "2 h 5 min", "3 d 4 h"."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 600:
        return f"{whole // 60} min" + (f" {whole % 60} s" if whole % 60 else "")
    minutes = round(whole / 60)
    if minutes < 60:
        return f"{minutes} min"
    if minutes < 48 * 60:
        return f"{minutes // 60} h" + (f" {minutes % 60} min" if minutes % 60 else "")
    hours = round(minutes / 60)
    return f"{hours // 24} d" + (f" {hours % 24} h" if hours % 24 else "")
