from __future__ import annotations

import math

import numpy as np
import pytest

from hsi.errors import InputError
from hsi.figures.curves import draw_curves

HISTORY = [
    {"epoch": e, "train_loss": 2 - e / 10, "val_loss": 2.5, "train_oa": e / 30, "val_oa": e / 40}
    for e in range(25)
]


def test_the_lines_are_the_history():
    loss, accuracy = draw_curves(HISTORY, kept=23).axes
    train, val, kept = loss.lines
    assert np.array_equal(train.get_xdata(), range(1, 26))
    assert np.allclose(train.get_ydata(), [row["train_loss"] for row in HISTORY])
    assert set(val.get_ydata()) == {2.5}
    assert kept.get_xdata()[0] == 24
    assert np.allclose(accuracy.lines[1].get_ydata(), [100 * row["val_oa"] for row in HISTORY])
    assert train.get_linestyle() != val.get_linestyle()  # not by colour alone


def test_the_legend_says_which_epoch_was_kept():
    (legend,) = draw_curves(HISTORY, kept=23).legends
    assert [text.get_text() for text in legend.get_texts()] == [
        "Training pixels", "Validation pixels", "Kept: epoch 24",
    ]  # fmt: skip
    assert len(draw_curves(HISTORY).legends[0].get_texts()) == 2


def test_refuses_a_classifier_without_epochs():
    row = dict.fromkeys(("train_loss", "val_loss"), math.nan) | {"epoch": 0, "train_oa": 1.0, "val_oa": 0.5}
    with pytest.raises(InputError, match="fitted at once"):
        draw_curves([row])
