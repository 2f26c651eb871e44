"""How time and memory grow with bands, P, labelled pixels, scene area and processes."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Collection
from pathlib import Path

from benchmarks.growth import (
    area as growth_area,
)
from benchmarks.growth import (
    networks as growth_networks,
)
from benchmarks.growth import (
    pixels as growth_pixels,
)
from benchmarks.growth import (
    processes as growth_ranks,
)
from benchmarks.growth.points import GrowthFile, Point
from benchmarks.growth.scale import FULL_GROWTH, GrowthScale
from benchmarks.growth.series import Measured, Place, Series
from hsi.bench.setting import Setting, describe_machine
from hsi.errors import ConfigError, unknown

AXES = ("bands", "patch", "pixels", "area", "ranks")
"""What can grow, as it is asked for; in the order of a run."""


def run_growth(
    setting: Setting,
    scale: GrowthScale = FULL_GROWTH,
    *,
    only: Collection[str] = (),
    say: Callable[[str], None] = lambda sentence: None,
) -> GrowthFile:
    """Measure every series at every size, in a process of its own for each of the visits.

    Parameters
    ----------
    setting
        See `hsi.bench.make_setting`.
    scale
        FULL_GROWTH, QUICK_GROWTH, or another.
    only
        Names of `AXES`; empty for all.
    say
        Told what is measured next.

    Raises
    ------
    ConfigError
        For an unknown axis, or a precision that nothing can be trained in on a CPU.
    HsiError
        When a measured process dies.
    """
    for name in only:
        if name not in AXES:
            raise ConfigError(unknown("axis", name, AXES))
    if setting.device == "cpu" and setting.precision != "float32":
        raise ConfigError(f"--growth trains networks, which a CPU cannot do in {setting.precision}.")
    machine = describe_machine(setting)
    points: list[Point] = []
    with tempfile.TemporaryDirectory() as folder:
        place = Place(scale, setting, Path(folder))
        for axis in AXES:
            if only and axis not in only:
                continue
            if axis == "area":
                say(f"{axis}: a network to map with")
                growth_area.prepare_run(place)
            points += _measure(_series(axis, place), place, say)
    return GrowthFile(tuple(points), machine, quick=scale != FULL_GROWTH)


def _measure(made: list[Series], place: Place, say: Callable[[str], None]) -> list[Point]:
    """Visit each size of all series, then again, so that no size meets only a bad moment of the machine."""
    rounds = range(place.scale.visits)
    visits: dict[tuple[str, int], list[Measured]] = {}
    for number in rounds:
        for series in made:
            for size in series.sizes:
                again = f" ({number + 1} of {len(rounds)})" if len(rounds) > 1 else ""
                say(f"{series.name}, {series.axis} {series.shows(size)}{again}")
                visits.setdefault((series.name, size), []).append(series.visit(size, place))
    return [series.point(size, visits[series.name, size]) for series in made for size in series.sizes]


def _series(axis: str, place: Place) -> list[Series]:
    makers: dict[str, Callable[[], list[Series]]] = {
        "bands": lambda: growth_networks.bands_series(place.scale),
        "patch": lambda: growth_networks.patch_series(place.scale),
        "pixels": lambda: growth_pixels.pixels_series(place.scale),
        "area": lambda: growth_area.area_series(place.scale),
        "ranks": lambda: growth_ranks.ranks_series(place.scale, place.setting),
    }
    return makers[axis]()
