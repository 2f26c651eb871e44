"""The picture of options: each split's difference to the same model without, and their mean."""

from __future__ import annotations

import pytest

from experiments.pages.options_figure import draw_options, is_of_options
from experiments.pages.table import SPLIT, Cell
from hsi.errors import InputError


def cell(scene, label, *values):
    rows = tuple(
        {**dict.fromkeys(SPLIT, ""), "oa": str(value), "kind": "network", "seed": str(seed)}
        for seed, value in enumerate(values)
    )
    return Cell(scene, "disjoint", label, rows)


CELLS = [
    cell("a", "x", 0.5, 0.6),
    cell("a", "x+tta", 0.6, 0.65),
    cell("a", "x-plain", 0.4, 0.55),
    cell("a", "y+tta", 0.9, 0.9),  # beside no y
    cell("b", "x", 0.5),
    cell("b", "x+tta", 0.7),
]


def test_every_split_and_the_mean_are_drawn():
    figure = draw_options(CELLS, {"x+tta": "--tta"})
    first, second = figure.axes
    assert [panel.get_title(loc="left") for panel in figure.axes] == ["a", "b"]
    assert [text.get_text() for text in first.get_yticklabels()] == ["x-plain", "--tta"]  # the best on top

    def marks(panel):
        lines = [line for line in panel.lines if line.get_marker() in ("o", "D")]
        return {
            (line.get_marker(), int(line.get_ydata()[0])): [round(float(x), 6) for x in line.get_xdata()]
            for line in lines
            if len(line.get_xdata())
        }

    assert marks(first) == {
        ("o", 0): [-10.0, -5.0],
        ("D", 0): [-7.5],
        ("o", 1): [10.0, 5.0],
        ("D", 1): [7.5],
    }
    assert marks(second) == {("o", 1): [20.0], ("D", 1): [20.0]}
    assert first.get_xlim() == second.get_xlim()


def test_an_experiment_of_options_has_models_with_one_more():
    assert is_of_options(CELLS)
    assert not is_of_options([cell("a", "x", 0.5), cell("a", "x-plain", 0.4)])


def test_nothing_to_draw():
    with pytest.raises(InputError, match="nothing to draw"):
        draw_options([cell("a", "y+tta", 0.9)], {})
