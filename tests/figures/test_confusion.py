from __future__ import annotations

import numpy as np
import pytest

from hsi.errors import InputError
from hsi.figures.confusion import draw_confusion

COUNTS = np.array([[3, 1, 0], [0, 0, 0], [1, 0, 999]])


def test_cells_are_shares_of_their_rows():
    axes = draw_confusion(COUNTS, ["Corn", "Soil", "Water"]).axes[0]
    cells = {text.get_position(): text.get_text() for text in axes.texts}
    assert cells == {(0, 0): "75", (1, 0): "25", (0, 2): "<1", (2, 2): "100"}
    assert np.allclose(axes.images[0].get_array(), [[0.75, 0.25, 0], [0, 0, 0], [0.001, 0, 0.999]])
    assert [text.get_text() for text in axes.get_yticklabels()] == ["Corn 1", "Soil 2", "Water 3"]


def test_numbers_can_be_read_on_their_cells():
    for text in draw_confusion(COUNTS, "abc").axes[0].texts:
        assert text.get_color() == ("white" if text.get_text() in ("75", "100") else "black")


def test_many_classes_take_the_page():
    few, many = (draw_confusion(np.eye(n, dtype=int), ["x"] * n).get_size_inches()[0] for n in (9, 10))
    assert many > 2 * few


def test_refuses_another_number_of_classes():
    with pytest.raises(InputError, match="of 2 classes"):
        draw_confusion(COUNTS, ["Corn", "Soil"])
