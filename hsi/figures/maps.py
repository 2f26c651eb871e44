"""Maps of a scene, drawn pixel by pixel: labels, prediction, errors, confidence, false colour.

Classes have the colours of the scene, unlabelled pixels are black. The colours of right and wrong pixels are
from the palette of Okabe and Ito and differ in lightness too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib import colormaps, rc_context
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import NDArray

from hsi.datasets.scene import UNLABELLED, Scene, to_rgb
from hsi.errors import InputError
from hsi.figures.style import COLUMN_MM, MM_PER_INCH, STYLE, Picture

NO_LABEL, NOT_TESTED, RIGHT, WRONG = UNLABELLED, "#7f7f7f", "#56b4e9", "#d55e00"
ERROR_COLORS = (NO_LABEL, NOT_TESTED, RIGHT, WRONG)
ERROR_NAMES = ("Unlabelled", "Labelled, not tested", "Right", "Wrong")
CONFIDENCE_COLORS = "cividis"

_TALLEST_INCHES = 8.0  # of the image alone, so that a tall scene still fits on a page
_LINE_INCHES, _LETTER_INCHES = 0.15, 0.047  # of a line of the legend, and of a letter of it
_SWATCH_INCHES = 0.3  # a swatch and the room round it
_BAR_INCHES = 0.5  # height of the colour bar with its text


def draw_labels(scene: Scene, *, width_mm: float = COLUMN_MM) -> Figure:
    """Draw the label map in the scene's colours, with a legend of the classes that occur."""
    return _draw_classes(scene, scene.labels, width_mm)


def draw_prediction(
    scene: Scene, predicted: NDArray[np.int64], *, title: str = "", width_mm: float = COLUMN_MM
) -> Figure:
    """Draw predicted classes ``(rows, cols)``, 0..C, in the scene's colours; see `score_title`.

    Raises
    ------
    InputError
        When `predicted` is not of the scene's size, or has other classes.
    """
    return _draw_classes(scene, _checked(scene, predicted), width_mm, title)


def score_title(metrics: Mapping[str, Any]) -> str:
    """Return the title of a run's maps from its ``metrics.json``: test OA, and the leakage of the split."""
    overlap = metrics["leakage"]["overlap"]
    return f"Test OA {100 * metrics['test']['oa']:.2f} %, leakage (overlap) {100 * overlap:.2f} %"


def error_codes(
    scene: Scene, predicted: NDArray[np.int64], tested: NDArray[np.int64] | None = None
) -> NDArray[np.uint8]:
    """Return ``(rows, cols)``: 0 unlabelled, 1 labelled but not tested, 2 right, 3 wrong.

    `predicted` are ``(rows, cols)`` classes 1..C, `tested` flat indices, by default of all labelled pixels.

    Raises
    ------
    InputError
        When `predicted` is not of the scene's size, or has other classes.
    """
    found = _checked(scene, predicted)
    codes = (scene.labels > 0).astype(np.uint8)
    pixels = scene.labelled if tested is None else tested
    codes.ravel()[pixels] = np.where(found.ravel()[pixels] == scene.labels.ravel()[pixels], 2, 3)
    return codes


def draw_errors(
    scene: Scene,
    predicted: NDArray[np.int64],
    tested: NDArray[np.int64] | None = None,
    *,
    title: str = "",
    width_mm: float = COLUMN_MM,
) -> Figure:
    """Draw which tested pixels are right and which are wrong; see `error_codes`.

    Raises
    ------
    InputError
        When `predicted` is not of the scene's size, or has other classes.
    """
    codes = error_codes(scene, predicted, tested)
    used = [code for code in range(len(ERROR_NAMES)) if (codes == code).any()]
    legend = [(ERROR_COLORS[code], ERROR_NAMES[code]) for code in used]
    return draw_map(to_rgb(ERROR_COLORS)[codes], title=title, legend=legend, width_mm=width_mm)


def draw_confidence(confidence: NDArray[Any], *, width_mm: float = COLUMN_MM) -> Figure:
    """Draw the confidence of a prediction, ``(rows, cols)`` fractions, as percent from 0 to 100.

    Raises
    ------
    InputError
        When `confidence` is not a map of fractions.
    """
    values = np.asarray(confidence, np.float64)
    if values.ndim != 2 or not ((values >= 0) & (values <= 1)).all():
        raise InputError("Confidence must be a map (rows, cols) of fractions from 0 to 1.")
    colors = colormaps[CONFIDENCE_COLORS]
    image = np.round(255 * colors(values)[..., :3]).astype(np.uint8)
    bar = ScalarMappable(Normalize(0, 100), colors)
    return draw_map(image, bar=(bar, "Confidence (%)"), width_mm=width_mm)


def draw_map(
    image: NDArray[np.uint8],
    caption: str = "",
    *,
    title: str = "",
    legend: Sequence[tuple[str, str]] = (),
    bar: tuple[ScalarMappable, str] | None = None,
    width_mm: float = COLUMN_MM,
) -> Figure:
    """Draw an image ``(rows, cols, 3)`` of bytes with square pixels, and below it what they mean.

    Parameters
    ----------
    caption
        One line of text, at the bottom.
    title
        One line of text, above the image.
    legend
        Colour and name of each kind of pixel.
    bar
        A colour scale and its title.
    """
    rows, cols = image.shape[:2]
    width = width_mm / MM_PER_INCH
    height = min(_TALLEST_INCHES, width * rows / cols)
    longest = max((len(name) for _, name in legend), default=1)
    columns = max(1, int(width / (_SWATCH_INCHES + _LETTER_INCHES * longest)))
    lines = -(-len(legend) // columns)
    below = _LINE_INCHES * (lines + 0.5) if legend else _BAR_INCHES if bar else 0.0
    below += _LINE_INCHES * 1.5 if caption else 0.0
    above = _LINE_INCHES * 1.3 if title else 0.0
    whole = height + below + above
    with rc_context(STYLE):
        figure = Picture(figsize=(width, whole))
        share = height * cols / rows / width  # a tall scene leaves room beside it
        axes = figure.add_axes(((1 - share) / 2, below / whole, share, height / whole))
        axes.imshow(image, interpolation="nearest", aspect="auto")
        axes.set_axis_off()
        if legend:
            patches = [Patch(facecolor=color, edgecolor="0.3", linewidth=0.4) for color, _ in legend]
            figure.legend(
                patches,
                [name for _, name in legend],
                loc="lower center",
                ncols=columns,
                frameon=False,
                handlelength=1.0,
                handleheight=1.0,
                columnspacing=1.0,
                borderpad=0.1,
                labelspacing=0.3,
            )
        if bar:
            scale, label = bar
            place = (0.1, 0.36 / whole, 0.8, 0.08 / whole)
            figure.colorbar(scale, cax=figure.add_axes(place), orientation="horizontal", label=label)
        if caption:
            figure.text(0.5, 0.03 / whole, caption, ha="center", va="bottom", fontsize=5.5)
        if title:
            figure.text(0.5, 1 - 0.05 / whole, title, ha="center", va="top", fontsize=7)
    return figure


def _draw_classes(scene: Scene, labels: NDArray[np.int64], width_mm: float, title: str = "") -> Figure:
    colors, names = (UNLABELLED, *scene.colors), ("Unlabelled", *scene.class_names)
    present = np.flatnonzero(np.bincount(labels.ravel(), minlength=len(colors)))
    legend = [(colors[number], names[number]) for number in (*present[present > 0], *present[present == 0])]
    return draw_map(to_rgb(colors)[labels], title=title, legend=legend, width_mm=width_mm)


def _checked(scene: Scene, predicted: NDArray[np.int64]) -> NDArray[np.int64]:
    found = np.asarray(predicted)
    if found.shape != scene.labels.shape:
        raise InputError(f"The prediction is {found.shape}, the scene {scene.labels.shape}.")
    if not np.issubdtype(found.dtype, np.integer) or found.min() < 0 or found.max() > scene.classes:
        raise InputError(f"Predicted classes must be whole numbers from 0 to {scene.classes}.")
    return found.astype(np.int64)


RED_GREEN_BLUE_NM = (650.0, 550.0, 450.0)
MAX_DISTANCE_NM = 50.0
"""How far a band may be from its colour's wavelength."""
PERCENTILES = (2.0, 98.0)
"""Percentiles of a band that become 0 and 255."""


def choose_bands(scene: Scene) -> tuple[int, int, int]:
    """Return the 0-based indices of the bands shown as red, green and blue.

    The bands nearest to `RED_GREEN_BLUE_NM`. Without wavelengths, or if a colour has no band within
    `MAX_DISTANCE_NM`: of the last, middle and first third of the bands, the one with the highest correlation
    between horizontally adjacent pixels, which avoids noisy bands.
    """
    wavelengths = scene.wavelengths_nm
    if wavelengths is not None:
        distance = np.abs(wavelengths[None, :] - np.array(RED_GREEN_BLUE_NM)[:, None])
        if (distance.min(axis=1) <= MAX_DISTANCE_NM).all():
            red, green, blue = (int(band) for band in distance.argmin(axis=1))
            return red, green, blue
    thirds = [part if len(part) else np.array([0]) for part in np.array_split(np.arange(scene.bands), 3)]
    blue, green, red = (int(max(part, key=lambda band: _autocorrelation(scene, band))) for part in thirds)
    return red, green, blue


def stretch(band: NDArray[Any]) -> NDArray[np.uint8]:
    """Return a band ``(rows, cols)`` as bytes, stretched linearly between `PERCENTILES`."""
    values = np.asarray(band, np.float64)
    low, high = np.percentile(values, PERCENTILES)
    if high <= low:
        return np.zeros(values.shape, np.uint8)
    return np.round(255 * np.clip((values - low) / (high - low), 0, 1)).astype(np.uint8)


def false_color(scene: Scene, bands: Sequence[int] | None = None) -> NDArray[np.uint8]:
    """Return ``(rows, cols, 3)`` bytes of three bands, by default those of `choose_bands`.

    Raises
    ------
    InputError
        When `bands` are not three bands of the scene.
    """
    chosen = choose_bands(scene) if bands is None else tuple(bands)
    if len(chosen) != 3 or not all(0 <= band < scene.bands for band in chosen):
        raise InputError(
            f"A false-colour image needs three bands from 0 to {scene.bands - 1}, not {list(chosen)}."
        )
    return np.stack([stretch(scene.cube[:, :, band]) for band in chosen], axis=-1)


def describe_bands(scene: Scene, bands: Sequence[int]) -> str:
    """Describe the bands shown as red, green and blue, by wavelength if known, else counted from 1."""
    names = [f"band {band + 1}" for band in bands]
    if scene.wavelengths_nm is not None:
        names = [f"{scene.wavelengths_nm[band]:.0f} nm" for band in bands]
    low, high = PERCENTILES
    return f"Red, green, blue: {', '.join(names)}; each from its {low:g} to its {high:g} percentile"


def draw_false_color(
    scene: Scene, bands: Sequence[int] | None = None, *, width_mm: float = COLUMN_MM
) -> Figure:
    """Draw three bands of a scene as red, green and blue, with a caption that names them.

    Raises
    ------
    InputError
        When `bands` are not three bands of the scene.
    """
    image = false_color(scene, bands)
    return draw_map(image, describe_bands(scene, bands or choose_bands(scene)), width_mm=width_mm)


def _autocorrelation(scene: Scene, band: int) -> float:
    """Return the correlation of a band with itself shifted by one column, 0 for a constant band."""
    values = np.asarray(scene.cube[:, :, band], np.float64)
    left, right = values[:, :-1].ravel(), values[:, 1:].ravel()
    if len(left) < 2 or left.std() == 0 or right.std() == 0:
        return 0.0
    return float(np.corrcoef(left, right)[0, 1])
