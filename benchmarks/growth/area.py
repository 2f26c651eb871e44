"""Growth with the area of a scene of which always the same pixels are labelled: loading, mapping, leakage."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.growth.pixels import NARROW, NETWORK
from benchmarks.growth.scale import GrowthScale
from benchmarks.growth.scenes import blocky_labels, scene_of, write_scene
from benchmarks.growth.series import Measured, Place, Series, measure_action, square
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
    makers: dict[str, Callable[[int, Place], Measured]] = {
        "load_scene, with its checks": measure_loading,
        f"hsi map of a .npy cube, {NETWORK}": measure_map,
        "leakage": measure_leakage,
        "disjoint split, mask": measure_split,
    }
    return [
        Series(AXIS, name, "pixels", scale.area_sides, measure, shows=square)
        for name, measure in makers.items()
    ]


def prepare_run(place: Place) -> None:
    """Train the run that maps, in a process of its own.

    Raises
    ------
    HsiError
        When that process dies.
    """
    if in_own_process(_train, place) is None:
        raise HsiError("The process that trains a network for the maps ended; is there enough memory?")


def measure_loading(side: int, place: Place) -> Measured:
    """Load a cube and its labels from ``.npy`` files and check them."""
    with tempfile.TemporaryDirectory(dir=place.folder) as folder:
        cube, labels = _write(Path(folder), side, place)
        return measure_action(lambda: load_scene(cube, labels=labels), float(square(side)), place)


def measure_map(side: int, place: Place) -> Measured:
    """Map a ``.npy`` cube into a ``.npy`` map, as `hsi map` does; the cube is never whole in memory."""
    place.setting.apply()
    with tempfile.TemporaryDirectory(dir=place.folder) as folder:
        cube, _ = _write(Path(folder), side, place)
        run = Run(place.folder / RUN)

        def act() -> None:
            map_scene(run, load_unlabelled(cube), Path(folder) / "map.npy", device=place.setting.device)

        return measure_action(act, float(square(side)), place)


def measure_leakage(side: int, place: Place) -> Measured:
    """Compute the leakage of a split."""
    split = make_split(scene_of(_labels(side, place)), patch=place.scale.patch)
    return measure_action(split.leakage, float(square(side)), place)


def measure_split(side: int, place: Place) -> Measured:
    """Make a disjoint split, which gives each pixel of the scene to an area."""
    scene = scene_of(_labels(side, place))
    return measure_action(
        lambda: make_split(scene, scheme="disjoint", patch=place.scale.patch), float(square(side)), place
    )


def _labels(side: int, place: Place) -> NDArray[np.uint8]:
    return blocky_labels(side, place.scale.classes, place.scale.labelled_side)


def _write(folder: Path, side: int, place: Place) -> tuple[Path, Path]:
    return write_scene(folder, _labels(side, place), place.scale.bands_of_area)


def _train(place: Place) -> bool:
    place.setting.apply()
    with tempfile.TemporaryDirectory(dir=place.folder) as folder:
        side = place.scale.labelled_side
        cube, labels = _write(Path(folder), side, place)
        train(
            NETWORK,
            str(cube),
            labels=str(labels),
            out=place.folder / RUN,
            scheme="random",
            train=0.1,
            val=0.1,
            patch=NARROW,
            epochs=1,
            device=place.setting.device,
        )
    return True
