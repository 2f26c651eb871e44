"""The class and the confidence of every pixel, as pages and pictures show them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from hsi.datasets.scene import Scene
from hsi.runs.folder import Run

Progress = Callable[[int, int], object]


@dataclass(frozen=True)
class Classified:
    """What a run says of a scene.

    Attributes
    ----------
    labels
        ``(rows, cols)`` int64 class 1..C, as `Run.predict` gives it; 0 for pixels without data.
    confidence
        ``(rows, cols)`` float32 fraction: the largest share of the softmax over the model's scores; 0 for
        pixels without data.
    """

    labels: NDArray[np.int64]
    confidence: NDArray[np.float32]


def classify(
    run: Run, scene: Scene, *, device: str = "auto", progress: Progress = lambda done, pixels: None
) -> Classified:
    """Classify the scene that a run was trained on; `progress` is told of pixels done and of all pixels.

    Raises
    ------
    RunError
        When the scene has other bands than the run.
    SplitError
        When the scene's labels are not those of the run.
    """
    run.split.check(scene)
    labels = np.zeros(scene.labels.shape, np.int64)
    confidence = np.zeros(scene.labels.shape, np.float32)
    done = 0
    for window, logits, missing in run.classify(scene, device=device):
        shares = torch.softmax(torch.from_numpy(logits), dim=2).amax(dim=2).clamp(0, 1).numpy()
        here = slice(window.top, window.bottom), slice(window.left, window.right)
        labels[here] = np.where(missing, 0, logits.argmax(axis=2) + 1)
        confidence[here] = np.where(missing, 0, shares)
        done += missing.size
        progress(done, labels.size)
    return Classified(labels, confidence)
