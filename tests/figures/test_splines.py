from __future__ import annotations

import numpy as np
import pytest

from hsi.figures.splines import draw_knots, draw_splines


@pytest.mark.parametrize("count", [1, 3, 5])
def test_a_panel_for_each_function(count):
    x = np.linspace(-1, 1, 7) * np.arange(1, count + 1)[:, None]
    base, spline, knots = x**2, -x, np.tile(np.linspace(-1, 1, 4), (count, 1))
    figure = draw_splines(x, base, spline, knots, [f"edge {i}" for i in range(count)])
    shown = [axes for axes in figure.axes if axes.axison]
    assert [axes.get_title(loc="left") for axes in shown] == [f"edge {i}" for i in range(count)]
    for number, axes in enumerate(shown):
        _, first, second, both, ticks = axes.lines
        np.testing.assert_allclose(first.get_ydata(), base[number])
        np.testing.assert_allclose(second.get_ydata(), spline[number])
        np.testing.assert_allclose(both.get_ydata(), base[number] + spline[number])
        np.testing.assert_allclose(ticks.get_xdata(), knots[number])
    assert len(figure.legends[0].get_texts()) == 4


def test_knots_now_and_at_the_start():
    random = np.random.default_rng(0)
    knots = [np.sort(random.normal(0, 3, (9, 5)), axis=1) for _ in range(2)]
    start = [np.tile(np.linspace(-1, 1, 5), (9, 1))] * 2
    axes = draw_knots(knots, start, ["1.1", "1.2"]).axes[0]
    assert axes.yaxis_inverted()
    for row, now in enumerate(knots):
        medians, then = axes.lines[2 * row : 2 * row + 2]
        np.testing.assert_allclose(medians.get_xdata(), np.median(now, axis=0))
        np.testing.assert_allclose(then.get_xdata(), np.linspace(-1, 1, 5))
        assert set(then.get_ydata()) == {row}
        ends = np.array([line[:, 0] for line in axes.collections[row].get_segments()])
        np.testing.assert_allclose(ends.T, np.percentile(now, (5, 95), axis=0))
