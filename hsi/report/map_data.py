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
from matplotlib.colors import to_hex
from numpy.typing import NDArray
from sklearn.decomposition import PCA

from hsi.datasets.scene import Scene
from hsi.datasets.splits.indices import SUBSETS
from hsi.figures.maps import (
    CONFIDENCE_COLORS,
    MAX_DISTANCE_NM,
    RED_GREEN_BLUE_NM,
    choose_bands,
    describe_bands,
    false_color,
)
from hsi.figures.spectra import band_axis, class_spectra, gaps
from hsi.inference.run import Run
from hsi.io.text import plain
from hsi.report.content import recall_of
from hsi.report.pictures import Classified, has_curves, kept_epoch


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
        "name": plain(scene.name),
        "rows": rows,
        "cols": cols,
        "step": step,
        "names": [plain(name) for name in scene.class_names],
        "colors": list(scene.colors),
        "truth": pack(_sampled(scene.labels, step)),
        "image": pack(false_color(scene, bands)[::step, ::step]),
        "imageIs": describe_bands(scene, bands),
        "imageName": image_name(scene, bands),
        "unit": "Value in the file",
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


def image_name(scene: Scene, bands: tuple[int, int, int]) -> str:
    """Return "Natural colour" where the bands shown as red, green and blue are of these colours."""
    if scene.wavelengths_nm is None:
        return "False colour"
    off = np.abs(scene.wavelengths_nm[list(bands)] - np.array(RED_GREEN_BLUE_NM))
    return "Natural colour" if (off <= MAX_DISTANCE_NM).all() else "False colour"


def run_data(run: Run, scene: Scene, classified: Classified, name: str) -> dict[str, Any]:
    """Return the maps of a run: class, confidence in thousandths, subset, region; its tables and curves.

    Subsets and regions are 1 train, 2 val, 3 test, 0 none; ``regions`` is None for a scheme without. A row of
    ``table`` is train pixels, test pixels, recall with its interval, precision, F1.
    """
    step = step_of(scene)
    subsets = np.zeros(scene.labels.shape, np.int64)
    for number, subset in enumerate(SUBSETS, start=1):
        subsets.ravel()[getattr(run.split, subset)] = number
    thousandths = np.round(1000 * classified.confidence).astype(np.int64)
    regions = run.split.regions
    test = run.scores["test"]
    table = []
    for place, trained in enumerate(run.metrics["train"]["support"]):
        recall = recall_of(int(test.confusion[place, place]), int(test.support[place]))
        shares = (recall["share"], recall["low"], recall["high"], test.precision[place], test.f1[place])
        table.append([trained, int(test.support[place]), *map(_or_none, shares)])
    return {
        "name": plain(name),
        "predicted": pack(_sampled(classified.labels, step)),
        "confidence": pack(_sampled(thousandths, step)),
        "part": pack(_sampled(subsets, step)),
        "regions": None if regions is None else pack(_sampled(regions, step)),
        "confusion": test.confusion.tolist(),
        "table": table,
        "history": _history(run) if has_curves(run) else None,
    }


def _history(run: Run) -> dict[str, Any]:
    """Return epochs counted from 1, the one whose weights were kept, losses, and OA in percent."""
    scales = {"train_loss": 1, "val_loss": 1, "train_oa": 100, "val_oa": 100}
    curves = {name: [_or_none(scale * row[name]) for row in run.history] for name, scale in scales.items()}
    epochs = [int(row["epoch"]) + 1 for row in run.history]
    return {"epoch": epochs, "kept": kept_epoch(run) + 1, **curves}


def _or_none(value: float | None) -> float | None:
    """Round to six significant digits; None for what is no number, which JSON has no word for."""
    return None if value is None or not math.isfinite(value) else float(f"{value:.6g}")


def confidence_colors() -> str:
    """Return the packed RGB bytes of 256 confidences from 0 to 1."""
    table = colormaps[CONFIDENCE_COLORS](np.linspace(0, 1, 256))[:, :3]
    return pack(np.round(255 * table).astype(np.uint8))


def confidence_key() -> list[tuple[str, str]]:
    """Return the names and colours of a few confidences."""
    table = colormaps[CONFIDENCE_COLORS]
    return [(f"{100 * share:.0f} %", to_hex(table(share))) for share in (0.0, 0.25, 0.5, 0.75, 1.0)]


def _sampled(values: NDArray[Any], step: int) -> NDArray[np.uint16]:
    return values[::step, ::step].astype(np.uint16)


def _rounded(values: NDArray[Any]) -> list[float]:
    """Round to six significant digits."""
    return [float(f"{value:.6g}") for value in values]
