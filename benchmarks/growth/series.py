"""What a series of growth is, and how one point of it is measured in its own process."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from benchmarks.growth.points import Point
from benchmarks.growth.scale import GrowthScale
from hsi.bench.measure import in_own_process, interleave, peak_growth
from hsi.bench.networks import in_megabytes
from hsi.bench.setting import Setting
from hsi.errors import HsiError


@dataclass(frozen=True)
class Measured:
    """The work of one size, the seconds of each repeat, and the peak memory in MB."""

    work: float
    seconds: tuple[float, ...]
    peak_memory_mb: float | None


@dataclass(frozen=True)
class Place:
    """Sizes, setting, and a folder for what is written meanwhile."""

    scale: GrowthScale
    setting: Setting
    folder: Path


Measure = Callable[[int, Place], Measured]


@dataclass(frozen=True)
class Series:
    """One thing that is measured at several sizes.

    ``measure`` takes a size and a `Place`; it must be picklable, since it runs in a process of its own,
    unless it ``starts_processes`` itself. ``shows`` makes the value of the axis from the size.
    """

    axis: str
    name: str
    unit: str
    sizes: Sequence[int]
    measure: Measure
    starts_processes: bool = False
    shows: Callable[[int], int] = int

    def visit(self, size: int, place: Place) -> Measured:
        """Measure one size, in a process of its own.

        Raises
        ------
        HsiError
            When its process dies, as for want of memory.
        """
        if self.starts_processes:
            measured: Measured | None = self.measure(size, place)
        else:
            measured = in_own_process(self.measure, size, place)
        if measured is None:
            raise HsiError(
                f"Measuring '{self.name}' at {self.axis} {self.shows(size)} ended with its process; is "
                "there enough memory?"
            )
        return measured

    def point(self, size: int, visits: Sequence[Measured]) -> Point:
        """Return what the visits of one size come to: all their seconds, and the largest memory."""
        seconds = [taken for visit in visits for taken in visit.seconds]
        peaks = [visit.peak_memory_mb for visit in visits if visit.peak_memory_mb is not None]
        return Point(
            axis=self.axis,
            series=self.name,
            value=self.shows(size),
            work=visits[0].work,
            unit=self.unit,
            seconds_min=min(seconds),
            seconds_median=statistics.median(seconds),
            repeats=len(seconds),
            peak_memory_mb=max(peaks, default=None),
        )


def square(side: int) -> int:
    """Return the pixels of a square scene."""
    return side * side


def measure_action(action: Callable[[], object], work: float, place: Place) -> Measured:
    """Run an action once for its memory, which warms it up, then repeat it for its time."""
    device = torch.device(place.setting.device)
    peak = peak_growth(action, device)
    taken = interleave({"it": action}, device, rounds=place.scale.rounds, seconds=place.scale.seconds)["it"]
    return Measured(work, tuple(taken), in_megabytes(peak))
