"""A series of growth, and how a point of it is measured in its own process."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
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
class Context:
    """Sizes, setting, and a folder for temporary files."""

    scale: GrowthScale
    setting: Setting
    folder: Path


Measure = Callable[[int, Context], Measured]


@dataclass(frozen=True)
class Series:
    """A function measured at several sizes.

    ``measure`` takes a size and a `Context`; it runs in a process of its own, so it must be picklable, unless
    it ``starts_processes`` itself. ``shows`` converts the size into the value of the axis.
    """

    axis: str
    name: str
    unit: str
    sizes: Sequence[int]
    measure: Measure
    starts_processes: bool = False
    shows: Callable[[int], int] = int

    def visit(self, size: int, context: Context) -> Measured:
        """Measure one size, in a process of its own.

        Raises
        ------
        HsiError
            When its process dies, for example out of memory.
        """
        if self.starts_processes:
            measured: Measured | None = self.measure(size, context)
        else:
            measured = in_own_process(self.measure, size, context)
        if measured is None:
            raise HsiError(
                f"Measuring '{self.name}' at {self.axis} {self.shows(size)} ended with its process; is "
                "there enough memory?"
            )
        return measured

    def point(self, size: int, visits: Sequence[Measured]) -> Point:
        """Combine the visits of one size: all their seconds, and the largest memory."""
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


def square_series(axis: str, sides: Sequence[int], functions: Mapping[str, Measure]) -> list[Series]:
    """Return one series for each function, over square scenes; the size is the side, the value the pixels."""
    return [Series(axis, name, "pixels", sides, measure, shows=square) for name, measure in functions.items()]


def square(side: int) -> int:
    """Return the pixels of a square scene."""
    return side * side


def measure_action(action: Callable[[], object], work: float, context: Context) -> Measured:
    """Run an action once for its memory, which also warms it up, then repeatedly for its time."""
    device, scale = torch.device(context.setting.device), context.scale
    peak = peak_growth(action, device)
    taken = interleave({"action": action}, device, rounds=scale.rounds, seconds=scale.seconds)
    return Measured(work, tuple(taken["action"]), in_megabytes(peak))
