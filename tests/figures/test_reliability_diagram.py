"""The reliability diagram shows the numbers of its bins."""

from __future__ import annotations

import numpy as np
import pytest

from hsi.confidence.reliability import calibration_error, reliability_bins
from hsi.errors import InputError
from hsi.figures.reliability_diagram import draw_reliability
from hsi.figures.style import save_figure


@pytest.fixture
def curves():
    rng = np.random.default_rng(0)
    proba = rng.dirichlet(np.full(4, 0.3), 500)
    targets = np.where(rng.random(500) < 0.7, proba.argmax(axis=1), rng.integers(0, 4, 500))
    halfway = 0.5 * proba + 0.125
    return {
        name: (reliability_bins(some, targets), calibration_error(some, targets))
        for name, some in (("Before", proba), ("After", halfway))
    }


def test_lines_bars_and_legend_are_those_of_the_bins(curves, tmp_path):
    figure = draw_reliability({name: bins for name, (bins, _) in curves.items()})
    above, below = figure.axes
    diagonal, *lines = above.lines
    assert diagonal.get_xydata().tolist() == [[0, 0], [100, 100]]
    for line, (bins, _) in zip(lines, curves.values(), strict=True):
        expected = [(100 * one.confidence, 100 * one.accuracy) for one in bins if one.pixels]
        np.testing.assert_allclose(line.get_xydata(), expected)
    for bars, (bins, _) in zip(below.containers, curves.values(), strict=True):
        heights = [bar.get_height() for bar in bars]
        np.testing.assert_allclose(heights, [100 * one.pixels / 500 for one in bins])
        assert sum(heights) == pytest.approx(100)
        for bar, one in zip(bars, bins, strict=True):  # each bar lies inside its bin
            assert 100 * one.low <= bar.get_x() <= bar.get_x() + bar.get_width() <= 100 * one.high + 1e-9
    texts = [text.get_text() for text in figure.legends[0].get_texts()]
    assert texts == [
        f"{name}: calibration error {100 * error:.1f} points" for name, (_, error) in curves.items()
    ]
    low = min(one.low for bins, _ in curves.values() for one in bins if one.pixels)
    assert below.get_xlim()[0] <= 100 * low
    least = min(one.accuracy for bins, _ in curves.values() for one in bins if one.pixels)
    assert above.get_ylim()[0] < 100 * least
    assert all(path.stat().st_size > 1000 for path in save_figure(figure, tmp_path, "reliability"))


def test_names_of_one_curve_without_pixels_are_left_out_and_none_at_all_is_told():
    empty = reliability_bins(np.zeros((0, 2)), np.zeros(0, int))
    one = reliability_bins([[0.9, 0.1], [0.6, 0.4]], [0, 1])
    figure = draw_reliability({"Nothing": empty, "Two": one})
    assert [text.get_text().split(":")[0] for text in figure.legends[0].get_texts()] == ["Two"]
    for curves in ({}, {"Nothing": empty}):
        with pytest.raises(InputError, match="no reliability to draw"):
            draw_reliability(curves)
