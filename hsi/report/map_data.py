"""The data of the page's maps: arrays as base64 text, spectra as principal components of one byte each.

The page shows the error of the compressed spectra.
"""

from __future__ import annotations

import base64
import math
import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib import colormaps
from numpy.typing import NDArray
from sklearn.decomposition import PCA

from hsi.datasets.scene import Scene
from hsi.datasets.splits.indices import SUBSETS
from hsi.figures.maps import CONFIDENCE_COLORS, choose_bands, describe_bands, error_codes, false_color
from hsi.figures.spectra import band_axis, class_spectra, gaps
from hsi.inference.run import Run
from hsi.io.text import plain
from hsi.report.pictures import Classified


def pack(array: NDArray[Any]) -> str:
    """Return an array, little-endian and row-major, compressed by zlib and encoded as base64."""
    little = array.astype(array.dtype.newbyteorder("<"))
    return base64.b64encode(zlib.compress(little.tobytes(), 9)).decode("ascii")


def unpack(text: str) -> bytes:
    """Return the bytes of a packed array."""
    return zlib.decompress(base64.b64decode(text))


MAX_COMPONENTS = 64
MAX_BYTES = 4_000_000
"""Limit for all components of all pixels, before compression."""
PCA_SAMPLES = 20_000
"""Pixels, evenly spread, that the components are fitted to."""
_LEVELS = 255
_CHUNK = 16_384  # pixels


@dataclass(frozen=True)
class PixelSpectra:
    """Spectra of n pixels: ``mean + sum over c of (low[c] + step[c] * codes[c]) * basis[c]``.

    Attributes
    ----------
    mean, basis
        ``(bands,)`` and ``(components, bands)``, in the values of the cube.
    low, step
        ``(components,)``: offset and scale of the codes.
    codes
        ``(components, n)`` uint8.
    relative_error
        Root mean square error over all pixels and bands, divided by the standard deviation around the mean
        spectrum; 0 if all spectra are equal.
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
    """Compress spectra ``(n, bands)`` to as many principal components as `MAX_BYTES` allows."""
    pixels, bands = spectra.shape
    components = max(1, min(MAX_COMPONENTS, bands, pixels, MAX_BYTES // pixels))
    sample = np.asarray(spectra[:: max(1, pixels // PCA_SAMPLES)], np.float64)
    components = min(components, len(sample))
    with np.errstate(invalid="ignore"):  # a single pixel has no variance
        fitted = PCA(components, svd_solver="full").fit(sample)
    mean, basis = fitted.mean_.astype(np.float32), fitted.components_.astype(np.float32)
    pieces = [slice(start, start + _CHUNK) for start in range(0, pixels, _CHUNK)]
    scores = np.concatenate([(np.asarray(spectra[piece], np.float32) - mean) @ basis.T for piece in pieces])
    low = scores.min(axis=0)
    step = (scores.max(axis=0) - low) / _LEVELS
    safe = np.where(step > 0, step, 1)
    codes = np.clip(np.round((scores - low) / safe), 0, _LEVELS).astype(np.uint8).T.copy()
    error = variation = 0.0
    for piece in pieces:
        true = np.asarray(spectra[piece], np.float64)
        shown = mean + (low + step * codes[:, piece].T) @ basis
        error += float(((true - shown) ** 2).sum())
        variation += float(((true - mean) ** 2).sum())
    return PixelSpectra(mean, basis, low, step, codes, (error / variation) ** 0.5 if variation > 0 else 0.0)


MAX_PIXELS = 400_000
"""Pixels of a map; of larger scenes every n-th row and column is shown."""


def step_of(scene: Scene) -> int:
    """Return n where the page shows every n-th row and column of a scene."""
    return max(1, math.ceil(math.sqrt(scene.rows * scene.cols / MAX_PIXELS)))


def scene_data(scene: Scene) -> dict[str, Any]:
    """Return the data shared by all runs on a scene, for JSON.

    Maps have every `step_of`-th row and column. ``classes`` are mean and standard deviation of each class
    (null without labelled pixels), ``range`` the smallest value axis of a spectrum.
    """
    step = step_of(scene)
    cube = scene.cube[::step, ::step]
    rows, cols = cube.shape[:2]
    spectra = pack_spectra(cube.reshape(-1, scene.bands))
    classes = class_spectra(scene)
    places, title = band_axis(scene)
    bands = choose_bands(scene)
    shown = spectra.restore()
    return {
        "rows": rows,
        "cols": cols,
        "step": step,
        "names": [plain(name) for name in scene.class_names],
        "colors": list(scene.colors),
        "truth": pack(_sampled(scene.labels, step)),
        "image": pack(false_color(scene, bands)[::step, ::step]),
        "imageIs": describe_bands(scene, bands),
        "axis": {"places": _rounded(places), "title": title, "breaks": gaps(places)},
        "spectra": {
            "mean": _rounded(spectra.mean),
            "basis": [_rounded(row) for row in spectra.basis],
            "low": _rounded(spectra.low),
            "step": _rounded(spectra.step),
            "codes": pack(spectra.codes),
            "error": spectra.relative_error,
        },
        "classes": [
            {"mean": _rounded(mean), "std": _rounded(std)} if np.isfinite(mean).all() else None
            for mean, std in zip(classes.mean, classes.std, strict=True)
        ],
        "range": _rounded(np.percentile(shown, (0.5, 99.5))),
    }


def run_data(run: Run, scene: Scene, classified: Classified, name: str) -> dict[str, Any]:
    """Return the maps of a run: class, confidence in thousandths, subset, `error_codes`.

    Subsets are 1 train, 2 val, 3 test, 0 none.
    """
    step = step_of(scene)
    subsets = np.zeros(scene.labels.shape, np.int64)
    for number, subset in enumerate(SUBSETS, start=1):
        subsets.ravel()[getattr(run.split, subset)] = number
    errors = error_codes(scene, classified.labels, run.split.test)
    thousandths = np.round(1000 * classified.confidence).astype(np.int64)
    return {
        "name": plain(name),
        "predicted": pack(_sampled(classified.labels, step)),
        "confidence": pack(_sampled(thousandths, step)),
        "part": pack(_sampled(subsets, step)),
        "errors": pack(_sampled(errors, step)),
    }


def confidence_colors() -> str:
    """Return the packed RGB bytes of 256 confidences from 0 to 1."""
    table = colormaps[CONFIDENCE_COLORS](np.linspace(0, 1, 256))[:, :3]
    return pack(np.round(255 * table).astype(np.uint8))


def _sampled(values: NDArray[Any], step: int) -> NDArray[np.uint16]:
    return values[::step, ::step].astype(np.uint16)


def _rounded(values: NDArray[Any]) -> list[float]:
    """Round to six significant digits."""
    return [float(f"{value:.6g}") for value in values]
