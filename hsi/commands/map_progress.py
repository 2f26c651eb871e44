"""The progress of a map on standard error: pixels done and time left."""

from __future__ import annotations

from types import TracebackType

from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from hsi.commands.screen import err


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
