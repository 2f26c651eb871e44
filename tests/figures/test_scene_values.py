from __future__ import annotations

import numpy as np
import pytest

from hsi.errors import InputError
from hsi.figures.scene_values import draw_scene_values
from hsi.figures.style import COLUMN_MM, PAGE_MM

VALUES = np.linspace(0.2, 0.7, 4 * 5 * 2).reshape(4, 5, 2)
BY_LAYER = np.array([[0.1, 0.2], [0.3, 0.4], [0.5, 0.6]])


def drawn(**options):
    given = {"titles": ["One", "Two"], "label": "Share (%)", "scale": 100.0, **options}
    return draw_scene_values(VALUES, BY_LAYER, ["1.1", "1.2", "2.1"], **given)


def test_maps_share_one_scale():
    maps, bar, below = drawn().subfigs
    assert [axes.get_title() for axes in maps.axes] == ["One", "Two"]
    for number, axes in enumerate(maps.axes):
        np.testing.assert_allclose(axes.images[0].get_array(), 100 * VALUES[..., number])
        assert axes.images[0].get_clim() == pytest.approx((20, 70))
    assert bar.axes[0].get_xlabel() == "Share (%)"
    for number, line in enumerate(below.axes[0].lines):
        np.testing.assert_allclose(line.get_ydata(), 100 * BY_LAYER[:, number])
    assert [text.get_text() for text in below.axes[0].get_xticklabels()] == ["1.1", "1.2", "2.1"]


def test_a_balance_has_its_middle_in_the_middle():
    image = drawn(middle=50.0).subfigs[0].axes[0].images[0]
    assert image.get_clim() == pytest.approx((20, 80))


def test_one_map_takes_a_column_and_one_layer_no_panel():
    figure = draw_scene_values(VALUES[..., :1], BY_LAYER[:1, :1], ["1.1"], titles=[""], label="x")
    assert len(figure.subfigs) == 2
    assert figure.get_size_inches()[0] * 25.4 == pytest.approx(COLUMN_MM)
    assert drawn().get_size_inches()[0] * 25.4 == pytest.approx(PAGE_MM)


def test_pixels_without_data_are_no_numbers():
    values = VALUES.copy()
    values[1, 2] = np.nan
    figure = draw_scene_values(values, BY_LAYER, ["a", "b", "c"], titles=["One", "Two"], label="x")
    image = figure.subfigs[0].axes[0].images[0]
    assert np.isnan(np.ma.filled(image.get_array(), np.nan)).sum() == 1
    assert image.cmap.get_bad()[:3] == pytest.approx([0.35] * 3)
    with pytest.raises(InputError, match="no pixel"):
        draw_scene_values(values * np.nan, BY_LAYER, ["a", "b", "c"], titles=["One", "Two"], label="x")
