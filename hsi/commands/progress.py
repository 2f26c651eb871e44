"""The progress of a training on standard error: loss, validation OA and time left."""

from __future__ import annotations

import math
from pathlib import Path

from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from hsi.commands.screen import err, note, percent
from hsi.training.watcher import EpochRow, Watcher


class TrainingProgress(Watcher):
    """A bar on a terminal; a line every tenth of the epochs elsewhere."""

    def __init__(self) -> None:
        self.console = err()
        self.bar: Progress | None = None
        self.folder: Path | None = None

    def begun(self, folder: Path) -> None:
        """Keep in mind what can be gone on with."""
        self.folder = folder

    def start(self, folder: Path, epochs: int, done: int, steps: int) -> None:
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

    def step(self, loss: float) -> None:
        """Move on by one step."""
        assert self.bar is not None
        self.loss = f"loss {loss:.3f}"
        self.bar.update(self.task, advance=1 / self.steps, state=f"{self.loss}  {self.val}")

    def epoch(self, row: EpochRow, best: bool) -> None:
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

    def stop(self) -> None:
        """End the bar."""
        if self.bar is not None:
            self.bar.stop()

    def say(self, sentence: str) -> None:
        """Print a note."""
        note(sentence)
