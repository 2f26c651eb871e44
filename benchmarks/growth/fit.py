"""How fast time, memory and work grow: exponents, fitted, and whether time or memory outgrows the work.

The exponent b of ``measured ~ size ** b`` is the slope of a straight line through the logarithms, by least
squares, with its standard error. Only the upper sizes count (`UPPER`): at the lower ones, what is always the
same, such as starting a kernel, would make any growth look slower than it is. A fit to the smallest time of
the repeats is least disturbed by other programs. All our decision.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.growth.points import Point, series_of

UPPER = 0.6
"""Share of the sizes that is fitted, `FEWEST` at least."""
FEWEST = 3
TOLERANCE = 0.15
"""An exponent this much above that of the work is still taken as the work's."""
LITTLE_MB = 8.0
"""Memory below this at all fitted sizes is as much the allocator's as the work's, and is not fitted."""

AS, FASTER, UNCLEAR, LESS_GAIN = (
    "as the work",
    "faster than the work",
    "unclear",
    "falls less than the work",
)


@dataclass(frozen=True)
class Exponent:
    """An exponent and its standard error; the error is None where two points leave none to estimate."""

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
        Exponents; `memory` is None where there is too little of it, or the system does not tell.
    time_excess, memory_excess
        The exponents of time / work and of memory / work: what is above the work's.
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
        """What time does, beside the work."""
        return verdict_on(self.time_excess, self.work)

    @property
    def memory_verdict(self) -> str | None:
        """What memory does, beside the work, or None where nothing can be said."""
        if self.memory_excess is None or self.work.slope < 0:  # a process more has a memory of its own
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
    """Say in words what an exponent above the work's means.

    It is called faster only where it is beyond `TOLERANCE` by two standard errors, and unclear where it is
    beyond it by less.
    """
    if excess.slope <= TOLERANCE:
        return AS
    if excess.error is not None and excess.slope - 2 * excess.error <= TOLERANCE:
        return UNCLEAR
    return FASTER if work.slope >= 0 else LESS_GAIN


def _fit(axis: str, name: str, members: Sequence[Point]) -> Growth:
    upper = list(members)[-max(FEWEST, math.ceil(UPPER * len(members))) :]
    sizes = [point.value for point in upper]
    memory = [point.peak_memory_mb or 0.0 for point in upper]
    known = min(memory) > 0 and max(memory) >= LITTLE_MB
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
