"""Class and confidence of every pixel of a run, kept in its folder; and the figures of the run."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

import hsi
from hsi.confidence.reliability import ReliabilityBin
from hsi.datasets.formats.numpy_files import read_archive
from hsi.datasets.scene import Scene
from hsi.errors import FileFormatError
from hsi.figures.curves import draw_confusion, draw_curves
from hsi.figures.maps import (
    draw_confidence,
    draw_errors,
    draw_false_color,
    draw_labels,
    draw_prediction,
    score_title,
)
from hsi.figures.reliability_diagram import draw_reliability
from hsi.figures.spectra import draw_spectra
from hsi.figures.style import save_figure
from hsi.inference.ensemble import Ensemble, How
from hsi.inference.run import Run
from hsi.io.files import written_whole
from hsi.models.device import choose_device
from hsi.runs.checkpoint import BEST, load_weights
from hsi.runs.postprocessing import POSTPROCESSING

Progress = Callable[[int, int], object]


@dataclass(frozen=True)
class Classified:
    """Predictions of a run for a scene.

    Attributes
    ----------
    labels
        ``(rows, cols)`` int64 class 1..C, as `Run.predict` gives it; 0 for pixels without data.
    confidence
        ``(rows, cols)`` float32 fraction: the largest probability, calibrated and smoothed as the run
        is; 0 for pixels without data.
    """

    labels: NDArray[np.int64]
    confidence: NDArray[np.float32]


KEPT = "classified.npz"
"""The file of a run folder that holds its map; it is made anew where it does not fit, and can be deleted."""


def classify(
    run: Run, scene: Scene, *, device: str = "auto", progress: Progress = lambda done, pixels: None
) -> Classified:
    """Classify the scene that a run was trained on; `progress` gets the number of finished and all pixels.

    The answer is kept in the run folder, and taken from there as long as weights, options, split, scene, kind
    of device and version of hsi are the same; `progress` is not called then.

    Raises
    ------
    RunError
        When the scene has other bands than the run.
    SplitError
        When the scene's labels are not those of the run.
    StorageError
        When the run folder cannot be written to.
    """
    run.split.check(scene)
    key = _fingerprint(run, scene, device)
    kept = _read_kept(run.path / KEPT, key, scene)
    if kept is not None:
        return kept
    labels = np.zeros(scene.labels.shape, np.int64)
    confidence = np.zeros(scene.labels.shape, np.float32)
    progress(0, labels.size)
    with Ensemble((run,)).classified(scene, how=How(device=device, watch=progress)) as classified:
        for tile in classified.tiles:
            here = tile.window.slices
            labels[here] = np.where(tile.missing, 0, tile.proba.argmax(axis=2) + 1)
            confidence[here] = np.where(tile.missing, 0, tile.proba.max(axis=2))
    with written_whole(run.path / KEPT) as temporary, temporary.open("wb") as file:
        np.savez_compressed(
            file, labels=labels.astype(np.uint16), confidence=confidence, fingerprint=np.array(key)
        )
    return Classified(labels, confidence)


_DECIDING = (
    "config.toml", "split.npz", "preprocess.npz", "metrics.json", POSTPROCESSING, f"checkpoint/{BEST}"
)  # fmt: skip
_HASHED_BYTES = 1 << 24  # of the cube at a time


def _fingerprint(run: Run, scene: Scene, device: str) -> str:
    """Return the SHA-256 of everything that the map of a run depends on."""
    found = hashlib.sha256(f"{hsi.__version__} {choose_device(device).type}".encode())
    for name in _DECIDING:
        content = (run.path / name).read_bytes() if (run.path / name).is_file() else b""
        found.update(f" {name} {len(content)} ".encode() + content)
    cube = scene.cube
    found.update(f" {cube.shape} {cube.dtype.str} ".encode())
    rows = max(1, _HASHED_BYTES // max(1, scene.cols * scene.bands * cube.dtype.itemsize))
    for top in range(0, scene.rows, rows):
        found.update(np.asarray(cube[top : top + rows]).tobytes())
    if scene.missing is not None:
        found.update(np.packbits(scene.missing).tobytes())
    return found.hexdigest()


def _read_kept(path: Path, key: str, scene: Scene) -> Classified | None:
    """Return the kept map; None where it is missing, damaged, or of anything else than `key`."""
    try:
        arrays = read_archive(path)
        labels, confidence = arrays["labels"], arrays["confidence"]
        fits = (
            str(arrays["fingerprint"]) == key
            and labels.shape == confidence.shape == scene.labels.shape
            and labels.dtype.kind in "iu"
            and confidence.dtype == np.float32
            and bool(((labels >= 0) & (labels <= scene.classes)).all())
            and bool(((confidence >= 0) & (confidence <= 1)).all())
        )
    except (OSError, ValueError, KeyError, FileFormatError):
        return None
    return Classified(labels.astype(np.int64), confidence) if fits else None


def save_run_figures(run: Run, scene: Scene, classified: Classified) -> list[Path]:
    """Write all figures of a run as PNG and PDF into its folder ``figures``."""
    figures = _figures(run, scene, classified)
    return [path for name, one in figures for path in save_figure(one, run.path / "figures", name)]


def has_curves(run: Run) -> bool:
    """Whether a run has training curves; a classifier without epochs has none."""
    return any(math.isfinite(row["train_loss"]) for row in run.history)


def kept_epoch(run: Run) -> int:
    """Return the 0-based epoch whose weights the run kept."""
    return int(load_weights(run.path / "checkpoint" / BEST, run.load_model("cpu"))["epoch"])


def _figures(run: Run, scene: Scene, classified: Classified) -> Iterator[tuple[str, Figure]]:
    title = score_title(run.metrics)
    yield "confusion", draw_confusion(run.metrics["test"]["confusion"], scene.class_names)
    if has_curves(run):
        yield "curves", draw_curves(run.history, kept=kept_epoch(run))
    yield "false_color", draw_false_color(scene)
    yield "labels", draw_labels(scene)
    yield "spectra", draw_spectra(scene)
    yield "prediction", draw_prediction(scene, classified.labels, title=title)
    yield "errors", draw_errors(scene, classified.labels, run.split.test, title=title)
    yield "confidence", draw_confidence(classified.confidence)
    bins = (run.metrics.get("calibration") or {}).get("bins")
    if bins and any(one["pixels"] for one in bins["after"]):
        curves = {stage.capitalize(): [ReliabilityBin(**one) for one in bins[stage]] for stage in bins}
        yield "reliability", draw_reliability(curves)
