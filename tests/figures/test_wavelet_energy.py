from __future__ import annotations

import numpy as np

from hsi.figures.wavelet_energy import draw_wavelet_energy

BANDS = ("LL", "LH", "HL", "HH")


def test_each_cell_shows_its_share():
    share = np.array([[[0.7, 0.1, 0.15, 0.05], [0.25] * 4], [[0.4, 0.3, 0.2, 0.1], [np.nan] * 4]])
    axes = draw_wavelet_energy(share, BANDS, ["1.1", "1.2"]).axes[0]
    assert [text.get_text() for text in axes.get_yticklabels()] == [
        "1.1, level 1",
        "1.1, level 2",
        "1.2, level 1",
    ]
    np.testing.assert_allclose(axes.images[0].get_array(), 100 * share.reshape(4, 4)[:3])
    cells = {text.get_position(): text.get_text() for text in axes.texts}
    assert cells[0, 0] == "70.0"
    assert cells[3, 2] == "10.0"
    assert len(cells) == 12
    assert axes.get_xlabel() == "Sub-band, H W (% of the energy)"
    dark = {text.get_text(): text.get_color() for text in axes.texts}
    assert (dark["70.0"], dark["5.0"]) == ("white", "black")


def test_one_level_needs_no_number():
    axes = draw_wavelet_energy(np.full((2, 1, 4), 0.25), BANDS, ["1.1", "1.2"]).axes[0]
    assert [text.get_text() for text in axes.get_yticklabels()] == ["1.1", "1.2"]
