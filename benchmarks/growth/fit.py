"""Fitted exponents of time, memory and work, and whether time or memory outgrows the work.

The exponent b of ``measured ~ size ** b`` is the slope of a straight line through the logarithms, by least
squares, with its standard error. Only the upper sizes count (`FITTED_SHARE`): at small sizes constant costs,
such as starting a kernel, hide growth. The smallest time of the repeats is least disturbed by other programs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.growth.points import Point, series_of

FITTED_SHARE = 0.6
"""Share of the sizes that is fitted, at least `MIN_SIZES`."""
MIN_SIZES = 3
TOLERANCE = 0.15
"""Excess of an exponent over that of the work that still counts as none."""
MIN_MB = 8.0
"""Memory below this at all fitted sizes is not fitted: it is as much the allocator's as the work's."""
LEAST_MB = 1.0
"""Nor is a series with less than this at one fitted size: it would be an exponent of the allocator's."""

AS_WORK, FASTER, UNCLEAR = "as the work", "faster than the work", "unclear"
LESS_THAN_WORK = "falls less than the work"


@dataclass(frozen=True)
class Exponent:
    """An exponent and its standard error, which is None for two points."""

    slope: float
    error: float | None

    def __str__(self) -> str:
        return f"{self.slope:.2f}" if self.error is None else f"{self.slope:.2f} ± {self.error:.2f}"


@dataclass(frozen=True)
class Growth:
    """One series, fitted.

    Attributes
    ----------
    points
        All its points, smallest first; `fitted` are those of the upper sizes.
    time, work, memory
        Exponents; `memory` is None where there is too little of it, or it is unknown.
    time_excess, memory_excess
        Exponents of time / work and of memory / work.
    """

    axis: str
    series: str
    points: tuple[Point, ...]
    fitted: tuple[Point, ...]
    time: Exponent
    work: Exponent
    memory: Exponent | None
    time_excess: Exponent
    memory_excess: Exponent | None

    @property
    def verdict(self) -> str:
        """How time grows compared to the work."""
        return verdict_on(self.time_excess, self.work)

    @property
    def memory_verdict(self) -> str | None:
        """How memory grows compared to the work, or None where that is unknown."""
        if self.memory_excess is None or self.work.slope < 0:  # each process has a memory of its own
            return None
        return verdict_on(self.memory_excess, self.work)


def fit_growth(points: Sequence[Point]) -> list[Growth]:
    """Fit each series of two sizes or more, in the order of the points."""
    return [
        _fit(axis, name, members) for (axis, name), members in series_of(points).items() if len(members) > 1
    ]


def fit_exponent(sizes: Sequence[float], measured: Sequence[float]) -> Exponent:
    """Fit ``measured ~ size ** slope`` by least squares on the logarithms.

    Parameters
    ----------
    sizes, measured
        Two or more different sizes and a positive number for each.
    """
    x, y = np.log(np.asarray(sizes, float)), np.log(np.asarray(measured, float))
    x, y = x - x.mean(), y - y.mean()
    spread = float((x * x).sum())
    slope = float((x * y).sum()) / spread
    if len(x) < 3:
        return Exponent(slope, None)
    rest = float(((y - slope * x) ** 2).sum())
    return Exponent(slope, math.sqrt(rest / (len(x) - 2) / spread))


def verdict_on(excess: Exponent, work: Exponent) -> str:
    """Classify an excess exponent: faster if above `TOLERANCE` by two standard errors, unclear if by less."""
    if excess.slope <= TOLERANCE:
        return AS_WORK
    if excess.error is not None and excess.slope - 2 * excess.error <= TOLERANCE:
        return UNCLEAR
    return FASTER if work.slope >= 0 else LESS_THAN_WORK


def _fit(axis: str, name: str, members: Sequence[Point]) -> Growth:
    upper = list(members)[-max(MIN_SIZES, math.ceil(FITTED_SHARE * len(members))) :]
    sizes = [point.value for point in upper]
    memory = [point.peak_memory_mb or 0.0 for point in upper]
    known = min(memory) >= LEAST_MB and max(memory) >= MIN_MB
    return Growth(
        axis=axis,
        series=name,
        points=tuple(members),
        fitted=tuple(upper),
        time=fit_exponent(sizes, [point.seconds_min for point in upper]),
        work=fit_exponent(sizes, [point.work for point in upper]),
        memory=fit_exponent(sizes, memory) if known else None,
        time_excess=fit_exponent(sizes, [point.seconds_min / point.work for point in upper]),
        memory_excess=(
            fit_exponent(sizes, [used / point.work for used, point in zip(memory, upper, strict=True)])
            if known
            else None
        ),
    )
