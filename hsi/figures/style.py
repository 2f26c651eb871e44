"""What all figures share: sizes, colours, and how they are saved."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Any

from matplotlib import rc_context
from matplotlib.figure import Figure

COLUMN_MM, PAGE_MM = 88.9, 182.9  # widths of one column and of two columns of a journal page
MM_PER_INCH = 25.4
COLUMN_INCHES = COLUMN_MM / MM_PER_INCH

# Okabe and Ito's palette for all kinds of colour vision, without its yellow: too light for thin lines.
COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")

STYLE: Any = {
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.labelsize": 8,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "lines.linewidth": 1.0,
    "lines.markersize": 4,
    "pdf.fonttype": 42,  # text stays text, which journals ask for
    "text.parse_math": False,  # names of classes and scenes come from files and may hold dollar signs
}

# Text stays text, and the same figure gives the same bytes.
SVG_STYLE: Any = {**STYLE, "svg.fonttype": "none", "svg.hashsalt": "hsi"}

_PIXELS_PER_INCH = 300
_PIXELS_PER_INCH_ON_SCREEN = 110


class Picture(Figure):
    """A figure that notebooks show as it is saved, whether or not pyplot is in use there."""

    def _repr_png_(self) -> bytes:
        buffer = BytesIO()
        with rc_context(STYLE):
            self.savefig(buffer, format="png", dpi=_PIXELS_PER_INCH_ON_SCREEN)
        return buffer.getvalue()


def save_figure(figure: Figure, folder: Path, name: str) -> list[Path]:
    """Write a figure as ``NAME.png`` and ``NAME.pdf`` into a folder, which is made; return both paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{name}.{ending}" for ending in ("png", "pdf")]
    with rc_context(STYLE):
        for path in paths:
            figure.savefig(path, dpi=_PIXELS_PER_INCH)
    return paths


def save_svg(figure: Figure, path: Path, about: str) -> None:
    """Write a figure as SVG, the same bytes for the same figure; `about` is kept as its description.

    What draws such a figure does so under `SVG_STYLE`.
    """
    with rc_context(SVG_STYLE):
        figure.savefig(path, format="svg", metadata={"Date": None, "Description": about})
