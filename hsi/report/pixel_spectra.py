"""The spectra of all shown pixels, small enough for a page: principal components, a byte each.

What is lost is measured and said on the page. All of this is our decision.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.decomposition import PCA

MOST_COMPONENTS = 64
MOST_BYTES = 4_000_000
"""Bytes of all components of all pixels at most, before compression."""
FITTED_ON = 20_000
"""Pixels, spread evenly, that the components are fitted on."""
_LEVELS = 255
_AT_ONCE = 16_384


@dataclass(frozen=True)
class PixelSpectra:
    """Spectra of n pixels: ``mean + sum over c of (low[c] + step[c] * codes[c]) * basis[c]``.

    Attributes
    ----------
    mean, basis
        ``(bands,)`` and ``(components, bands)``, in the values of the cube.
    low, step
        ``(components,)`` what code 0 stands for, and the distance from code to code.
    codes
        ``(components, n)`` uint8.
    relative_error
        Root mean square error over all pixels and bands, as a fraction of the values' standard deviation
        round the mean spectrum; 0 where all spectra are the same.
    """

    mean: NDArray[np.float32]
    basis: NDArray[np.float32]
    low: NDArray[np.float32]
    step: NDArray[np.float32]
    codes: NDArray[np.uint8]
    relative_error: float

    def restore(self) -> NDArray[np.float32]:
        """Return the spectra ``(n, bands)``, as the page draws them."""
        scores = self.low[:, None] + self.step[:, None] * self.codes
        return (self.mean + scores.T @ self.basis).astype(np.float32)


def pack_spectra(spectra: NDArray[Any]) -> PixelSpectra:
    """Describe spectra ``(n, bands)`` by principal components; as many as `MOST_BYTES` leaves room for."""
    pixels, bands = spectra.shape
    components = max(1, min(MOST_COMPONENTS, bands, pixels, MOST_BYTES // pixels))
    sample = np.asarray(spectra[:: max(1, pixels // FITTED_ON)], np.float64)
    components = min(components, len(sample))
    with np.errstate(invalid="ignore"):  # it divides by the spread, which one pixel alone has not
        fitted = PCA(components, svd_solver="full").fit(sample)
    mean, basis = fitted.mean_.astype(np.float32), fitted.components_.astype(np.float32)
    pieces = [slice(start, start + _AT_ONCE) for start in range(0, pixels, _AT_ONCE)]
    scores = np.concatenate([(np.asarray(spectra[piece], np.float32) - mean) @ basis.T for piece in pieces])
    low = scores.min(axis=0)
    step = (scores.max(axis=0) - low) / _LEVELS
    safe = np.where(step > 0, step, 1)
    codes = np.clip(np.round((scores - low) / safe), 0, _LEVELS).astype(np.uint8).T.copy()
    wrong = spread = 0.0
    for piece in pieces:
        true = np.asarray(spectra[piece], np.float64)
        shown = mean + (low + step * codes[:, piece].T) @ basis
        wrong += float(((true - shown) ** 2).sum())
        spread += float(((true - mean) ** 2).sum())
    return PixelSpectra(mean, basis, low, step, codes, (wrong / spread) ** 0.5 if spread > 0 else 0.0)
