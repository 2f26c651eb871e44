"""The picture of an experiment: every mark at its mean, the same bytes each time."""

from __future__ import annotations

import pytest

from experiments.pages.sweep_figure import draw_sweep
from experiments.pages.table import Cell
from hsi.errors import InputError
from hsi.figures.style import save_svg


def cell(scene, protocol, label, *values):
    rows = tuple({"oa": str(value), "kind": "network"} for value in values)
    return Cell(scene, protocol, label, rows)


CELLS = [
    cell("a", "random", "x", 0.9, 0.92),
    cell("a", "random", "y", 0.95),
    cell("a", "disjoint", "x", 0.7, 0.72),
    cell("b", "disjoint", "y", 0.6),
    cell("c", "random", "z", 0.5),
]


def test_marks_are_where_the_means_are():
    figure = draw_sweep(CELLS)
    panels = [panel for panel in figure.axes if panel.get_title(loc="left")]
    assert [panel.get_title(loc="left") for panel in panels] == ["a", "b", "c"]
    first = panels[0]
    assert [text.get_text() for text in first.get_yticklabels()] == ["x", "y"]  # the best stands on top
    drawn = {}
    for line, _, _ in first.containers:
        drawn[tuple(round(float(x), 6) for x in line.get_xdata())] = tuple(line.get_ydata())
    assert drawn == {(91.0, 95.0): (0, 1), (71.0,): (0,)}
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["random", "disjoint"]


def test_no_axis_goes_far_beyond_all_pixels():
    panel = draw_sweep([cell("a", "random", "x", 1.0)]).axes[0]
    left, right = panel.get_xlim()
    assert left < 100 < right < 100.5


def test_the_same_figure_gives_the_same_bytes(tmp_path):
    for name in ("a.svg", "b.svg"):
        save_svg(draw_sweep(CELLS), tmp_path / name, "drawn from x")
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()
    assert "drawn from x" in (tmp_path / "a.svg").read_text()


def test_nothing_to_draw():
    with pytest.raises(InputError, match="nothing to draw"):
        draw_sweep([])
