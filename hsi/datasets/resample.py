"""Spectra measured at some wavelengths, turned into what another sensor would have measured at its own."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from hsi.errors import SceneError

Floats = NDArray[np.float64]

_FWHM = 2 * np.sqrt(2 * np.log(2))  # full width at half maximum of a Gaussian, in standard deviations


class Resample:
    """Resamples spectra band by band: linear between bands, and blurred where the wanted bands are wider.

    A band measured with width f (full width at half maximum) that is to look as if measured with width F > f
    needs a further Gaussian blur of width sqrt(F^2 - f^2): variances of Gaussian responses add up. The blur
    is applied exactly to the spectrum drawn as straight lines between band centres, and constant beyond the
    first and last. With equal widths nothing is blurred: that is linear interpolation, and equal wavelengths
    give equal values. Values are not rescaled: both scenes must be in one unit. Our decision.

    Parameters
    ----------
    source_nm, target_nm
        Band centres in nanometres of what is measured, and of what is wanted; in any order.
    source_fwhm_nm, target_fwhm_nm
        Widths of the bands; None takes the distance between neighbouring bands.

    Raises
    ------
    SceneError
        When fewer than two bands are measured, two at one wavelength, or none near enough to a wanted one:
        that would be guessing.
    """

    def __init__(
        self,
        source_nm: NDArray[np.float64],
        target_nm: NDArray[np.float64],
        *,
        source_fwhm_nm: NDArray[np.float64] | None = None,
        target_fwhm_nm: NDArray[np.float64] | None = None,
    ) -> None:
        source, target = np.asarray(source_nm, np.float64), np.asarray(target_nm, np.float64)
        order = np.argsort(source)
        if len(source) < 2 or not (np.diff(source[order]) > 0).all():
            raise SceneError("Resampling needs at least two bands, each at a wavelength of its own.")
        widths = _spacing(source) if source_fwhm_nm is None else np.asarray(source_fwhm_nm, np.float64)
        wanted = _spacing(target) if target_fwhm_nm is None else np.asarray(target_fwhm_nm, np.float64)
        _check_range(source, widths, target)
        there = np.interp(target, source[order], widths[order])
        blur = np.sqrt(np.maximum(wanted**2 - there**2, 0.0)) / _FWHM
        self.weights = np.empty((len(target), len(source)))
        self.weights[:, order] = _weights(source[order], target, blur)

    def transform(self, pixels: NDArray[Any]) -> NDArray[np.float32]:
        """``(..., source bands)`` to ``(..., target bands)`` float32, in the units of the pixels."""
        if pixels.shape[-1] != self.weights.shape[1]:
            raise SceneError(
                f"The resampling is from {self.weights.shape[1]} bands, but the scene has {pixels.shape[-1]}."
            )
        resampled: NDArray[np.float32] = pixels.astype(np.float32) @ self.weights.T.astype(np.float32)
        return resampled


def _weights(source: Floats, target: Floats, blur: Floats) -> Floats:
    """Return ``(targets, sources)`` weights; rows sum to 1.

    The broken line is a sum of hat functions, one a band. The mean of a hat under a Gaussian is a second
    difference of K(x) = E max(x - t - blur Z, 0), Z standard normal: the slopes of K between neighbouring
    bands, 0 before the first and 1 behind the last, differ from band to band by the weights.
    """
    away = source - target[:, None]
    spread = np.where(blur > 0, blur, 1.0)[:, None]
    z = away / spread
    smooth = away * ndtr(z) + spread * np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi)
    k = np.where(blur[:, None] > 0, smooth, np.maximum(away, 0.0))
    slopes = np.diff(k, axis=1) / np.diff(source)
    ends = np.zeros((len(target), 1)), np.ones((len(target), 1))
    return np.diff(np.concatenate([ends[0], slopes, ends[1]], axis=1), axis=1)


def _spacing(wavelengths: Floats) -> Floats:
    """Return the distance of each band to its neighbours; 0 for a single one.

    The smaller of the two: across a gap, such as one of water bands left out, the larger says nothing.
    """
    if len(wavelengths) < 2:
        return np.zeros(len(wavelengths))
    order = np.argsort(wavelengths)
    steps = np.diff(wavelengths[order])
    spacing = np.empty(len(wavelengths))
    spacing[order] = np.minimum(np.append(steps, np.inf), np.append(np.inf, steps))
    return spacing


def _check_range(source: Floats, widths: Floats, target: Floats) -> None:
    """Refuse wavelengths more than a band's width beyond the measured ones."""
    low, high = source.min() - widths[source.argmin()], source.max() + widths[source.argmax()]
    beyond = int(np.count_nonzero((target < low) | (target > high)))
    if beyond:
        raise SceneError(
            f"{beyond} of the {len(target)} wanted bands lie outside what is measured: wanted are "
            f"{target.min():g} to {target.max():g} nm, measured {source.min():g} to {source.max():g} nm."
        )
