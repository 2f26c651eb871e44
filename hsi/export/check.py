"""Whether an exported file answers as the run that it was made of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from hsi.datasets.scene import Scene
from hsi.errors import ExportError
from hsi.export.patches import raw_patches
from hsi.mapping.predict import predict_logits
from hsi.runs.bands import fit_bands
from hsi.runs.building import as_classifier, make_cutter
from hsi.runs.folder import Run

Floats = NDArray[np.float32]

TOLERANCE = 1e-4
"""Largest difference of a probability: far more than rounding gives (about 1e-6), far less than matters."""
PIXELS = 64
"""Test pixels that are compared, beside the corners of the scene."""
BATCHES = (1, 5)
"""Sizes of the first batches, other than the one that was traced; the rest is one batch."""


@dataclass(frozen=True)
class Check:
    """What was compared.

    Attributes
    ----------
    patches
        Patches of the scene: test pixels spread evenly, and the four corners.
    max_difference
        Largest absolute difference of a probability.
    labels_differ
        Patches whose most likely class differs.
    """

    patches: int
    max_difference: float
    labels_differ: int


class Reference:
    """Patches of a run's own scene, and the probabilities that the run itself gives them.

    Parameters
    ----------
    run
        A finished run of a network.
    scene
        The scene that it was trained on.
    """

    def __init__(self, run: Run, scene: Scene) -> None:
        run.split.check(scene)
        fit_bands(run, scene)
        config, regions = run.config, run.split.patch_regions
        pixels = _pixels(run.split.test, scene.rows, scene.cols)
        cube = np.asarray(scene.cube)
        self.patches = raw_patches(cube, config.patch, pixels, regions=regions, padding=config.padding)
        cutter = make_cutter(scene, run.preprocess, run.split, config, "cpu")
        logits = predict_logits(as_classifier(run.load_model("cpu"), config), cutter, pixels)
        self.probabilities: Floats = torch.softmax(logits, dim=1).numpy()

    def compare(self, answer: Callable[[Floats], Floats]) -> Check:
        """Give the patches to a file, in batches of several sizes.

        Raises
        ------
        ExportError
            When a probability differs by more than `TOLERANCE`, or the file does not take a batch.
        """
        cuts = np.cumsum(BATCHES)
        try:
            found = np.concatenate([answer(batch) for batch in np.split(self.patches, cuts) if len(batch)])
        except Exception as error:  # each runtime has its own types
            raise ExportError(f"The exported file cannot be used: {error}") from error
        if found.shape != self.probabilities.shape:
            raise ExportError(f"The exported file answers with shape {found.shape}, and was not kept.")
        difference = np.abs(found - self.probabilities).max()
        if not difference <= TOLERANCE:  # so NaN is caught, too
            raise ExportError(
                f"The exported file differs from the run by {difference:.3g} in a probability (at most "
                f"{TOLERANCE:g} is rounding), and was not kept."
            )
        differ = int((found.argmax(axis=1) != self.probabilities.argmax(axis=1)).sum())
        return Check(len(found), float(difference), differ)


def _pixels(test: NDArray[np.int64], rows: int, cols: int) -> NDArray[np.int64]:
    spread = test[np.unique(np.linspace(0, len(test) - 1, PIXELS).astype(np.int64))]
    corners = np.array([0, cols - 1, (rows - 1) * cols, rows * cols - 1])
    return np.concatenate([corners, spread])
