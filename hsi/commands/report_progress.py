"""How far `hsi report` has come, on standard error."""

from __future__ import annotations

from types import TracebackType

from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn, TimeRemainingColumn

from hsi.commands.screen import err


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
