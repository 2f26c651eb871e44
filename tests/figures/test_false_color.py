from __future__ import annotations

import numpy as np
import pytest

from hsi.datasets.scene import Scene
from hsi.errors import InputError
from hsi.figures.false_color import choose_bands, describe_bands, draw_false_color, false_color, stretch


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
