from __future__ import annotations

import warnings

import numpy as np
import pytest
from scipy.stats import f_oneway

from hsi.datasets.band_choice import choose_bands, select_bands
from hsi.datasets.scene import Scene
from hsi.errors import ConfigError

RANDOM = np.random.default_rng(0)


def _scene() -> Scene:
    """30 bands of noise; bands 4, 13 and 27 tell the three classes apart, 14 a little."""
    labels = RANDOM.integers(0, 4, (20, 18))
    cube = RANDOM.normal(100, 3, (20, 18, 30))
    for band, strength in ((4, 4), (13, 6), (14, 3), (27, 5)):
        cube[:, :, band] += strength * labels
    names = ("a", "b", "c")
    return Scene("s", cube, labels, names, names, wavelengths_nm=np.linspace(400, 690, 30))


def test_the_telling_bands_are_found_one_a_stretch() -> None:
    scene = _scene()
    pixels = scene.labelled[::2]
    chosen = choose_bands(scene, pixels, select=3)
    assert chosen is not None
    assert chosen.tolist() == [4, 13, 27]
    spectra, classes = scene.cube.reshape(-1, 30)[pixels], scene.labels.ravel()[pixels]
    telling = [
        f_oneway(*(spectra[classes == one, band] for one in (1, 2, 3))).statistic for band in range(30)
    ]
    for count in (1, 4, 7, 29):
        stretches = np.array_split(np.arange(30), count)
        oracle = [max(stretch, key=lambda band: telling[band]) for stretch in stretches]
        assert select_bands(spectra, classes, count).tolist() == oracle


def test_only_training_pixels_count() -> None:
    scene = _scene()
    pixels = scene.labelled[:60]
    before = choose_bands(scene, pixels, select=6)
    others = np.setdiff1d(np.arange(20 * 18), pixels)
    scene.cube.reshape(-1, 30)[others] = RANDOM.normal(size=(len(others), 30))
    scene.labels.ravel()[others] = 1
    np.testing.assert_array_equal(choose_bands(scene, pixels, select=6), before)


def test_asked_for_first_selected_then() -> None:
    scene = _scene()
    pixels = scene.labelled
    assert choose_bands(scene, pixels) is None
    assert choose_bands(scene, pixels, select=30) is None
    asked = choose_bands(scene, pixels, bands="450-560nm")
    assert asked is not None
    assert asked.tolist() == list(range(5, 17))
    np.testing.assert_array_equal(choose_bands(scene, pixels, bands="450-560nm", select=12), asked)
    best = choose_bands(scene, pixels, bands="450-560nm", select=1)
    assert best is not None
    assert best.tolist() == [13]
    with pytest.raises(ConfigError, match="negative"):
        choose_bands(scene, pixels, select=-1)


def test_constant_bands_come_last_without_a_warning() -> None:
    scene = _scene()
    scene.cube[:, :, 10:19] = 5.0
    scene.cube[:, :, 13] = RANDOM.normal(size=(20, 18))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        chosen = choose_bands(scene, scene.labelled, select=3)
    assert chosen is not None
    assert chosen[1] in (13, 19)
