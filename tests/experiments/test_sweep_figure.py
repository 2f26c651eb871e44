"""The pictures of an experiment: every mark at its mean, one scale, one order, the same bytes."""

from __future__ import annotations

import pytest

from experiments.pages.sweep_figure import draw_lines, draw_models, protocol_names
from experiments.pages.table import Cell
from hsi.errors import InputError
from hsi.figures.style import COLORS, save_svg

LEAKAGE = {"random": 0.98, "long": 0.97, "dase": 0.5, "disjoint": 0.0}
SCHEMES = {"random": "random", "long": "random", "dase": "mask", "disjoint": "disjoint"}


def cell(scene, protocol, label, *values, kind="network"):
    rows = tuple(
        {
            "oa": str(value),
            "kind": kind,
            "scheme": SCHEMES[protocol],
            "split_mask": "dase" if protocol == "dase" else "",
            "leakage_centre": str(LEAKAGE[protocol]),
        }
        for value in values
    )
    return Cell(scene, protocol, label, rows)


CELLS = [
    cell("a", "disjoint", "x", 0.7, 0.72),
    cell("a", "disjoint", "x-plain", 0.6, 0.61),
    cell("a", "random", "x", 0.9, 0.92),
    cell("a", "random", "y", 0.95, kind="baseline"),
    cell("a", "disjoint", "y", 0.8, kind="baseline"),
    cell("b", "random", "x", 0.97),
    cell("b", "dase", "x", 0.9),
    cell("b", "disjoint", "x", 0.5),
    cell("c", "random", "z", 0.5, kind="classical"),
]


def titles(figure):
    return [panel.get_title(loc="left") for panel in figure.axes]


def test_lines_fall_from_the_leaking_split_to_unseen_land():
    figure = draw_lines(CELLS)
    assert titles(figure) == ["b", "a"]  # the hardest first; one protocol makes no line
    first, second = figure.axes
    ticks = [text.get_text().split("\n") for text in first.get_xticklabels()]
    assert [" ".join(lines) for lines in ticks] == [
        "random split 98 % leak",
        "published mask dase 50 % leak",
        "separate regions 0 % leak",
    ]
    lines = [list(map(float, line.get_ydata())) for line in second.lines]
    assert [pytest.approx([91.0, 71.0])] == [line for line in lines if line[0] == pytest.approx(91.0)]
    assert any(line == pytest.approx([95.0, 80.0]) for line in lines)
    assert not any(pytest.approx(value) == 60.5 for line in lines for value in line)  # the plain self
    assert first.get_ylim() == second.get_ylim()
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["x", "other networks"]


def test_all_models_stand_in_one_order_on_one_scale():
    figure = draw_models(CELLS)
    assert titles(figure) == ["a"]  # elsewhere there is one model
    (panel,) = figure.axes
    labels = panel.get_yticklabels()
    assert [text.get_text() for text in labels] == ["x", "y"]  # y is better on unseen land
    assert [text.get_color() == COLORS[0] for text in labels] == [True, False]
    drawn = {
        (round(float(line.get_xdata()[0]), 6), round(float(line.get_ydata()[0]), 2))
        for line, _, _ in panel.containers
    }
    assert drawn == {(71.0, 0.0), (60.5, -0.28), (91.0, 0.0), (95.0, 1.0), (80.0, 1.0)}
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == [
        "separate regions",
        "random split",
        "hollow: A-plain",
    ]


def test_protocols_of_one_scheme_keep_their_names_where_they_meet():
    both = [cell("a", "random", "x", 0.9), cell("a", "long", "x", 0.9)]
    assert protocol_names(both) == {"random": "random split (random)", "long": "random split (long)"}
    apart = [cell("a", "random", "x", 0.9), cell("b", "long", "x", 0.9)]
    assert set(protocol_names(apart).values()) == {"random split"}


def test_no_axis_goes_far_beyond_all_pixels():
    panel = draw_models([cell("a", "random", "x", 1.0), cell("a", "random", "y", 0.9)]).axes[0]
    left, right = panel.get_xlim()
    assert left < 100 < right <= 101


@pytest.mark.parametrize("draw", [draw_lines, draw_models])
def test_the_same_figure_gives_the_same_bytes(draw, tmp_path):
    for name in ("a.svg", "b.svg"):
        save_svg(draw(CELLS), tmp_path / name, "drawn from x")
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()
    assert "drawn from x" in (tmp_path / "a.svg").read_text()


@pytest.mark.parametrize("draw", [draw_lines, draw_models])
def test_nothing_to_draw(draw):
    with pytest.raises(InputError, match="nothing to draw"):
        draw([cell("a", "random", "x", 0.9)])
