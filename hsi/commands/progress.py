"""Progress on standard error: of trainings, maps, reports, downloads and sweeps."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from rich.console import Group, RenderableType
from rich.live import Live
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
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from hsi.commands.screen import err, note, percent
from hsi.runs.folder import RunFolder
from hsi.sweep.estimate import RuntimeEstimator
from hsi.sweep.execute import RunHandle, SweepCallback
from hsi.sweep.forecast import time_left
from hsi.sweep.plan import PlannedRun
from hsi.sweep.results import read_facts
from hsi.training.callbacks import Callback, EpochRow

BLOCKS, ASCII_BLOCKS = "▁▂▃▄▅▆▇█", "_.-=+*#"
_SPARKS = 40  # of a sparkline at most
_WIDEST = 100  # columns of the display
_EVERY_EPOCH = 20  # up to so many epochs each has a line where there is no terminal


def sparkline(values: Sequence[float], width: int = _SPARKS, *, ascii_only: bool = False) -> str:
    """Return values as one letter each, the lowest and the highest of them as the first and last of `BLOCKS`.

    Of more than `width` values neighbours share a letter, for the last of them.

    >>> sparkline([0.1, 0.5, 0.9])
    '▁▅█'
    """
    letters = ASCII_BLOCKS if ascii_only else BLOCKS
    count = min(width, len(values))
    shown = [values[(number + 1) * len(values) // count - 1] for number in range(count)]
    low, high = min(shown, default=0.0), max(shown, default=0.0)
    span = (high - low) or 1.0
    return "".join(letters[round((value - low) / span * (len(letters) - 1))] for value in shown)


class TrainingProgress(Callback):
    """A live table on a terminal; elsewhere a line an epoch, or a tenth of them. For use as a context.

    Patches per second are the training pixels over the time of an epoch, validation included.
    """

    def __init__(self) -> None:
        self.console = err()
        self.live: Live | None = None
        self.folder: Path | None = None

    def __enter__(self) -> TrainingProgress:
        return self

    def __exit__(self, *_: object) -> None:
        self._show(None)

    def on_run_folder(self, folder: Path) -> None:
        """Remember what can be resumed."""
        self.folder = folder

    def on_train_start(self, folder: Path, epochs: int, done: int, steps: int) -> None:
        """Show the folder, and begin the table."""
        run = RunFolder(folder)
        self.folder, self.epochs, self.steps = folder, epochs, steps
        self.patches, self.test_pixels = len(run.split.train), len(run.split.test)
        earlier = run.history if done else []
        self.val = [float(row["val_oa"]) for row in earlier]
        kept = max(earlier, key=lambda row: (row["val_oa"], -row["val_loss"]), default=None)
        self.best = 0 if kept is None else int(kept["epoch"]) + 1
        self.progress, self.loss, self.speed = float(done), math.nan, math.nan
        self.resumed_at, self.began, self.headed, self.printed = done, time.monotonic(), False, done
        verb = "Resuming" if done else "Training"
        self.console.print(f"{verb} in {escape(str(folder))}", highlight=False, soft_wrap=True)
        if epochs == steps == 1:  # a classifier without epochs
            self._show(lambda: Spinner("line", "Fitting ..."), transient=True)
        else:
            self._show(self._table)

    def on_step(self, loss: float) -> None:
        """Move on by one step."""
        self.loss = loss
        self.progress += 1 / self.steps
        if len(self.val) == self.resumed_at:  # no epoch has told its time yet
            seconds = time.monotonic() - self.began
            self.speed = (self.progress - self.resumed_at) * self.patches / max(seconds, 1e-6)

    def on_epoch(self, row: EpochRow, best: bool) -> None:
        """Show what the epoch gave."""
        number = row["epoch"] + 1
        self.val.append(row["val_oa"])
        self.progress, self.loss = float(number), row["train_loss"]
        self.speed = self.patches / max(row["seconds"], 1e-6)
        self.best = number if best else self.best
        if math.isnan(row["train_loss"]):
            sentence = f"Fitted in {in_words(row['seconds'])}: val OA {percent(row['val_oa'])} %"
            self.console.print(sentence, highlight=False)
            self.printed = number
        elif self.live is None:
            every = 1 if self.epochs <= _EVERY_EPOCH else self.epochs // 10
            if number % every == 0 or number == self.epochs:
                self._print_line()

    def on_train_end(self) -> None:
        """End the table; if all went well, the run is scored next."""
        finished = sys.exc_info()[0] is None  # this is called in a `finally`
        if self.live is None and finished and self.printed < len(self.val):
            self._print_line()  # training stopped early
        self._show(None)
        if not finished:
            return
        sentence = f"Scoring {self.test_pixels} test pixels ..."
        if self._repaints():
            self._show(lambda: Spinner("line", sentence), transient=True)
        else:
            self.console.print(sentence, highlight=False)

    def on_scored(self, metrics: Mapping[str, Any]) -> None:
        """End the display."""
        self._show(None)

    def message(self, sentence: str) -> None:
        """Print a note, above the table if there is one."""
        note(sentence)

    def _repaints(self) -> bool:
        return self.console.is_terminal and not self.console.is_dumb_terminal

    def _show(self, content: Callable[[], RenderableType] | None, *, transient: bool = False) -> None:
        """Repaint `content` from now on, on a terminal only, in place of what was; None ends the display."""
        if self.live is not None:
            self.live.stop()
            self.live = None
        if content is not None and self._repaints():
            self.live = Live(get_renderable=content, console=self.console, transient=transient)
            self.live.start()

    def _table(self) -> RenderableType:
        """Return the table of a terminal, and the validation OA of all epochs below it."""
        width = min(self.console.width, _WIDEST)
        made = Table(box=None, width=width, padding=(0, 2, 0, 0), header_style="bold", pad_edge=False)
        bar = ProgressBar(total=max(self.epochs, 1), completed=min(self.progress, self.epochs))
        cells = [text if text else "-" for text in self._cells()]
        made.add_column("epoch", no_wrap=True)
        made.add_column("", ratio=1, min_width=4)
        for header in ("loss", "val OA %", "best (epoch)", "patches/s", "time left"):
            made.add_column(header, justify="right", no_wrap=True)
        made.add_row(cells[0], bar, *cells[1:])
        if len(self.val) < 2:
            return made
        low, high = percent(min(self.val)), percent(max(self.val))
        room = max(8, min(_SPARKS, width - 40))
        ascii_only = self.console.options.ascii_only
        sparks = sparkline(self.val, room, ascii_only=ascii_only)
        return Group(made, Text(f"val OA  {sparks}  from {low} to {high} %", no_wrap=True))

    def _cells(self) -> list[str]:
        """Return epoch, loss, val OA, best val OA, patches/s and time left; empty where unknown."""
        now = min(self.epochs, int(self.progress + 1e-6) + (self.live is not None))
        elapsed, made = time.monotonic() - self.began, self.progress - self.resumed_at
        left = (self.epochs - self.progress) * elapsed / made if made > 0 else math.nan
        return [
            f"{now}/{self.epochs}",
            "" if math.isnan(self.loss) else f"{self.loss:.4f}",
            percent(self.val[-1]) if self.val else "",
            f"{percent(self.val[self.best - 1])} ({self.best})" if self.best else "",
            "" if math.isnan(self.speed) else f"{self.speed:,.0f}",
            "" if math.isnan(left) else clock(left),
        ]

    def _print_line(self) -> None:
        """Print the epoch that is over as a line, below the names of the columns."""
        self.printed = len(self.val)
        widths = (9, 8, 9, 14, 11, 11)
        if not self.headed:
            headers = ("epoch", "loss", "val OA %", "best (epoch)", "patches/s", "time left")
            head = "".join(header.rjust(width) for header, width in zip(headers, widths, strict=True))
            self.console.print(head, highlight=False)
            self.headed = True
        cells = (cell or "-" for cell in self._cells())
        line = "".join(cell.rjust(width) for cell, width in zip(cells, widths, strict=True))
        self.console.print(line, highlight=False)


def clock(seconds: float) -> str:
    """Return a time as ``h:mm:ss``, or ``m:ss`` below an hour."""
    minutes, rest = divmod(math.ceil(seconds), 60)
    return f"{minutes}:{rest:02d}" if minutes < 60 else f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}"


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
