"""Sizes, colours and helpers shared by all figures, and how figures are saved."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import colormaps, rc_context
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from numpy.typing import NDArray

COLUMN_MM, PAGE_MM = 88.9, 182.9  # widths of one column and of two columns of a journal page
MM_PER_INCH = 25.4
COLUMN_INCHES, PAGE_INCHES = COLUMN_MM / MM_PER_INCH, PAGE_MM / MM_PER_INCH

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

_PRINT_DPI, _SCREEN_DPI = 300, 110


class Picture(Figure):
    """A figure that notebooks display as PNG, with or without pyplot."""

    def _repr_png_(self) -> bytes:
        buffer = BytesIO()
        with rc_context(STYLE):
            self.savefig(buffer, format="png", dpi=_SCREEN_DPI)
        return buffer.getvalue()


def draw_grid(axes: Axes) -> None:
    """Draw light horizontal lines behind the data."""
    axes.grid(axis="y", color="0.9", linewidth=0.5)
    axes.set_axisbelow(True)


def draw_table(axes: Axes, values: NDArray[Any], texts: NDArray[Any], norm: Normalize, size: float) -> None:
    """Draw a matrix as cells in shades of blue with a text each, black or white, whichever is clearer."""
    blues = colormaps["Blues"]
    axes.imshow(values, cmap=blues, norm=norm, aspect="auto")
    for (row, column), text in np.ndenumerate(texts):
        if text:
            color = text_color(blues(norm(values[row, column]))[:3])
            axes.text(column, row, text, ha="center", va="center", fontsize=size, color=color)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)


def text_color(background: Sequence[float]) -> str:
    """Return "black" or "white", whichever has more contrast with a colour (R, G, B from 0 to 1).

    The contrast is that of WCAG 2: (L1 + 0.05) / (L2 + 0.05) of the relative luminances L.
    """
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in background)
    luminance = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    return "black" if (luminance + 0.05) ** 2 > 1.05 * 0.05 else "white"


def save_figure(figure: Figure, folder: Path, name: str) -> list[Path]:
    """Write ``NAME.png`` and ``NAME.pdf`` into a folder, created if missing; return both paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{name}.{ending}" for ending in ("png", "pdf")]
    with rc_context(STYLE):
        for path in paths:
            figure.savefig(path, dpi=_PRINT_DPI)
    return paths


def save_svg(figure: Figure, path: Path, about: str) -> None:
    """Write a figure drawn under `SVG_STYLE` as a reproducible SVG; `about` becomes its description."""
    with rc_context(SVG_STYLE):
        figure.savefig(path, format="svg", metadata={"Date": None, "Description": about})
