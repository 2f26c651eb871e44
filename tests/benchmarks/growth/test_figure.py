"""The figure of growth: points where they were measured, the work through the last."""

from __future__ import annotations

import pytest

from benchmarks.growth.figure import draw_growth
from benchmarks.growth.fit import fit_growth
from benchmarks.growth.points import Point
from hsi.errors import InputError
from hsi.figures.style import save_svg


def series(axis, name, memory):
    return [Point(axis, name, n, float(n), "pixels", n**2.0, n**2.0, 3, memory) for n in (10, 20, 40)]


POINTS = [
    *series("bands", "wcnet, training", 20.0),
    *series("bands", "kanet, training", 30.0),
    *series("bands", "wcnet, inference", None),
    *series("ranks", "epoch, wcnet", 9.0),
]


def test_points_work_and_legend():
    figure = draw_growth(fit_growth(POINTS))
    panels = figure.axes
    assert [panel.get_title(loc="left") for panel in panels[::2]] == [
        "Bands: training",
        "Bands: inference",
        "Processes",
    ]
    assert all(panel.get_xscale() == panel.get_yscale() == "log" for panel in panels)
    work, time = panels[0].lines[:2]
    assert list(zip(*time.get_data(), strict=True)) == [(10, 100), (20, 400), (40, 1600)]
    assert list(zip(*work.get_data(), strict=True)) == [(10, 400), (20, 800), (40, 1600)]
    assert len(panels[1].lines) == 2
    assert panels[3].lines[:] == []  # its memory is unknown
    legend = [text.get_text() for text in panels[1].get_legend().get_texts()]
    assert legend == ["wcnet: 2.00, 0.00", "kanet: 2.00, 0.00"]


def test_files_are_reproducible(tmp_path):
    for name in ("a.svg", "b.svg"):
        save_svg(draw_growth(fit_growth(POINTS)), tmp_path / name, "drawn from x")
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()


def test_nothing_to_draw():
    with pytest.raises(InputError, match="nothing to draw"):
        draw_growth([])
