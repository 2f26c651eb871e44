"""Growth with the labelled pixels: an epoch of training, splits, leakage, cutting patches, scoring."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch

from benchmarks.growth.scale import GrowthScale
from benchmarks.growth.scenes import field_labels, scene_of, write_scene
from benchmarks.growth.series import Context, Measure, Measured, Series, measure_action, square, square_series
from hsi.bench.measure import peak_growth
from hsi.bench.networks import in_megabytes
from hsi.datasets.patches import PatchCutter
from hsi.datasets.splits.schemes import make_split
from hsi.inference.predict import BATCH
from hsi.scoring import score
from hsi.training.session import train

AXIS = "labelled pixels"
NETWORK = "cnn1d"
"""The quickest network, with which the rest of an epoch shows best."""
NARROW = 3
"""Patch width of trainings, and of the split that drops pixels near other regions: some must be left."""


def pixels_series(scale: GrowthScale) -> list[Series]:
    """Return the series in which the labelled pixels grow: square scenes, all pixels labelled."""
    functions: dict[str, Measure] = {
        f"training epoch, {NETWORK}": measure_epoch,
        "random split": partial(_measure, make=_Split("random")),
        "disjoint split, mask": partial(_measure, make=_Split("disjoint", "mask")),
        "disjoint split, drop": partial(_measure, make=_Split("disjoint", "drop", NARROW)),
        "leakage": partial(_measure, make=_leakage),
        "cutting all patches": partial(_measure, make=_patches),
        "scoring": partial(_measure, make=_scoring),
    }
    return square_series(AXIS, scale.sides, functions)


def measure_epoch(side: int, context: Context) -> Measured:
    """Train with `hsi.train` on a tenth of a scene; the seconds are those of its epochs.

    Memory is that of the whole training, including the scene.
    """
    context.setting.apply()
    with tempfile.TemporaryDirectory(dir=context.folder) as folder:
        cube, labels = write_scene(
            Path(folder), field_labels(side, context.scale.classes), context.scale.bands_of_pixels
        )
        seconds: list[float] = []

        def run() -> None:
            made = train(
                NETWORK,
                str(cube),
                labels=str(labels),
                out=Path(folder) / "run",
                scheme="random",
                train=0.1,
                val=0.1,
                patch=NARROW,
                epochs=context.scale.epochs,
                device=context.setting.device,
                precision="bf16" if context.setting.precision == "bf16" else "float32",
            )
            seconds.extend(row["seconds"] for row in made.history[1:])

        peak = peak_growth(run, torch.device(context.setting.device))
    return Measured(float(square(side)), tuple(seconds), in_megabytes(peak))


Make = Callable[[int, Context], Callable[[], object]]


def _measure(side: int, context: Context, *, make: Make) -> Measured:
    context.setting.apply()
    return measure_action(make(side, context), float(square(side)), context)


@dataclass(frozen=True)
class _Split:
    scheme: str
    guard: str | None = None
    patch: int | None = None

    def __call__(self, side: int, context: Context) -> Callable[[], object]:
        scene = scene_of(field_labels(side, context.scale.classes))
        patch = self.patch or context.scale.patch
        return lambda: make_split(scene, scheme=self.scheme, guard=self.guard, patch=patch)


def _leakage(side: int, context: Context) -> Callable[[], object]:
    split = make_split(scene_of(field_labels(side, context.scale.classes)), patch=context.scale.patch)
    return split.leakage


def _patches(side: int, context: Context) -> Callable[[], object]:
    shape = (side, side, context.scale.bands_of_pixels)
    cube = np.random.default_rng(0).standard_normal(shape, np.float32)
    cutter = PatchCutter(cube, context.scale.patch, device=context.setting.device)
    pixels = np.random.default_rng(1).permutation(square(side))

    def cut() -> None:
        for start in range(0, len(pixels), BATCH):
            cutter(pixels[start : start + BATCH])

    return cut


def _scoring(side: int, context: Context) -> Callable[[], object]:
    classes = context.scale.classes
    y_true = field_labels(side, classes).ravel().astype(np.int64)
    y_pred = np.random.default_rng(0).integers(1, classes + 1, len(y_true))
    return lambda: score(y_true, y_pred, classes)
