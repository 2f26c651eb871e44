"""Measures every series of every axis."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Collection
from pathlib import Path

from benchmarks.growth.area import area_series, prepare_run
from benchmarks.growth.networks import bands_series, patch_series
from benchmarks.growth.pixels import pixels_series
from benchmarks.growth.points import GrowthFile, Point
from benchmarks.growth.processes import processes_series
from benchmarks.growth.scale import FULL_GROWTH, GrowthScale
from benchmarks.growth.series import Context, Measured, Series
from hsi.bench.setting import Setting, describe_machine
from hsi.errors import ConfigError, unknown

AXES = ("bands", "patch", "pixels", "area", "processes")
"""What can grow, in the order of measurement."""


def run_growth(
    setting: Setting,
    scale: GrowthScale = FULL_GROWTH,
    *,
    only: Collection[str] = (),
    progress: Callable[[str], None] = lambda what: None,
) -> GrowthFile:
    """Measure every series at every size; each visit has a process of its own.

    Parameters
    ----------
    setting
        See `hsi.bench.make_setting`.
    scale
        FULL_GROWTH, QUICK_GROWTH, or another.
    only
        Names of `AXES`; empty for all.
    progress
        Called with what is measured next.

    Raises
    ------
    ConfigError
        For an unknown axis, or a precision that a CPU cannot train in.
    HsiError
        When a measured process dies.
    """
    for name in only:
        if name not in AXES:
            raise ConfigError(unknown("axis", name, AXES))
    if setting.device == "cpu" and setting.precision != "float32":
        raise ConfigError(f"A CPU cannot train networks in {setting.precision}; use float32.")
    machine = describe_machine(setting)
    points: list[Point] = []
    with tempfile.TemporaryDirectory() as folder:
        context = Context(scale, setting, Path(folder))
        for axis in AXES:
            if only and axis not in only:
                continue
            if axis == "area":
                progress(f"{axis}: a network to map with")
                prepare_run(context)
            points += _measure(_series(axis, context), context, progress)
    return GrowthFile(tuple(points), machine, quick=scale != FULL_GROWTH)


def _measure(made: list[Series], context: Context, progress: Callable[[str], None]) -> list[Point]:
    """Visit each size of all series, then again, so that no size is measured at a slow moment only."""
    visits: dict[tuple[str, int], list[Measured]] = {}
    for number in range(1, context.scale.visits + 1):
        for series in made:
            for size in series.sizes:
                progress(f"{series.name}, {series.axis} {series.shows(size)}, visit {number}")
                visits.setdefault((series.name, size), []).append(series.visit(size, context))
    return [series.point(size, visits[series.name, size]) for series in made for size in series.sizes]


def _series(axis: str, context: Context) -> list[Series]:
    makers: dict[str, Callable[[], list[Series]]] = {
        "bands": lambda: bands_series(context.scale),
        "patch": lambda: patch_series(context.scale),
        "pixels": lambda: pixels_series(context.scale),
        "area": lambda: area_series(context.scale),
        "processes": lambda: processes_series(context.scale, context.setting),
    }
    return makers[axis]()
