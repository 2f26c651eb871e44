from __future__ import annotations

import numpy as np

from hsi.figures.receptive_field import draw_receptive_field


def test_shares_in_percent_round_the_centre():
    spatial = np.arange(25.0).reshape(5, 5) / 300
    spectral = np.arange(6.0) / 15
    places = np.array([1.0, 2.0, 3.0, 20.0, 21.0, 22.0])  # a gap in the middle
    figure = draw_receptive_field(spatial, spectral, places, "Band", "logit")
    left, right, bar = figure.axes
    np.testing.assert_allclose(left.images[0].get_array(), 100 * spatial)
    assert left.images[0].get_extent() == [-2.5, 2.5, 2.5, -2.5]
    assert [line.get_xdata().tolist() for line in right.lines] == [[1, 2, 3], [20, 21, 22]]
    np.testing.assert_allclose(np.concatenate([line.get_ydata() for line in right.lines]), 100 * spectral)
    assert right.get_xlabel() == "Band"
    assert bar.get_ylabel() == "Share of the gradient (%)"
    assert figure.get_suptitle() == "Logit"
