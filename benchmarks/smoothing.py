"""Time and peak memory of smoothing a map, one row a method, at its default strength.

python -m benchmarks.smoothing                      # 1000 x 1000 pixels, 16 classes, 6 components
python -m benchmarks.smoothing --side 2000 --rounds 1

The scene is made of square fields with noise, in three groups of 20 pieces each, all over it. Memory is the
growth of the peak of a process that holds the scene already; it includes the result.
"""

from __future__ import annotations

import argparse
import importlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from benchmarks.growth.scenes import field_labels
from hsi.bench.measure import in_own_process, interleave, peak_growth
from hsi.smoothing.guide import in_units_of_contrast
from hsi.smoothing.methods import Smoothing, smooth

METHODS = ("mean", "segments", "mrf", "edges", "mean+segments")


@dataclass(frozen=True)
class Map:
    """A map to be smoothed: see `hsi.smoothing.methods.smooth`."""

    proba: NDArray[np.float32]
    guide: NDArray[np.float32]
    groups: NDArray[np.int32]


def a_map(side: int, classes: int, components: int) -> Map:
    """Return fields of 16 x 16 pixels, a third of whose pixels look like another class."""
    random = np.random.default_rng(0)
    truth = field_labels(side, classes).astype(np.int64) - 1
    seen = np.where(random.random(truth.shape) < 1 / 3, random.integers(0, classes, truth.shape), truth)
    proba = random.random((side, side, classes), np.float32)
    np.put_along_axis(proba, seen[..., None], np.float32(classes), axis=2)
    proba /= proba.sum(axis=2, keepdims=True)
    spectra = random.normal(0, 2, (classes, components)).astype(np.float32)
    guide = spectra[truth] + random.standard_normal((side, side, components), np.float32)
    seeds = random.uniform(0, side, (60, 2))  # each pixel belongs to the group of the nearest
    pixels = np.moveaxis(np.indices((side, side)), 0, -1)
    groups = (cKDTree(seeds).query(pixels)[1] % 3 + 1).astype(np.int32)
    return Map(proba, in_units_of_contrast(guide, groups), groups)


def seconds_of(made: Map, rounds: int) -> dict[str, list[float]]:
    """Smooth a map by each method in turn, round after round; return the seconds of each run."""
    actions = {name: _smoothing(made, name) for name in METHODS}
    return interleave(actions, torch.device("cpu"), rounds=rounds, seconds=0)


def megabytes_of(side: int, classes: int, components: int, method: str) -> float | None:
    """Return by how much the peak grows while a map is smoothed; call it in a process of its own."""
    importlib.import_module("skimage.segmentation")  # what is loaded once is no memory of the map

    action = _smoothing(a_map(side, classes, components), method)
    peak = peak_growth(action, torch.device("cpu"))
    return None if peak is None else peak / 2**20


def _smoothing(made: Map, method: str) -> Any:
    def action() -> None:
        smooth(made.proba, made.guide, made.groups, Smoothing(method))

    return action


def table(side: int, classes: int, components: int, rounds: int) -> Iterator[str]:
    """Yield the lines of the table, in Markdown."""
    made = a_map(side, classes, components)
    taken = seconds_of(made, rounds)
    held = (made.proba.nbytes + made.guide.nbytes + made.groups.nbytes) / 2**20
    del made
    yield f"| smoothing, {side} x {side} pixels, {classes} classes, {components} components | s | peak, MB |"
    yield "|---|--:|--:|"
    for method, samples in taken.items():
        peak = in_own_process(megabytes_of, side, classes, components, method)
        shown = "" if peak is None else f"{peak:.0f}"
        yield f"| {Smoothing(method)} | {min(samples):.2f} | {shown} |"
    yield ""
    load = "unknown" if not hasattr(os, "getloadavg") else f"{os.getloadavg()[0]:.1f}"
    yield (
        f"Smallest of {rounds} round(s), one thread; the scene takes another {held:.0f} MB; "
        f"{os.cpu_count()} cores, load average {load} at the end."
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--side", type=int, default=1000, help="rows and columns")
    parser.add_argument("--classes", type=int, default=16)
    parser.add_argument("--components", type=int, default=6)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    for line in table(given.side, given.classes, given.components, given.rounds):
        print(line, flush=True)


if __name__ == "__main__":
    main()
