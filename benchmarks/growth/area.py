"""Growth with the scene area, labelled pixels being constant: loading, mapping, leakage, disjoint split."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.growth.pixels import NARROW, NETWORK
from benchmarks.growth.scale import GrowthScale
from benchmarks.growth.scenes import field_labels, scene_of, write_scene
from benchmarks.growth.series import Context, Measured, Series, measure_action, square, square_series
from hsi.bench.measure import in_own_process
from hsi.datasets.load import load_scene, load_unlabelled
from hsi.datasets.splits.schemes import make_split
from hsi.errors import HsiError
from hsi.inference.run import Run
from hsi.inference.scene_map import map_scene
from hsi.training.session import train

AXIS = "scene area"
RUN = "run-to-map"


def area_series(scale: GrowthScale) -> list[Series]:
    """Return the series in which the area of a square scene grows."""
    functions = {
        "load_scene, with its checks": measure_loading,
        f"hsi map of a .npy cube, {NETWORK}": measure_map,
        "leakage": measure_leakage,
        "disjoint split, mask": measure_split,
    }
    return square_series(AXIS, scale.area_sides, functions)


def prepare_run(context: Context) -> None:
    """Train the network for the maps, in a process of its own.

    Raises
    ------
    HsiError
        When that process dies.
    """
    if in_own_process(_train, context) is None:
        raise HsiError("The process that trains a network for the maps ended; is there enough memory?")


def measure_loading(side: int, context: Context) -> Measured:
    """Load a cube and its labels from ``.npy`` files and check them."""
    with tempfile.TemporaryDirectory(dir=context.folder) as folder:
        cube, labels = _write(Path(folder), side, context)
        return measure_action(lambda: load_scene(cube, labels=labels), float(square(side)), context)


def measure_map(side: int, context: Context) -> Measured:
    """Map a ``.npy`` cube into a ``.npy`` map, as `hsi map` does, which never loads the whole cube."""
    context.setting.apply()
    with tempfile.TemporaryDirectory(dir=context.folder) as folder:
        cube, _ = _write(Path(folder), side, context)
        run, device = Run(context.folder / RUN), context.setting.device

        def map_cube() -> None:
            map_scene(run, load_unlabelled(cube), Path(folder) / "map.npy", device=device)

        return measure_action(map_cube, float(square(side)), context)


def measure_leakage(side: int, context: Context) -> Measured:
    """Compute the leakage of a split."""
    split = make_split(scene_of(_labels(side, context)), patch=context.scale.patch)
    return measure_action(split.leakage, float(square(side)), context)


def measure_split(side: int, context: Context) -> Measured:
    """Make a disjoint split, which assigns each pixel of the scene to a region."""
    scene = scene_of(_labels(side, context))
    return measure_action(
        lambda: make_split(scene, scheme="disjoint", patch=context.scale.patch), float(square(side)), context
    )


def _labels(side: int, context: Context) -> NDArray[np.uint8]:
    return field_labels(side, context.scale.classes, context.scale.labelled_side)


def _write(folder: Path, side: int, context: Context) -> tuple[Path, Path]:
    return write_scene(folder, _labels(side, context), context.scale.bands_of_area)


def _train(context: Context) -> bool:
    context.setting.apply()
    with tempfile.TemporaryDirectory(dir=context.folder) as folder:
        side = context.scale.labelled_side
        cube, labels = _write(Path(folder), side, context)
        train(
            NETWORK,
            str(cube),
            labels=str(labels),
            out=context.folder / RUN,
            scheme="random",
            train=0.1,
            val=0.1,
            patch=NARROW,
            epochs=1,
            device=context.setting.device,
        )
    return True
