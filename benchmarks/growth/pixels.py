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
from benchmarks.growth.scenes import blocky_labels, scene_of, write_scene
from benchmarks.growth.series import Measured, Place, Series, measure_action, square
from hsi.bench.measure import peak_growth
from hsi.bench.networks import in_megabytes
from hsi.datasets.patches import PatchCutter
from hsi.datasets.splits.schemes import make_split
from hsi.inference.predict import BATCH
from hsi.scoring import score
from hsi.training.session import train

AXIS = "labelled pixels"
NETWORK = "cnn1d"
"""The quickest network, beside which everything else in an epoch shows best."""
NARROW = 3
"""Patch width of what is trained and, so that small fields keep pixels, of the split that drops some."""


def pixels_series(scale: GrowthScale) -> list[Series]:
    """Return the series in which the labelled pixels grow; all pixels of a square scene are labelled."""
    makers: dict[str, Callable[[int, Place], Measured]] = {
        f"training epoch, {NETWORK}": measure_epoch,
        "random split": partial(_measure, make=_Split("random")),
        "disjoint split, mask": partial(_measure, make=_Split("disjoint", "mask")),
        "disjoint split, drop": partial(_measure, make=_Split("disjoint", "drop", NARROW)),
        "leakage": partial(_measure, make=_leakage),
        "cutting all patches": partial(_measure, make=_patches),
        "scoring": partial(_measure, make=_scoring),
    }
    return [
        Series(AXIS, name, "pixels", scale.sides, measure, shows=square) for name, measure in makers.items()
    ]


def measure_epoch(side: int, place: Place) -> Measured:
    """Train with `hsi.train` on a tenth of a scene in files; the seconds are those of its epochs.

    Memory is that of the whole training, its scene included.
    """
    place.setting.apply()
    with tempfile.TemporaryDirectory(dir=place.folder) as folder:
        cube, labels = write_scene(
            Path(folder), blocky_labels(side, place.scale.classes), place.scale.bands_of_pixels
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
                epochs=place.scale.epochs,
                device=place.setting.device,
                precision="bf16" if place.setting.precision == "bf16" else "float32",
            )
            seconds.extend(row["seconds"] for row in made.history[1:])

        peak = peak_growth(run, torch.device(place.setting.device))
    return Measured(float(square(side)), tuple(seconds), in_megabytes(peak))


Make = Callable[[int, Place], Callable[[], object]]


def _measure(side: int, place: Place, *, make: Make) -> Measured:
    place.setting.apply()
    return measure_action(make(side, place), float(square(side)), place)


@dataclass(frozen=True)
class _Split:
    """Makes a split of one scheme."""

    scheme: str
    guard: str | None = None
    patch: int | None = None

    def __call__(self, side: int, place: Place) -> Callable[[], object]:
        scene = scene_of(blocky_labels(side, place.scale.classes))
        patch = self.patch or place.scale.patch
        return lambda: make_split(scene, scheme=self.scheme, guard=self.guard, patch=patch)


def _leakage(side: int, place: Place) -> Callable[[], object]:
    split = make_split(scene_of(blocky_labels(side, place.scale.classes)), patch=place.scale.patch)
    return split.leakage


def _patches(side: int, place: Place) -> Callable[[], object]:
    shape = (side, side, place.scale.bands_of_pixels)
    cube = np.random.default_rng(0).standard_normal(shape, np.float32)
    cutter = PatchCutter(cube, place.scale.patch, device=place.setting.device)
    pixels = np.random.default_rng(1).permutation(square(side))

    def cut() -> None:
        for start in range(0, len(pixels), BATCH):
            cutter(pixels[start : start + BATCH])

    return cut


def _scoring(side: int, place: Place) -> Callable[[], object]:
    classes = place.scale.classes
    wanted = blocky_labels(side, classes).ravel().astype(np.int64)
    found = np.random.default_rng(0).integers(1, classes + 1, len(wanted))
    return lambda: score(wanted, found, classes)
