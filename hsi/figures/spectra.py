"""Class spectra: mean and standard deviation, and their plot with gaps where bands are missing."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from numpy.typing import NDArray

from hsi.datasets.scene import Scene
from hsi.errors import InputError
from hsi.figures.style import MM_PER_INCH, PAGE_MM, STYLE, Picture

GAP = 3.0
"""A line is broken where bands are farther apart than this many times the median distance."""

_COLUMNS = 4
_ROW_INCHES, _AROUND_INCHES = 1.15, 0.5


@dataclass(frozen=True)
class ClassSpectra:
    """Mean and standard deviation ``(C, bands)`` over the labelled pixels of each class; NaN without any."""

    mean: NDArray[np.float64]
    std: NDArray[np.float64]


def class_spectra(scene: Scene) -> ClassSpectra:
    """Return mean and standard deviation (divisor n) of each class, in the values of the cube."""
    mean = np.full((scene.classes, scene.bands), math.nan)
    std = mean.copy()
    flat = scene.labels.ravel()
    spectra = np.asarray(scene.cube).reshape(-1, scene.bands)
    for number in range(scene.classes):
        pixels = np.flatnonzero(flat == number + 1)
        if len(pixels):
            values = np.asarray(spectra[pixels], np.float64)
            mean[number], std[number] = values.mean(axis=0), values.std(axis=0)
    return ClassSpectra(mean, std)


def band_axis(scene: Scene) -> tuple[NDArray[np.float64], str]:
    """Return the position of each band on an axis and the axis title: nm, or numbers from 1."""
    if scene.wavelengths_nm is not None:
        return np.asarray(scene.wavelengths_nm, np.float64), "Wavelength (nm)"
    return np.arange(1.0, scene.bands + 1), "Band"


def gaps(places: NDArray[np.float64]) -> list[int]:
    """Return the bands before which a line is broken: at removed bands (water vapour), and at seams.

    A seam is where the order of the wavelengths turns round, or two bands have the same one, as between
    detectors that overlap.
    """
    steps = np.diff(places)
    if len(steps) == 0:
        return []
    far = np.abs(steps) > GAP * np.median(np.abs(steps))
    seam = np.sign(steps) != np.sign(np.median(steps))
    return [int(band) + 1 for band in np.flatnonzero(far | seam)]


def draw_spectra(scene: Scene, *, width_mm: float = PAGE_MM) -> Figure:
    """Draw mean and standard deviation of each class in a panel, beside the mean of all labelled pixels.

    The values are those of the cube as it was loaded; its files seldom tell their unit.

    Raises
    ------
    InputError
        When no pixel is labelled.
    """
    counts = np.array(scene.counts)
    if counts.sum() == 0:
        raise InputError("There are no class spectra to draw: no pixel is labelled.")
    spectra = class_spectra(scene)
    places, title = band_axis(scene)
    breaks = gaps(places)
    present = np.flatnonzero(counts)
    everywhere = np.average(spectra.mean[present], axis=0, weights=counts[present])
    rows = math.ceil(scene.classes / _COLUMNS)
    with rc_context(STYLE):
        size = (width_mm / MM_PER_INCH, rows * _ROW_INCHES + _AROUND_INCHES)
        figure = Picture(figsize=size, layout="constrained")
        panels = figure.subplots(
            rows, min(_COLUMNS, scene.classes), squeeze=False, sharex=True, sharey=True
        ).ravel()
        for number, panel in enumerate(panels):
            if number >= scene.classes:
                panel.set_axis_off()
                continue
            mean, std = spectra.mean[number], spectra.std[number]
            for part in np.split(np.arange(scene.bands), breaks):
                # A band between two gaps has no line to be on.
                dot = {"marker": ".", "markersize": 3.0} if len(part) == 1 else {}
                low, high = (mean - std)[part], (mean + std)[part]
                panel.plot(places[part], everywhere[part], color="0.6", linewidth=0.6, **dot)
                if dot:
                    panel.vlines(places[part], low, high, color=scene.colors[number], alpha=0.6, linewidth=2)
                else:
                    panel.fill_between(
                        places[part], low, high, color=scene.colors[number], alpha=0.6, linewidth=0
                    )
                panel.plot(places[part], mean[part], color="black", linewidth=0.8, **dot)
            panel.set_title(f"{scene.class_names[number]} ({counts[number]})", loc="left", fontsize=6.5)
            panel.tick_params(labelsize=6, labelbottom=number + _COLUMNS >= scene.classes)
        figure.supxlabel(title, fontsize=8)
        figure.supylabel("Value in the file", fontsize=8)
        handles = [
            Line2D([], [], color="black", linewidth=0.8),
            Patch(facecolor=scene.colors[int(present[0])], alpha=0.6, linewidth=0),
            Line2D([], [], color="0.6", linewidth=0.6),
        ]
        names = ["Mean of the class (pixels)", "± 1 standard deviation", "Mean of all labelled pixels"]
        figure.legend(handles, names, loc="outside upper left", ncols=3, frameon=False)
    return figure
