"""Class and confidence of every pixel of a run, and its figures."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray

from hsi.datasets.scene import Scene
from hsi.figures.curves import draw_confusion, draw_curves
from hsi.figures.maps import draw_confidence, draw_errors, draw_false_color, draw_labels, draw_prediction
from hsi.figures.spectra import draw_spectra
from hsi.figures.style import save_figure
from hsi.inference.run import Run
from hsi.runs.checkpoint import BEST, load_weights

Progress = Callable[[int, int], object]


@dataclass(frozen=True)
class Classified:
    """Predictions of a run for a scene.

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
    """Classify the scene that a run was trained on; `progress` gets the number of finished and all pixels.

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


def save_run_figures(run: Run, scene: Scene, classified: Classified) -> list[Path]:
    """Write all figures of a run as PNG and PDF into its folder ``figures``."""
    figures = _figures(run, scene, classified)
    return [path for name, one in figures for path in save_figure(one, run.path / "figures", name)]


def curves_of(run: Run) -> Figure | None:
    """Draw the training curves of a run; None for a classifier without epochs."""
    if not any(math.isfinite(row["train_loss"]) for row in run.history):
        return None
    return draw_curves(run.history, kept=kept_epoch(run))


def kept_epoch(run: Run) -> int:
    """Return the 0-based epoch whose weights the run kept."""
    return int(load_weights(run.path / "checkpoint" / BEST, run.load_model("cpu"))["epoch"])


def _figures(run: Run, scene: Scene, classified: Classified) -> Iterator[tuple[str, Figure]]:
    yield "confusion", draw_confusion(run.metrics["test"]["confusion"], scene.class_names)
    curves = curves_of(run)
    if curves is not None:
        yield "curves", curves
    yield "false_color", draw_false_color(scene)
    yield "labels", draw_labels(scene)
    yield "spectra", draw_spectra(scene)
    yield "prediction", draw_prediction(scene, classified.labels)
    yield "errors", draw_errors(scene, classified.labels, run.split.test)
    yield "confidence", draw_confidence(classified.confidence)
