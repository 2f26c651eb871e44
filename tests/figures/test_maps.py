from __future__ import annotations

import numpy as np
import pytest
from matplotlib import colormaps

from hsi.datasets.scene import Scene
from hsi.errors import InputError
from hsi.figures.maps import (
    choose_bands,
    describe_bands,
    draw_confidence,
    draw_errors,
    draw_false_color,
    draw_labels,
    draw_map,
    draw_prediction,
    error_codes,
    false_color,
    score_title,
    stretch,
)
from hsi.figures.style import COLUMN_MM, PAGE_MM

LABELS = np.array([[0, 1, 1, 2], [0, 3, 3, 2], [1, 0, 3, 0]])
PREDICTED = np.array([[3, 1, 2, 2], [1, 3, 1, 2], [1, 1, 3, 3]])
COLORS = ("#ff0000", "#00ff00", "#0000ff", "#123456")


@pytest.fixture
def scene():
    return Scene("x", np.zeros((3, 4, 2)), LABELS, ("Corn", "Soil", "Water", "Never"), COLORS)


def shown(figure):
    """What each pixel's colour is, as text, and the names of the legend."""
    image = np.asarray(figure.axes[0].images[0].get_array())
    texts = [text.get_text() for legend in figure.legends for text in legend.get_texts()]
    return [["#{:02x}{:02x}{:02x}".format(*pixel) for pixel in row] for row in image], texts


def test_labels_have_the_colours_of_the_scene_and_black(scene):
    image, texts = shown(draw_labels(scene))
    assert image == [[("#000000", *COLORS)[label] for label in row] for row in LABELS]
    assert texts == ["Corn", "Soil", "Water", "Unlabelled"]  # a class that never occurs is left out


def test_a_prediction_has_no_unlabelled_pixels(scene):
    image, texts = shown(draw_prediction(scene, PREDICTED))
    assert image[0] == ["#0000ff", "#ff0000", "#00ff00", "#00ff00"]
    assert texts == ["Corn", "Soil", "Water"]


def test_errors_are_those_of_the_tested_pixels(scene):
    tested = np.array([1, 2, 6, 8])
    codes = error_codes(scene, PREDICTED, tested)
    for place in np.ndindex(LABELS.shape):
        flat = place[0] * 4 + place[1]
        right = LABELS[place] == PREDICTED[place]
        assert codes[place] == (0 if LABELS[place] == 0 else 1 if flat not in tested else 2 if right else 3)
    image, texts = shown(draw_errors(scene, PREDICTED, tested))
    assert len({color for row in image for color in row}) == 4
    assert texts == ["Unlabelled", "Labelled, not tested", "Right", "Wrong"]
    assert shown(draw_errors(scene, LABELS))[1] == ["Unlabelled", "Right"]


def test_a_title_gives_oa_and_leakage_above_the_map(scene):
    title = score_title({"test": {"oa": 0.9125}, "leakage": {"centre": 0.1, "overlap": 0.5}})
    for figure in (
        draw_prediction(scene, PREDICTED, title=title),
        draw_errors(scene, PREDICTED, title=title),
    ):
        figure.canvas.draw()
        (text,) = figure.texts
        assert "91.25 %" in text.get_text()
        assert "50.00 %" in text.get_text()
        box = text.get_window_extent()
        assert box.y0 >= figure.axes[0].get_window_extent().y1 - 1
        assert box.y1 <= figure.bbox.y1
        assert box.x0 >= 0
        assert box.x1 <= figure.bbox.x1


def test_confidence_runs_from_0_to_100_percent():
    figure = draw_confidence(np.array([[0.0, 1.0], [0.5, 0.25]]))
    image, _ = shown(figure)
    ends = [colormaps["cividis"](value)[:3] for value in (0.0, 1.0)]
    assert image[0] == ["#{:02x}{:02x}{:02x}".format(*(round(255 * c) for c in end)) for end in ends]
    assert figure.axes[1].get_xlim() == (0, 100)
    assert figure.axes[1].get_xlabel() == "Confidence (%)"


def test_pixels_stay_square_and_widths_are_those_of_a_journal(scene):
    for rows, cols in ((3, 4), (610, 340), (50, 400)):
        for width in (COLUMN_MM, PAGE_MM):
            figure = draw_map(np.zeros((rows, cols, 3), np.uint8), "caption", width_mm=width)
            box = figure.axes[0].get_position()
            across, down = figure.get_size_inches()
            assert across * 25.4 == pytest.approx(width)
            assert down <= 9
            assert (box.width * across / cols) == pytest.approx(box.height * down / rows)


def test_the_legend_stays_inside(scene):
    names = tuple(f"A class with a rather long name, number {number}" for number in range(16))
    many = Scene("x", np.zeros((4, 4, 1)), np.arange(1, 17).reshape(4, 4), names, COLORS * 4)
    figure = draw_labels(many)
    figure.canvas.draw()
    box = figure.legends[0].get_window_extent()
    assert box.x0 >= 0
    assert box.x1 <= figure.bbox.x1
    assert box.y1 <= figure.axes[0].get_window_extent().y0 + 1


@pytest.mark.parametrize("wrong", [np.ones((4, 3), int), np.full((3, 4), 5), np.full((3, 4), 1.0)])
def test_refuses_a_prediction_that_does_not_fit(scene, wrong):
    for draw in (draw_prediction, draw_errors):
        with pytest.raises(InputError):
            draw(scene, wrong)


@pytest.mark.parametrize("wrong", [np.zeros(3), np.full((2, 2), 1.5), np.full((2, 2), np.nan)])
def test_refuses_confidence_that_is_no_fraction(wrong):
    with pytest.raises(InputError, match="fractions from 0 to 1"):
        draw_confidence(wrong)


def scene_of(cube, wavelengths=None):
    labels = np.ones(cube.shape[:2], np.int64)
    nm = None if wavelengths is None else np.array(wavelengths, float)
    return Scene("x", cube, labels, ("A",), ("#e6332a",), wavelengths_nm=nm)


@pytest.fixture
def noise():
    return np.random.default_rng(0).normal(size=(12, 15, 9))


def test_takes_the_bands_nearest_to_red_green_and_blue(noise):
    scene = scene_of(noise, [400, 460, 500, 545, 560, 600, 640, 700, 900])
    assert choose_bands(scene) == (6, 3, 1)
    assert describe_bands(scene, (6, 3, 1)).startswith("Red, green, blue: 640 nm, 545 nm, 460 nm; ")


@pytest.mark.parametrize("wavelengths", [None, np.linspace(1000, 2500, 9)])
def test_without_visible_bands_takes_the_clearest_of_each_third(noise, wavelengths):
    ramp = np.add.outer(np.arange(12.0), 3 * np.arange(15.0))
    for band in (2, 4, 6):
        noise[:, :, band] += ramp
    noise[:, :, 7] = 5  # a dead band is as smooth as can be, and shows nothing
    assert choose_bands(scene_of(noise, wavelengths)) == (6, 4, 2)


def test_one_band_is_shown_grey(noise):
    image = false_color(scene_of(noise[:, :, :1]))
    assert image.shape == (12, 15, 3)
    assert (image == image[:, :, :1]).all()


def test_stretches_between_the_percentiles():
    band = np.arange(101.0).reshape(1, -1)  # percentile p is p
    shown = stretch(band)[0]
    assert (shown[:3] == 0).all()
    assert (shown[98:] == 255).all()
    assert shown[50] == round(255 * 48 / 96)
    assert (np.diff(shown.astype(int)) >= 0).all()
    assert not stretch(np.full((3, 3), 7)).any()


def test_draws_the_chosen_bands_pixel_by_pixel(noise):
    scene = scene_of(noise)
    figure = draw_false_color(scene, (0, 5, 8))
    image = figure.axes[0].images[0].get_array()
    assert np.array_equal(image[:, :, 1], stretch(noise[:, :, 5]))
    assert "band 1, band 6, band 9; each from its 2 to its 98 percentile" in figure.texts[0].get_text()


@pytest.mark.parametrize("bands", [(0, 1), (0, 1, 9), (-1, 0, 1)])
def test_refuses_bands_that_are_not_there(noise, bands):
    with pytest.raises(InputError, match="three bands from 0 to 8"):
        false_color(scene_of(noise), bands)
