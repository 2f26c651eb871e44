from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from matplotlib.collections import LineCollection
from matplotlib.image import imread

from hsi.errors import InputError
from hsi.figures.curves import draw_confusion, draw_curves, draw_distance
from hsi.figures.style import save_figure
from hsi.scoring.distance import DistanceBin, bin_by_distance

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


COUNTS = np.array([[3, 1, 0], [0, 0, 0], [1, 0, 999]])


def test_cells_are_shares_of_their_rows():
    axes = draw_confusion(COUNTS, ["Corn", "Soil", "Water"]).axes[0]
    cells = {text.get_position(): text.get_text() for text in axes.texts}
    assert cells == {(0, 0): "75", (1, 0): "25", (0, 2): "<1", (2, 2): "100"}
    assert np.allclose(axes.images[0].get_array(), [[0.75, 0.25, 0], [0, 0, 0], [0.001, 0, 0.999]])
    for labels in (axes.get_yticklabels(), axes.get_xticklabels()):
        assert [text.get_text() for text in labels] == ["Corn 1", "Soil 2", "Water 3"]


def test_numbers_can_be_read_on_their_cells():
    halves = [[50, 50], [5, 95]]
    for text in [*draw_confusion(COUNTS, "abc").axes[0].texts, *draw_confusion(halves, "ab").axes[0].texts]:
        assert text.get_color() == ("white" if text.get_text() in ("75", "95", "100") else "black")


def test_many_classes_take_the_page():
    few, many = (draw_confusion(np.eye(n, dtype=int), ["x"] * n).get_size_inches()[0] for n in (9, 10))
    assert many > 2 * few


def test_refuses_another_number_of_classes():
    with pytest.raises(InputError, match="of 2 classes"):
        draw_confusion(COUNTS, ["Corn", "Soil"])


NEAR = (DistanceBin(1, 1, 50, 40), DistanceBin(2, 2, 0, 0), DistanceBin(3, 4, 150, 60))
FAR = bin_by_distance(np.arange(1, 91), np.arange(90) % 3 > 0)


def test_the_picture_shows_the_numbers() -> None:
    above, below = draw_distance({"one": NEAR}, [5]).axes
    marks = above.containers[0].lines[0]
    assert np.array_equal(marks.get_ydata(), [80, 40])  # the empty bin has no mark
    assert np.array_equal(marks.get_xdata(), [0, 2])
    (bars,) = [c for c in above.collections if isinstance(c, LineCollection)]
    for one, segment in zip((NEAR[0], NEAR[2]), bars.get_segments(), strict=True):
        assert np.allclose(sorted(segment[:, 1]), [100 * bound for bound in one.interval])
    assert [bar.get_height() for bar in below.patches] == [25, 0, 75]
    assert [text.get_text() for text in below.get_xticklabels()] == ["1", "2", "3–4"]


def test_several_runs_share_the_axes_and_keep_their_names() -> None:
    figure = draw_distance({"seed0": NEAR, "seed1": FAR}, [5, 3, 5])
    above, below = figure.axes
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == [
        "seed0", "seed1", "Patch half-width, 3 px", "Patch half-width, 5 px",
    ]  # fmt: skip
    assert below.get_xticklabels()[-1].get_text() == "≥65"
    first, second = (container.lines[0] for container in above.containers)
    assert first.get_color() != second.get_color()
    assert first.get_marker() != second.get_marker()


def test_the_half_width_lies_behind_the_last_distance_within_the_patch() -> None:
    above, _ = draw_distance({"one": FAR}, [2, 3, 4]).axes
    places = [
        line.get_xdata()[0]
        for line in above.lines
        if line.get_linestyle() != "-" and len(line.get_xdata()) == 2
    ]
    assert places == pytest.approx([1.5, 2.0, 2.5])  # bins: 1, 2, 3-4, so 3 is in the middle of the third


def test_is_saved_for_screen_and_print(tmp_path: Path) -> None:
    png, pdf = save_figure(draw_distance({"one": NEAR}, [5]), tmp_path / "figures", "distance")
    assert png.name == "distance.png"
    assert imread(png).shape[1] == 1050  # 3.5 inches at 300 pixels an inch
    assert imread(png).std() > 0.05
    assert pdf.read_bytes().startswith(b"%PDF")


def test_refuses_to_draw_nothing() -> None:
    with pytest.raises(InputError, match="no distances to draw"):
        draw_distance({}, [5])
