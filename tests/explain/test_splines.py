from __future__ import annotations

import numpy as np
import pytest
from scipy.interpolate import BSpline

import hsi
from hsi.errors import ConfigError
from hsi.explain.splines import draw_knots, draw_splines
from hsi.models.kanet import KANConv3d


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


def kan_layers(run):
    return [module for module in run.load_model("cpu").modules() if isinstance(module, KANConv3d)]


@pytest.mark.parametrize("layer", [0, 3])
def test_curves_are_those_of_scipy(run_of, layer):
    run = run_of("kanet")
    module = kan_layers(run)[layer]
    edges = [[0, 0], [3, 30], [15, 27 * module.in_channels - 1]]
    found = hsi.explain.splines(run, layer, edges, points=33)
    assert found.x.shape == found.base.shape == found.spline.shape == (3, 33)
    assert found.layer == ("1.1", "1.2", "2.1", "3.1")[layer]
    for i, (output, put) in enumerate(edges):
        knots = module.grid[put // 27].double().numpy()
        weights = (module.spline_weight * module.spline_scaler.unsqueeze(-1))[output, put]
        np.testing.assert_allclose(found.knots[i], knots)
        np.testing.assert_allclose(found.x[i], np.linspace(knots[2], knots[-3], 33))
        curve = BSpline(knots, weights.detach().double().numpy(), 2)
        np.testing.assert_allclose(found.spline[i], curve(found.x[i]), rtol=1e-5, atol=1e-9)
        silu = found.x[i] / (1 + np.exp(-found.x[i]))
        np.testing.assert_allclose(found.base[i], module.base_weight[output, put].item() * silu, rtol=1e-6)
    np.testing.assert_array_equal(found.phi, found.base + found.spline)


def test_the_default_edges_are_those_that_bend_most(run_of):
    run = run_of("kanet")
    found = hsi.explain.splines(run, points=21)
    assert found.edges.shape == (12, 2)
    every = np.stack([part.ravel() for part in np.indices((16, 8 * 27))], axis=1)
    spread = hsi.explain.splines(run, edges=every, points=21).spline.std(axis=1).reshape(16, -1)
    np.testing.assert_allclose(found.spline.std(axis=1), np.sort(spread.ravel())[::-1][:12])
    panels = found.figure().axes
    assert len(panels) == 12
    assert panels[0].get_title(loc="left") == "input {1} to output {0}".format(*found.edges[0])
    np.testing.assert_array_equal(panels[0].lines[3].get_ydata(), found.phi[0])


def test_knots_move_from_the_uniform_grid(run_of):
    run = run_of("kanet")
    found = hsi.explain.grid_shift(run)
    uniform = -2 + 5 / 4 * np.arange(-2, 7)  # 4 intervals on [-2, 3], and 2 knots on either side
    modules = kan_layers(run)
    assert len(found.knots) == len(found.start) == 4
    for now, then, module in zip(found.knots, found.start, modules, strict=True):
        np.testing.assert_allclose(then, np.broadcast_to(uniform, (module.in_channels, 9)), atol=1e-6)
        np.testing.assert_array_equal(now, module.grid.double())
    assert (found.moved > 0.01).all()  # the second epoch has adapted them
    for layer in range(4):
        inner = found.knots[layer][:, 2:-2]
        assert found.moved[layer] == pytest.approx(np.abs(inner - uniform[2:-2]).mean(), rel=1e-6)
        assert found.widened[layer] == pytest.approx(np.median((inner[:, -1] - inner[:, 0]) / 5), rel=1e-6)
    figure = found.figure()
    assert [text.get_text() for text in figure.axes[0].get_yticklabels()] == ["1.1", "1.2", "2.1", "3.1"]
    np.testing.assert_allclose(
        hsi.explain.splines(run, 1, [[0, 30]]).start[0], found.start[1][30 // 27], atol=1e-6
    )


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"edges": [[0, 8 * 27]]}, r"from \(0, 0\) to \(15, 215\)"),
        ({"edges": [[-1, 0]]}, r"from \(0, 0\)"),
        ({"edges": []}, "pairs"),
        ({"edges": [[0.5, 1]]}, "pairs"),
        ({"edges": [1, 2]}, "pairs"),
        ({"points": 1}, "at least 2"),
    ],
)
def test_refuses_edges_that_are_not_there(run_of, wrong, message):
    with pytest.raises(ConfigError, match=message):
        hsi.explain.splines(run_of("kanet"), **wrong)
