"""Spectra at other wavelengths, against numpy.interp and numerical integrals."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hsi.datasets.resample import Resample
from hsi.errors import SceneError


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
def test_wider_bands_are_gaussian_means_of_the_broken_line(seed, sources, wanted, measured):
    random = np.random.default_rng(seed)
    source = wavelengths(seed, sources)
    target = random.uniform(source[0], source[-1], 4)
    spectrum = random.uniform(0, 10, sources)
    made = Resample(
        source, target, source_fwhm_nm=np.full(sources, measured), target_fwhm_nm=np.full(4, wanted)
    )
    sigma = np.sqrt(max(wanted**2 - measured**2, 0)) / 2.354820045
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


def test_what_cannot_be_known_is_refused():
    with pytest.raises(SceneError, match=r"2 of the 3 wanted bands lie outside .* 400 to 900 .* 450 to 600"):
        Resample(np.linspace(450, 600, 16), np.array([400.0, 500.0, 900.0]))
    with pytest.raises(SceneError, match="at least two bands"):
        Resample(np.array([500.0]), np.array([500.0]))
    with pytest.raises(SceneError, match="a wavelength of its own"):
        Resample(np.array([500.0, 500.0]), np.array([500.0]))
    with pytest.raises(SceneError, match="from 2 bands, but the scene has 3"):
        Resample(np.array([500.0, 510.0]), np.array([505.0])).transform(np.zeros((4, 3)))
