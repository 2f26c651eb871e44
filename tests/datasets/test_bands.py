"""Bands by text, water windows against those of Indian Pines; resampling against numerical integrals."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
import spectral
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import f_oneway

from hsi.datasets.bands import Resample, choose_bands, name_bands, parse_bands, select_bands
from hsi.datasets.scene import Scene
from hsi.errors import ConfigError, SceneError

CENTRES = np.arange(400.0, 2500.0, 10.0)  # 210 bands


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0-3,7", [0, 1, 2, 3, 7]),
        ("7, 2-3 ,3", [2, 3, 7]),
        ("209", [209]),
        ("400-420nm", [0, 1, 2]),
        ("401-419nm,0.43-0.44um,5", [1, 3, 4, 5]),
        ("0.4um-420nm", [0, 1, 2]),
        ("400-410 NM", [0, 1]),
    ],
)
def test_the_named_bands(text: str, expected: list[int]) -> None:
    assert parse_bands(text, 210, CENTRES).tolist() == expected


def test_no_water_leaves_out_what_indian_pines_leaves_out() -> None:
    table = Path(spectral.__file__).parent / "tests" / "data" / "92AV3C.spc"
    rows = [line.split() for line in table.read_text().splitlines()]
    centres = np.array([float(row[0]) for row in rows if row and row[0][0].isdigit()])
    assert len(centres) == 220
    dropped = {*range(104, 109), *range(150, 164), 220}  # counted from 1, as the literature does
    kept = [band for band in range(220) if band + 1 not in dropped]
    assert parse_bands("no-water", 220, centres, "AVIRIS").tolist() == kept
    assert parse_bands("0-110,no-water", 220, centres).tolist() == [band for band in kept if band <= 110]


@pytest.mark.parametrize("sensor", ["ROSIS-03", "ITRES CASI-1500"])
def test_sensors_that_end_below_the_windows_lose_nothing(sensor: str) -> None:
    assert len(parse_bands("no-water", 103, None, sensor)) == 103


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("210", "no band 210: the scene has 210 bands, 0 to 209"),
        ("9-3", "run backwards; write 3-9"),
        ("900-800nm", "runs backwards"),
        ("100-200nm", "No band lies in '100-200nm'.*400 to 2490 nm"),
        ("1360-1400nm,no-water", "leave none of the 210 bands"),
        ("", "cannot be read"),
        ("1,,2", "cannot be read"),
        ("no_water", "cannot be read; write 0-99,120 or 400-1300nm or no-water"),
        ("400nm", "cannot be read"),
    ],
)
def test_invalid_bands_are_refused(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_bands(text, 210, CENTRES)


@pytest.mark.parametrize("text", ["400-500nm", "no-water"])
def test_ranges_need_wavelengths(text: str) -> None:
    with pytest.raises(ConfigError, match="this scene has none; choose by number"):
        parse_bands(text, 210, None, "AVIRIS")


@given(st.sets(st.integers(0, 60), min_size=1))
def test_names_are_read_back(numbers: set[int]) -> None:
    text = name_bands(np.array(sorted(numbers)))
    assert parse_bands(text, 61, None).tolist() == sorted(numbers)


@given(st.text(alphabet="0123456789-,num. owater", max_size=12))
def test_any_text_gives_bands_or_a_typed_error(text: str) -> None:
    try:
        chosen = parse_bands(text, 210, CENTRES)
    except ConfigError:
        return
    assert len(chosen)
    assert (np.diff(chosen) > 0).all()
    assert 0 <= chosen[0] <= chosen[-1] < 210


RANDOM = np.random.default_rng(0)


def _scene() -> Scene:
    """30 bands of noise; bands 4, 13 and 27 separate the three classes, 14 a little."""
    labels = RANDOM.integers(0, 4, (20, 18))
    cube = RANDOM.normal(100, 3, (20, 18, 30))
    for band, strength in ((4, 4), (13, 6), (14, 3), (27, 5)):
        cube[:, :, band] += strength * labels
    names = ("a", "b", "c")
    return Scene("s", cube, labels, names, names, wavelengths_nm=np.linspace(400, 690, 30))


def test_the_best_band_of_each_stretch_is_selected() -> None:
    scene = _scene()
    pixels = scene.labelled[::2]
    chosen = choose_bands(scene, pixels, select=3)
    assert chosen is not None
    assert chosen.tolist() == [4, 13, 27]
    spectra, classes = scene.cube.reshape(-1, 30)[pixels], scene.labels.ravel()[pixels]
    scores = [f_oneway(*(spectra[classes == one, band] for one in (1, 2, 3))).statistic for band in range(30)]
    for count in (1, 4, 7, 29):
        stretches = np.array_split(np.arange(30), count)
        oracle = [max(stretch, key=lambda band: scores[band]) for stretch in stretches]
        assert select_bands(spectra, classes, count).tolist() == oracle


def test_only_training_pixels_count() -> None:
    scene = _scene()
    pixels = scene.labelled[:60]
    before = choose_bands(scene, pixels, select=6)
    others = np.setdiff1d(np.arange(20 * 18), pixels)
    scene.cube.reshape(-1, 30)[others] = RANDOM.normal(size=(len(others), 30))
    scene.labels.ravel()[others] = 1
    np.testing.assert_array_equal(choose_bands(scene, pixels, select=6), before)


def test_bands_are_selected_among_those_asked_for() -> None:
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


def wavelengths(seed, count):
    return 400 + np.random.default_rng(seed).uniform(2, 12, count).cumsum()


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 40), st.integers(1, 30))
def test_equal_widths_are_linear_interpolation(seed, sources, targets):
    random = np.random.default_rng(seed)
    source = wavelengths(seed, sources)
    target = random.uniform(source[0], source[-1], targets)
    order = random.permutation(sources)
    made = Resample(
        source[order], target, source_fwhm_nm=np.full(sources, 9.0), target_fwhm_nm=np.full(targets, 9.0)
    )
    spectra = random.uniform(0, 1000, (3, sources))
    expected = np.stack([np.interp(target, source, spectrum) for spectrum in spectra])
    np.testing.assert_allclose(made.transform(spectra[:, order]), expected, rtol=1e-5)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 30), st.floats(5, 60), st.floats(0, 40))
def test_wider_bands_are_gaussian_means_of_the_piecewise_linear_spectrum(seed, sources, wide, narrow):
    random = np.random.default_rng(seed)
    source = wavelengths(seed, sources)
    target = random.uniform(source[0], source[-1], 4)
    spectrum = random.uniform(0, 10, sources)
    made = Resample(source, target, source_fwhm_nm=np.full(sources, narrow), target_fwhm_nm=np.full(4, wide))
    sigma = np.sqrt(max(wide**2 - narrow**2, 0)) / 2.354820045
    for weights, centre in zip(made.weights, target, strict=True):
        assert weights.sum() == pytest.approx(1)
        if sigma < 0.2:
            continue  # the grid below is too coarse
        at = np.linspace(centre - 8 * sigma, centre + 8 * sigma, 40_001)
        response = np.exp(-((at - centre) ** 2) / (2 * sigma**2))
        mean = (np.interp(at, source, spectrum) * response).sum() / response.sum()
        assert weights @ spectrum == pytest.approx(mean, rel=1e-4, abs=1e-4)


def test_the_same_wavelengths_change_nothing_and_widths_default_to_the_spacing():
    source = wavelengths(0, 20)
    np.testing.assert_allclose(Resample(source, source).weights, np.eye(20), atol=1e-12)
    fine = np.arange(400.0, 801.0, 1.0)
    coarse = np.arange(420.0, 780.0, 20.0)
    blurred = Resample(fine, coarse).weights
    # As wide as the coarse bands' spacing, less what the fine bands have.
    middle = blurred[5]
    centre = (middle * fine).sum()
    spread = np.sqrt((middle * (fine - centre) ** 2).sum())
    assert centre == pytest.approx(coarse[5])
    assert spread * 2.3548 == pytest.approx(20, rel=0.02)


def test_resampling_without_enough_bands_is_refused():
    with pytest.raises(SceneError, match=r"2 of the 3 target bands .400 to 900 nm. .* 450 to 600"):
        Resample(np.linspace(450, 600, 16), np.array([400.0, 500.0, 900.0]))
    with pytest.raises(SceneError, match="at least two bands"):
        Resample(np.array([500.0]), np.array([500.0]))
    with pytest.raises(SceneError, match="a wavelength of its own"):
        Resample(np.array([500.0, 500.0]), np.array([500.0]))
    with pytest.raises(SceneError, match="from 2 bands, but the scene has 3"):
        Resample(np.array([500.0, 510.0]), np.array([505.0])).transform(np.zeros((4, 3)))
