"""What the page's map is drawn from: arrays of a scene and of what each run says of it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from matplotlib import colormaps
from numpy.typing import NDArray

from hsi.datasets.scene import Scene
from hsi.figures.false_color import choose_bands, describe_bands, false_color
from hsi.figures.maps import CONFIDENCE_COLORS, error_codes
from hsi.figures.spectra import band_axis, class_spectra, gaps
from hsi.plain_text import plain
from hsi.report.classified import Classified
from hsi.report.packing import pack
from hsi.report.pixel_spectra import pack_spectra
from hsi.runs.folder import PARTS, Run

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
