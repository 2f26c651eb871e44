"""Spectra of a library at the bands of a scene, and the classes that they belong to."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hsi.datasets.libraries.spectrum import (
    MOST_BACKGROUND,
    SpectralLibrary,
    Spectrum,
    background_pixels,
    class_spectra,
    in_units_of,
)
from hsi.datasets.parts import ScenePart
from hsi.datasets.scene import Scene
from hsi.errors import SceneError

FINE = np.arange(350.0, 2501.0)


def scene(names=("Corn", "Bare soil", "Water"), centres=None, **more) -> Scene:
    """Return a scene of 6 x 5 pixels."""
    centres = np.linspace(400, 2400, 40) if centres is None else centres
    bands = 40 if centres is False else len(centres)
    cube = np.random.default_rng(0).uniform(size=(6, 5, bands))
    return Scene(
        "field", cube, np.ones((6, 5), np.int64), tuple(names), ("#123456",) * len(names),
        wavelengths_nm=None if centres is False else np.asarray(centres, float), **more,
    )  # fmt: skip


def library(*names: str, centres=FINE) -> SpectralLibrary:
    """Return a spectrum for each name, another straight line each."""
    spectra = [Spectrum(name, centres, centres / 1000 * (at + 1)) for at, name in enumerate(names)]
    return SpectralLibrary(tuple(spectra), (Path("x.sli"),))


def test_a_fine_spectrum_is_blurred_by_the_response_of_the_bands():
    values = np.exp(-(((FINE - 1000) / 15) ** 2))
    centres, fwhm = np.array([900.0, 990.0, 1000.0, 1030.0]), np.full(4, 40.0)
    found = Spectrum("x", FINE, values).resampled(centres, fwhm)
    spread = np.sqrt(40**2 - 1) / 2.3548200450309493
    x = np.linspace(600, 1400, 80_001)
    for centre, value in zip(centres, found, strict=True):
        response = np.exp(-((x - centre) ** 2) / (2 * spread**2))
        expected = (np.interp(x, FINE, values) * response).sum() / response.sum()
        assert value == pytest.approx(expected, abs=2e-4)


def test_a_straight_line_stays_one_and_bands_outside_have_no_value():
    found = Spectrum("x", FINE, FINE / 1000).resampled(np.array([300.0, 500.0, 1500.5, 2400.0, 2600.0]))
    np.testing.assert_allclose(found, [np.nan, 0.5, 1.5005, 2.4, np.nan], atol=0.06)


def test_deleted_points_are_bridged_only_by_wider_bands():
    values = np.where((FINE > 1340) & (FINE < 1450), np.nan, 1.0)
    values[200] = np.nan  # 550 nm
    found = Spectrum("x", FINE, values).resampled(np.array([550.0, 1300.0, 1400.0]), np.array([10.0] * 3))
    np.testing.assert_allclose(found, [1.0, 1.0, np.nan])
    assert Spectrum("x", FINE, values).resampled(np.array([1400.0]), np.array([300.0])) == pytest.approx(1)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 30), st.integers(1, 30))
def test_values_stay_between_those_of_the_spectrum(seed, points, bands):
    random = np.random.default_rng(seed)
    known = np.unique(random.uniform(300, 2600, points))
    values = np.where(random.uniform(size=len(known)) < 0.2, np.nan, random.uniform(size=len(known)))
    found = Spectrum("x", known, values).resampled(random.uniform(300, 2600, bands))
    inside = found[np.isfinite(found)]
    if len(inside):
        assert np.nanmin(values) - 1e-9 <= inside.min() <= inside.max() <= np.nanmax(values) + 1e-9


def test_classes_take_the_spectra_of_their_name():
    found = class_spectra(library("corn ", "CORN", "bare_Soil", "lead"), scene())
    assert found.classes.tolist() == [0, 0, 1]
    assert found.values.shape == (3, 40)
    never, ignored = found.notes
    assert "never predicted: Water" in never
    assert "lead" in ignored


def test_a_longer_name_counts_where_there_is_no_equal_one():
    names = ("Corn Iowa 1", "Corn Iowa 2", "Bare soil wet x", "Water", "Water deep", "Cornflower")
    found = class_spectra(library(*names), scene(("Corn", "Bare soil", "Bare soil wet", "Water")))
    assert found.classes.tolist() == [0, 0, 2, 3]
    assert any("Corn takes 2 spectra" in note and "Corn Iowa 1" in note for note in found.notes)
    assert any("Water deep, Cornflower" in note for note in found.notes)


def test_names_that_do_not_meet_are_listed():
    with pytest.raises(SceneError, match=r"No class .* Corn, Bare soil, Water; .* lead, zinc"):
        class_spectra(library("lead", "zinc"), scene())
    with pytest.raises(SceneError, match="Only one class"):
        class_spectra(library("corn", "zinc"), scene())


def test_a_scene_without_wavelengths_is_refused_with_the_way_out():
    with pytest.raises(SceneError, match="wavelengths_nm"):
        class_spectra(library("corn", "water"), scene(centres=False))


def test_bands_beyond_the_library_are_left_out_by_a_note():
    short = library("corn", "water", centres=np.arange(350.0, 2001.0))
    found = class_spectra(short, scene())
    centres = np.linspace(400, 2400, 40)
    assert np.isnan(found.values[:, centres > 2002]).all()
    assert np.isfinite(found.values[:, centres <= 2000]).all()
    assert any("of 40 bands are not covered" in note and "32-39" in note for note in found.notes)


def test_a_library_that_covers_too_little_is_refused_with_both_ranges():
    with pytest.raises(SceneError, match=r"350 to 900 nm .* 400 to 2400 nm"):
        class_spectra(library("corn", "water", centres=np.arange(350.0, 901.0)), scene())


def test_a_short_spectrum_takes_no_bands_from_the_others():
    long, short = library("corn", "water", "bare soil"), library("corn", centres=np.arange(350.0, 901.0))
    found = class_spectra(SpectralLibrary((*long.spectra, *short.spectra), ()), scene())
    assert found.classes.tolist() == [0, 1, 2]
    assert np.isfinite(found.values).all()
    assert any("less than half" in note for note in found.notes)


def test_chosen_bands_only():
    found = class_spectra(library("corn", "water"), scene(), np.array([3, 7, 20]))
    everything = class_spectra(library("corn", "water"), scene())
    assert found.values.shape == (2, 3)
    np.testing.assert_allclose(found.values, everything.values[:, [3, 7, 20]], atol=0.02)


def test_the_background_leaves_out_missing_pixels_and_images_to_test_on():
    parts = (ScenePart("a", 2, 5), ScenePart("b", 3, 5, test=True))
    missing = np.zeros((6, 5), bool)
    missing[0, 2] = missing[2] = True
    whole = scene(parts=parts, missing=missing)
    expected = np.asarray(whole.cube)[:2].reshape(-1, 40)[np.arange(10) != 2].astype(np.float32)
    np.testing.assert_array_equal(background_pixels(whole), expected)
    np.testing.assert_array_equal(background_pixels(whole, np.array([4, 1])), expected[:, [4, 1]])


def test_the_background_of_a_large_scene_is_spread_over_it():
    cube = np.arange(400 * 500, dtype=np.float64).reshape(400, 500, 1)
    large = Scene("large", cube, np.ones((400, 500), np.int64), ("a",), ("#000001",))
    found = background_pixels(large)[:, 0]
    assert MOST_BACKGROUND // 2 < len(found) <= MOST_BACKGROUND
    assert np.unique(np.diff(found)).tolist() == [4]
    assert found[-1] > 400 * 500 - 5


@pytest.mark.parametrize(("pixels", "factor"), [(0.3, 1), (1.5, 1), (30, 100), (2500, 10_000)])
def test_fractions_are_brought_to_the_units_of_the_scene(pixels, factor):
    values = np.array([[0.1, np.nan, 0.4]])
    found, note = in_units_of(values, np.full((3, 3), pixels, np.float32), "the library x")
    np.testing.assert_allclose(found, values * factor)
    assert bool(note) == (factor != 1)
    back, _ = in_units_of(found, np.full((3, 3), 0.2, np.float32), "the library x")
    np.testing.assert_allclose(back, values)
