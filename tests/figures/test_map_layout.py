"""Pages with a map: nothing overlaps or is cut, and scale bar and arrow say what the transform says."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib import rc_context
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Polygon, Rectangle
from PIL import Image

from hsi.datasets.scene import default_palette
from hsi.errors import ConfigError, InputError
from hsi.figures.map_layout import choose_scale_bar, draw_layout, north_direction, save_layout
from hsi.figures.style import STYLE
from hsi.maps.map_product import MapProduct, rejected_color

UTM = {"crs": "EPSG:32616", "transform": (20.0, 0.0, 500000.0, 0.0, -20.0, 4480000.0)}
LONG = (
    "Corn",
    "Grass-trees (deciduous, dense canopy, mixed ages)",
    "Soybean" * 12,
    "x$\\frac{$",
    "a\nb\x1b c",
)
RENDERER = FigureCanvasAgg(Figure(figsize=(1, 1), dpi=300)).get_renderer()  # measures; nothing is drawn
NOTES = ("Model densenet3d, mean of 3 runs; scene IN; classified on 29 November 2026", "word " * 60)


def layout_of(shape, classes, place=UTM, *, rejects=False, no_data=False, names=LONG, **texts):
    names = tuple(names[n % len(names)] + ("" if n < len(names) else f" {n}") for n in range(classes))
    product = MapProduct("map", *shape, names, default_palette(classes), place, rejects)
    labels = (np.arange(shape[0] * shape[1]).reshape(shape) % classes + 1).astype(product.dtype)
    if rejects:
        labels[0, 0] = 0
    if no_data:
        labels[-1, -1] = product.no_data
    return draw_layout(product, labels, **{"title": "A map", **texts}), product, labels


def boxes(figure):
    """Name and extent, in inches of the printed page, of every text, swatch, arrow, bar and of the map."""
    figure.set_dpi(300)
    paper, picture = figure.axes
    with rc_context(STYLE):
        found = [(f"text {text.get_text()!r}", text.get_window_extent(RENDERER)) for text in paper.texts]
    found += [("patch", patch.get_window_extent()) for patch in paper.patches]
    found.append(("map", picture.get_window_extent()))
    return [(name, np.array(box.extents) / 300) for name, box in found]


def check(figure):
    """Nothing leaves the page, and no text lies over another, a swatch or the map."""
    width, height = figure.get_size_inches()
    found = boxes(figure)
    for name, (left, bottom, right, top) in found:
        assert left >= 0.1, name
        assert bottom >= 0.1, name
        assert right <= width - 0.1, name
        assert top <= height - 0.1, name
    for one, (name, a) in enumerate(found):
        for other, b in found[one + 1 :]:
            apart = a[2] <= b[0] + 0.01 or b[2] <= a[0] + 0.01 or a[3] <= b[1] + 0.02 or b[3] <= a[1] + 0.02
            assert apart or (name == other == "patch"), (name, other)


@pytest.mark.filterwarnings("ignore:Glyph")
@pytest.mark.parametrize(
    ("shape", "classes"),
    [((349, 1905), 15), ((1905, 349), 15), ((83, 86), 6), ((1476, 256), 14), ((256, 1476), 14),
     ((145, 145), 16), ((60, 40), 70), ((40, 60), 120), ((1, 400), 3), ((400, 1), 3), ((1, 1), 1)],
)  # fmt: skip
@pytest.mark.parametrize(
    "place", [UTM, None, {"crs": "EPSG:4326", "transform": (0.0003, 0, 23, 0, -0.0003, 61)}]
)
def test_nothing_is_cut_or_overlaps(shape, classes, place):
    figure, _, _ = layout_of(
        shape,
        classes,
        place,
        rejects=True,
        no_data=shape != (1, 1),
        notes=NOTES,
        subtitle="second line " * 20,
        title="title " * 25,
    )
    check(figure)


@pytest.mark.filterwarnings("ignore:Glyph")
@settings(max_examples=25, deadline=None)
@given(
    rows=st.integers(2, 60),
    cols=st.integers(2, 60),
    classes=st.integers(1, 30),
    names=st.lists(st.text("abcdefgh WM-(),é", min_size=1, max_size=90), min_size=1, max_size=5),
)
def test_any_size_and_any_names(rows, cols, classes, names):
    check(layout_of((rows, cols), classes, rejects=True, names=tuple(names))[0])


def legend_of(figure):
    """Colour -> first line of the name beside it."""
    paper = figure.axes[0]
    found = {}
    for patch in paper.patches:
        if isinstance(patch, Rectangle) and math.isclose(patch.get_width(), patch.get_height()):
            x, y = patch.get_x() + patch.get_width(), patch.get_y() + patch.get_height() / 2
            name = min(
                paper.texts,
                key=lambda text: math.hypot(text.get_position()[0] - x, text.get_position()[1] - y),
            )
            color = "#" + "".join(f"{round(255 * c):02x}" for c in patch.get_facecolor()[:3])
            found[color] = name.get_text()
    return found


def test_the_legend_has_what_occurs():
    names, colors = ("Corn", "Soil", "Never"), ("#2fb344", "#e6332a", "#2f55e0")
    plain = MapProduct("map", 2, 3, names, colors)
    figure = draw_layout(plain, np.array([[1, 2, 2], [1, 1, 2]]), title="")
    assert legend_of(figure) == {"#2fb344": "Corn", "#e6332a": "Soil"}
    figure = draw_layout(plain, np.array([[1, 2, 2], [0, 1, 2]]), title="")
    assert legend_of(figure) == {"#2fb344": "Corn", "#e6332a": "Soil", "#000000": "no data"}
    rejecting = MapProduct("map", 2, 3, names, colors, rejects=True)
    figure = draw_layout(rejecting, np.array([[1, 255, 2], [0, 1, 2]]), title="")
    own = rejected_color(colors)
    assert legend_of(figure) == {
        "#2fb344": "Corn",
        "#e6332a": "Soil",
        own: "not recognised",
        "#000000": "no data",
    }
    image = np.asarray(figure.axes[1].images[0].get_array())
    shown = [["#{:02x}{:02x}{:02x}".format(*pixel) for pixel in row] for row in image]
    assert shown == [["#2fb344", "#000000", "#e6332a"], [own, "#2fb344", "#e6332a"]]


def bar_and_arrow(figure):
    """Length of the scale bar in widths of the map, the text at its end, and the first half of the arrow."""
    paper, picture = figure.axes
    halves = [one for one in paper.patches if isinstance(one, Rectangle) and one.get_height() == 0.05]
    texts = [text.get_text() for text in paper.texts]
    end = next(text for text in texts if text.endswith((" m", " km", "pixels", "pixel")) and len(text) < 12)
    arrow = next(
        (one for one in paper.patches if isinstance(one, Polygon) and not isinstance(one, Rectangle)), None
    )
    map_width = picture.get_position().width * figure.get_size_inches()[0]
    return sum(half.get_width() for half in halves) / map_width, end, arrow


@pytest.mark.parametrize(
    ("place", "metres"),
    [
        (UTM, 20.0),
        ({"crs": "EPSG:32632", "transform": (2.4, 1.8, 6e5, 1.8, -2.4, 5.3e6)}, 3.0),
        ({"crs": "EPSG:4326", "transform": (0.001, 0, 10.0, 0, -0.001, 60.05)}, 55.8),
        ({"crs": "EPSG:32616", "transform": (2000.0, 0, 5e5, 0, -2000.0, 4.4e6)}, 2000.0),
    ],
)
def test_the_scale_bar_is_as_long_as_it_says(place, metres):
    pytest.importorskip("rasterio", reason="the extra geo is not installed")
    share, end, _ = bar_and_arrow(layout_of((100, 120), 5, place)[0])
    number, unit = end.split()
    length = float(number) * {"m": 1, "km": 1000}[unit]
    assert share * 120 * metres == pytest.approx(length, rel=0.003)


def test_without_a_scale_the_bar_is_in_pixels_and_without_coordinates_there_is_no_arrow():
    for place, points in ((None, False), ({**UTM, "crs": ""}, True)):
        share, end, arrow = bar_and_arrow(layout_of((100, 120), 5, place)[0])
        number, unit = end.split()
        assert unit == "pixels"
        assert share * 120 == pytest.approx(float(number))
        assert (arrow is not None) == points


def test_pixels_that_are_not_square_on_the_ground_are_drawn_so():
    pytest.importorskip("rasterio", reason="the extra geo is not installed")
    place = {"crs": "EPSG:32616", "transform": (10.0, 0, 5e5, 0, -30.0, 4.4e6)}
    figure, _, _ = layout_of((50, 100), 3, place)
    box, (width, height) = figure.axes[1].get_position(), figure.get_size_inches()
    assert box.height * height / (box.width * width) == pytest.approx(50 * 30 / (100 * 10))


@pytest.mark.parametrize(
    ("transform", "angle"),
    [
        ((1, 0, 0, 0, -1, 0), 90),
        ((1, 0, 0, 0, 1, 0), -90),  # south is up
        ((-1, 0, 0, 0, -1, 0), 90),  # east is left
        ((0, 1, 0, 1, 0, 0), 0),  # north is to the right
        ((2.4, 1.8, 0, 1.8, -2.4, 0), math.degrees(math.atan2(4, 3))),
    ],
)
def test_north(transform, angle):
    right, up = north_direction(transform, (0.1, 0.1))
    assert math.degrees(math.atan2(up, right)) == pytest.approx(angle)
    # A step that way in the image raises y and leaves x.
    a, b, _, d, e, _ = transform
    x, y = a * right - b * up, d * right - e * up
    assert x == pytest.approx(0, abs=1e-9)
    assert y > 0


@pytest.mark.parametrize("transform", [(20, 0, 0, 0, -20, 0), (20, 0, 0, 0, 20, 0), (12, 16, 0, 16, -12, 0)])
def test_the_arrow_points_there_and_n_stands_at_its_tip(transform):
    figure, _, _ = layout_of((50, 50), 3, {"crs": "EPSG:32616", "transform": transform})
    _, _, arrow = bar_and_arrow(figure)
    tip, tail, notch = arrow.get_xy()[:3]
    way = (tip - notch) / np.linalg.norm(tip - notch)
    np.testing.assert_allclose(way, north_direction(transform, (1, 1)), atol=1e-6)
    letter = next(text for text in figure.axes[0].texts if text.get_text() == "N")
    beyond = np.array(letter.get_position()) - tip
    np.testing.assert_allclose(beyond / np.linalg.norm(beyond), way, atol=1e-6)
    assert np.dot(tail - tip, way) < 0


@settings(max_examples=200, deadline=None)
@given(longest=st.floats(1e-3, 1e8), metres=st.booleans())
def test_lengths_of_scale_bars(longest, metres):
    bar = choose_scale_bar(longest, metres=metres)
    assert longest / 2.5 * 0.999 <= bar.length <= longest * 1.001
    assert f"{bar.length:.0e}"[0] in "125"


def test_it_is_written_as_png_and_as_pdf(tmp_path):
    figure, _, _ = layout_of((30, 40), 4)
    save_layout(figure, tmp_path / "a.png", {"smoothing": "mean, 5 x 5"})
    with Image.open(tmp_path / "a.png") as image:
        image.load()
        assert image.text["smoothing"] == "mean, 5 x 5"
        assert np.abs(np.array(image.size) / 300 - figure.get_size_inches()).max() < 0.01
    save_layout(figure, tmp_path / "a.PDF", {"smoothing": "mean"})
    assert (tmp_path / "a.PDF").read_bytes().startswith(b"%PDF")
    with pytest.raises(ConfigError, match=r"\.png or \.pdf"):
        save_layout(figure, tmp_path / "a.jpg")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.PDF", "a.png"]


def test_labels_of_another_size_are_refused():
    with pytest.raises(InputError, match=r"\(2, 2\).*\(3, 4\)"):
        draw_layout(MapProduct("map", 3, 4, ("a",), ("#ff0000",)), np.ones((2, 2), int), title="")
