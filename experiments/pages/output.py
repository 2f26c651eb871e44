"""Files that are made from data: what should be in them, and whether they are stale."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from matplotlib.figure import Figure

from hsi.figures.style import save_svg


@dataclass(frozen=True)
class Page:
    """A page of text."""

    path: Path
    text: str

    def is_stale(self) -> bool:
        """Tell whether the file holds anything else."""
        return not (self.path.is_file() and self.path.read_text(encoding="utf-8") == self.text)

    def write(self) -> None:
        """Write the page."""
        self.path.write_text(self.text, encoding="utf-8")


@dataclass(frozen=True)
class Picture:
    """A figure, which keeps the hash of the data that it was drawn from, so that a stale one is found."""

    path: Path
    data: Path
    draw: Callable[[], Figure]

    @property
    def about(self) -> str:
        """What the file says of its data."""
        return f"drawn from {self.data.name}, SHA-256 {hashlib.sha256(self.data.read_bytes()).hexdigest()}"

    def is_stale(self) -> bool:
        """Tell whether the file was drawn from other data."""
        return not (self.path.is_file() and self.about in self.path.read_text(encoding="utf-8"))

    def write(self) -> None:
        """Draw the figure."""
        self.path.parent.mkdir(exist_ok=True)
        save_svg(self.draw(), self.path, self.about)
