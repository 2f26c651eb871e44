"""Arrays as text that a page can hold: zlib, then base64.

The spectra of all shown pixels, small enough for a page: principal components, a byte each.

What is lost is measured and said on the page. All of this is our decision.

What the page's map is drawn from: arrays of a scene and of what each run says of it.
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
from hsi.figures.maps import CONFIDENCE_COLORS, choose_bands, describe_bands, error_codes, false_color
from hsi.figures.spectra import band_axis, class_spectra, gaps
from hsi.inference.run import Run
from hsi.io.text import plain
from hsi.report.pictures import Classified
from hsi.runs.folder import PARTS


def pack(array: NDArray[Any]) -> str:
    """Return an array's bytes, little-endian and in row-major order, compressed and as base64 text."""
    little = array.astype(array.dtype.newbyteorder("<"))
    return base64.b64encode(zlib.compress(little.tobytes(), 9)).decode("ascii")


def unpack(text: str) -> bytes:
    """Return the bytes that `pack` was given."""
    return zlib.decompress(base64.b64decode(text))


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


MOST_PIXELS = 400_000
"""Pixels that the page's map shows at most; of a larger scene every n-th row and column. Our decision."""

THOUSAND = 1000


def step_of(scene: Scene) -> int:
    """Return which every n-th row and column of a scene the page shows."""
    return max(1, math.ceil(math.sqrt(scene.rows * scene.cols / MOST_PIXELS)))


def scene_data(scene: Scene) -> dict[str, Any]:
    """Return what all runs on a scene share, ready for JSON.

    Maps are of every `step_of`-th row and column. ``spectra`` is a `PixelSpectra`, ``classes`` the mean and
    the standard deviation over the labelled pixels of each class (null without any), ``range`` the values
    that the axis of a spectrum starts from.
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
    """Return what one run says of each pixel: class, confidence in thousandths, part, right or wrong.

    Parts are 1 train, 2 val, 3 test, 0 none; right and wrong as `hsi.figures.maps.error_codes`.
    """
    step = step_of(scene)
    part = np.zeros(scene.labels.shape, np.int64)
    for number, kind in enumerate(PARTS, start=1):
        part.ravel()[getattr(run.split, kind)] = number
    errors = error_codes(scene, classified.labels, run.split.test)
    thousandths = np.round(THOUSAND * classified.confidence).astype(np.int64)
    return {
        "name": plain(name),
        "predicted": pack(_sampled(classified.labels, step)),
        "confidence": pack(_sampled(thousandths, step)),
        "part": pack(_sampled(part, step)),
        "errors": pack(_sampled(errors, step)),
    }


def confidence_colors() -> str:
    """Return 256 colours from confidence 0 to 1, packed as bytes, three each."""
    table = colormaps[CONFIDENCE_COLORS](np.linspace(0, 1, 256))[:, :3]
    return pack(np.round(255 * table).astype(np.uint8))


def _sampled(values: NDArray[Any], step: int) -> NDArray[np.uint16]:
    return values[::step, ::step].astype(np.uint16)


def _rounded(values: NDArray[Any]) -> list[float]:
    """Return numbers with six digits, which is more than a line on a screen shows."""
    return [float(f"{value:.6g}") for value in values]
