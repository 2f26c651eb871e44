"""Progress on standard error: of trainings, maps, reports, downloads and sweeps."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from rich.markup import escape
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from hsi.commands.screen import err, note, percent
from hsi.sweep.estimate import RuntimeEstimator
from hsi.sweep.execute import RunHandle, SweepCallback
from hsi.sweep.forecast import time_left
from hsi.sweep.plan import PlannedRun
from hsi.sweep.results import read_facts
from hsi.training.callbacks import Callback, EpochRow


class TrainingProgress(Callback):
    """A bar on a terminal; a line every tenth of the epochs elsewhere."""

    def __init__(self) -> None:
        self.console = err()
        self.bar: Progress | None = None
        self.folder: Path | None = None

    def on_run_folder(self, folder: Path) -> None:
        """Remember what can be resumed."""
        self.folder = folder

    def on_train_start(self, folder: Path, epochs: int, done: int, steps: int) -> None:
        """Show the folder and begin the bar."""
        self.folder, self.epochs, self.steps = folder, epochs, steps
        verb = "Resuming" if done else "Training"
        self.console.print(f"{verb} in {escape(str(folder))}", highlight=False, soft_wrap=True)
        self.bar = Progress(
            TextColumn("epoch"),
            MofNCompleteColumn(),
            BarColumn(),
            TextColumn("{task.fields[state]}"),
            TimeRemainingColumn(elapsed_when_finished=True),
            console=self.console,
            disable=not self.console.is_terminal,
        )
        self.task = self.bar.add_task("epochs", total=epochs, completed=done, state="")
        self.loss = self.val = ""
        self.bar.start()

    def on_step(self, loss: float) -> None:
        """Move on by one step."""
        assert self.bar is not None
        self.loss = f"loss {loss:.3f}"
        self.bar.update(self.task, advance=1 / self.steps, state=f"{self.loss}  {self.val}")

    def on_epoch(self, row: EpochRow, best: bool) -> None:
        """Show what the epoch gave."""
        assert self.bar is not None
        number = row["epoch"] + 1
        self.val = f"val OA {percent(row['val_oa'])} %"
        self.bar.update(self.task, completed=number, state=f"{self.loss}  {self.val}")
        every = max(1, self.epochs // 10)
        if not self.console.is_terminal and (number % every == 0 or number == self.epochs):
            loss = "" if math.isnan(row["train_loss"]) else f"loss {row['train_loss']:.4f}  "
            took = f"{loss}{self.val}  {row['seconds']:.1f} s"
            self.console.print(f"epoch {number}/{self.epochs}  {took}", highlight=False)

    def on_train_end(self) -> None:
        """End the bar."""
        if self.bar is not None:
            self.bar.stop()

    def message(self, sentence: str) -> None:
        """Print a note."""
        note(sentence)


class MapProgress:
    """A bar on a terminal, nothing elsewhere; for use as a context."""

    def __init__(self) -> None:
        console = err()
        self._bar = Progress(
            TextColumn("mapping"),
            BarColumn(),
            TaskProgressColumn(),
            TimeRemainingColumn(elapsed_when_finished=True),
            console=console,
            disable=not console.is_terminal,
            transient=True,
        )
        self._task = self._bar.add_task("mapping", total=None)

    def __enter__(self) -> MapProgress:
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._bar.stop()

    def update(self, done: int, pixels: int) -> None:
        """Show that `done` of `pixels` are classified."""
        self._bar.update(self._task, completed=done, total=pixels)


class ReportProgress:
    """A bar a run on a terminal; a line a run elsewhere. Called with a run's name, pixels done, and all."""

    def __init__(self) -> None:
        self.console = err()
        self.bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            TimeRemainingColumn(),
            console=self.console,
            disable=not self.console.is_terminal,
        )
        self.tasks: dict[str, TaskID] = {}

    def __enter__(self) -> ReportProgress:
        self.bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.bar.stop()

    def __call__(self, name: str, done: int, total: int) -> None:
        """Show that `done` of `total` pixels are classified by the run `name`."""
        if name not in self.tasks:
            self.tasks[name] = self.bar.add_task(f"Classifying with {escape(name)}", total=total)
            if not self.console.is_terminal:
                self.console.print(
                    f"Classifying {total} pixels with {escape(name)}", highlight=False, soft_wrap=True
                )
        self.bar.update(self.tasks[name], completed=done)


class TransferProgress:
    """One bar a file, silent where standard error is no terminal."""

    def __init__(self) -> None:
        console = err()
        self.bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            DownloadColumn(),
            TransferSpeedColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        self.tasks: dict[str, TaskID] = {}

    def __enter__(self) -> TransferProgress:
        self.bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.bars.stop()

    def __call__(self, file: str, done: int, size: int | None) -> None:
        """Show that `done` of `size` bytes of a file are here."""
        if file not in self.tasks:
            self.tasks[file] = self.bars.add_task(file, total=size)
        self.bars.update(self.tasks[file], completed=done, total=size)


class SweepProgress(SweepCallback):
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

    def __init__(self, runs: int, cores: int, threads: int, estimator: RuntimeEstimator) -> None:
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

    def started(self, child: RunHandle) -> None:
        """Give the run a bar of its epochs."""
        verb = " (resumed)" if child.resumed else ""
        self.tasks[child.run.key] = self.bars.add_task(
            escape(child.run.key) + verb, total=child.run.config.epochs, state="epochs"
        )

    def finished(self, child: RunHandle) -> None:
        """Show its score, and learn how long it took."""
        if not child.resumed:
            self.estimator.learn(child.run, child.seconds * self.threads)
        oa = read_facts(child.run)["test"]["oa"]
        self._over(child.run, f"OA {percent(oa)} % in {in_words(child.seconds)}")

    def failed(self, run: PlannedRun, reason: str) -> None:
        """Show why."""
        self._over(run, f"failed: {reason}")

    def tick(self, running: Sequence[RunHandle], waiting: Sequence[PlannedRun]) -> None:
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
