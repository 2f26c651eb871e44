"""Names from files in figures: text, never mathematics, and no name can stop a figure from being drawn."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hsi.figures.curves import draw_confusion
from hsi.figures.style import Picture, save_figure


@pytest.mark.filterwarnings("ignore:Glyph")
@pytest.mark.parametrize("name", [r"$\frac{", "$x$", "\x1b[31m", "\x00", "\u202e", "a\nb", "\\", "%s{}"])
def test_any_name_is_drawn(tmp_path: Path, name: str) -> None:
    figure = draw_confusion(np.eye(2, dtype=int), [name, "Grass"])
    assert all(path.stat().st_size > 0 for path in save_figure(figure, tmp_path, "confusion"))
    texts = [label.get_text() for axes in figure.axes for label in axes.get_yticklabels()]
    assert any(name in text for text in texts)


def test_a_notebook_shows_a_figure_as_png() -> None:
    figure = Picture(figsize=(1, 1))
    figure.text(0.5, 0.5, "price in $")  # no formula
    assert figure._repr_png_().startswith(b"\x89PNG")
