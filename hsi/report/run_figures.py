"""All pictures of one run, into its folder ``figures``."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

from matplotlib.figure import Figure

from hsi.datasets.scene import Scene
from hsi.figures.confusion import draw_confusion
from hsi.figures.curves import draw_curves
from hsi.figures.false_color import draw_false_color
from hsi.figures.maps import draw_confidence, draw_errors, draw_labels, draw_prediction
from hsi.figures.spectra import draw_spectra
from hsi.figures.style import save_figure
from hsi.report.classified import Classified
from hsi.runs.checkpoint import BEST, load_weights
from hsi.runs.folder import Run


def save_run_figures(run: Run, scene: Scene, classified: Classified) -> list[Path]:
    """Write every picture of a run as PNG and PDF into its folder; `classified` holds every pixel."""
    figures = _figures(run, scene, classified)
    return [path for name, one in figures for path in save_figure(one, run.path / "figures", name)]


def curves_of(run: Run) -> Figure | None:
    """Draw the curves of a run; None for a classifier that was fitted at once, which has none."""
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
