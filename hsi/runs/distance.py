"""Accuracy of a finished run against the distance to its nearest training pixel."""

from __future__ import annotations

from pathlib import Path

from hsi.datasets.scene import Scene
from hsi.runs.folder import Run
from hsi.scoring import distance


def accuracy_by_distance(
    run: Run, scene: Scene | None = None, *, data_root: str | Path | None = None
) -> tuple[distance.DistanceBin, ...]:
    """Return how accurate a run is on test pixels near to its training pixels and far from them.

    Distances are Chebyshev distances in pixels, the bins are `hsi.scoring.distance.DISTANCE_BINS`.

    Parameters
    ----------
    run
        A finished run; its predictions and split are used as they are, nothing is classified anew.
    scene
        The scene that it was trained on; loaded if not given.
    data_root
        Where the scene's files lie, if not under ``HSI_DATA``.

    Returns
    -------
    tuple of DistanceBin
        Nearest first; accuracies are fractions.

    Raises
    ------
    RunError
        When the run is not finished, or the scene's labels are no longer those of the run.
    SplitError
        When `scene` has other labels than the run.
    """
    scene = scene or run.load_scene(data_root)
    split = run.split
    split.check(scene)
    right = run.predictions["test"] == scene.labels.ravel()[split.test]
    away = distance.distance_to_nearest(split.train, split.test, split.shape)
    return distance.bin_by_distance(away, right)
