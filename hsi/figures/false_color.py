"""The picture of a scene as an eye might see it: three bands as red, green and blue.

Where band centres are known, the bands nearest to 650, 550 and 450 nm; else the clearest band of each third
of the bands. Each is stretched between two of its percentiles. All of this is our decision.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from hsi.datasets.scene import Scene
from hsi.errors import InputError
from hsi.figures.maps import draw_map
from hsi.figures.style import COLUMN_MM

RED_GREEN_BLUE_NM = (650.0, 550.0, 450.0)
FARTHEST_NM = 50.0
"""A band farther than this from the wanted wavelength does not stand for it."""
PERCENTILES = (2.0, 98.0)
"""Values at or beyond these percentiles of a band become 0 and 255."""

Bands = tuple[int, int, int]


def choose_bands(scene: Scene) -> Bands:
    """Return the zero-based numbers of the bands shown as red, green and blue.

    With wavelengths, those nearest to `RED_GREEN_BLUE_NM`. Without them, or where the sensor does not see all
    three colours: of the last, the middle and the first third of the bands, the one whose neighbouring pixels
    are most alike (correlation from each pixel to the next in its row), so that noisy bands are passed over.
    """
    wavelengths = scene.wavelengths_nm
    if wavelengths is not None:
        away = np.abs(wavelengths[None, :] - np.array(RED_GREEN_BLUE_NM)[:, None])
        if (away.min(axis=1) <= FARTHEST_NM).all():
            red, green, blue = (int(band) for band in away.argmin(axis=1))
            return red, green, blue
    thirds = [part if len(part) else np.array([0]) for part in np.array_split(np.arange(scene.bands), 3)]
    blue, green, red = (int(max(part, key=lambda band: _likeness(scene, band))) for part in thirds)
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
    """Say which bands are red, green and blue, counted from 1, with their wavelengths where known."""
    names = [f"band {band + 1}" for band in bands]
    if scene.wavelengths_nm is not None:
        names = [f"{scene.wavelengths_nm[band]:.0f} nm" for band in bands]
    low, high = PERCENTILES
    return f"Red, green, blue: {', '.join(names)}; each from its {low:g} to its {high:g} percentile"


def draw_false_color(
    scene: Scene, bands: Sequence[int] | None = None, *, width_mm: float = COLUMN_MM
) -> Figure:
    """Draw three bands of a scene as red, green and blue; what they are stands below.

    Raises
    ------
    InputError
        When `bands` are not three bands of the scene.
    """
    image = false_color(scene, bands)
    return draw_map(image, describe_bands(scene, bands or choose_bands(scene)), width_mm=width_mm)


def _likeness(scene: Scene, band: int) -> float:
    """Return the correlation of a band with itself one pixel on, 0 for a flat one."""
    values = np.asarray(scene.cube[:, :, band], np.float64)
    here, next_one = values[:, :-1].ravel(), values[:, 1:].ravel()
    if len(here) < 2 or here.std() == 0 or next_one.std() == 0:
        return 0.0
    return float(np.corrcoef(here, next_one)[0, 1])
