"""What the features that a network gets are: bands, by number or wavelength, or principal components."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hsi.datasets.preprocess import PCA, BandList
from hsi.datasets.scene import Scene
from hsi.figures.spectra import band_axis
from hsi.runs.folder import Run


def feature_axis(run: Run, scene: Scene) -> tuple[NDArray[np.float64], str]:
    """Return where each feature lies on an axis, and the axis's title.

    Principal components and bands are counted from 1; bands with known wavelengths lie at theirs, in nm.
    """
    steps = run.preprocess.steps_
    if any(isinstance(step, PCA) for step in steps):
        return np.arange(1.0, run.preprocess.bands + 1), "Principal component"
    places, title = band_axis(scene)
    for step in steps:
        if isinstance(step, BandList):
            places = places[step.keep]
    return places, title
