from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matplotlib.collections import LineCollection
from matplotlib.image import imread

from hsi.errors import InputError
from hsi.figures.distance import draw_distance
from hsi.figures.style import save_figure
from hsi.scoring.distance import DistanceBin, bin_by_distance

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
