"""The progress of downloads on standard error."""

from __future__ import annotations

from types import TracebackType

from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn, TransferSpeedColumn

from hsi.commands.screen import err


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
