"""An estimate with its confidence interval, and the ways to make one."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Estimate:
    """A number, its standard error, and the ends of its confidence interval, all in one unit."""

    value: float
    standard_error: float
    low: float
    high: float

    def times(self, factor: float) -> Estimate:
        """Return the same in another unit."""
        return Estimate(*(factor * one for one in (self.value, self.standard_error, self.low, self.high)))

    def as_dict(self) -> dict[str, float]:
        """Return values for JSON."""
        return asdict(self)


def normal_quantile(level: float) -> float:
    """Return z of a two-sided interval.

    >>> round(normal_quantile(0.95), 3)
    1.96
    """
    return NormalDist().inv_cdf((1 + level) / 2)


def normal_interval(value: float, error: float, level: float) -> Estimate:
    """Return a share with the interval of the normal distribution, cut at 0 and 1."""
    half = normal_quantile(level) * error
    return Estimate(value, error, max(0.0, value - half), min(1.0, value + half))


def wilson_interval(value: float, error: float, units: int, seen: float, level: float) -> Estimate:
    """Return a share with Wilson's score interval for the sample size that its variance is worth.

    A simple random sample of ``value (1 - value) / error**2`` units has the same variance (Kish 1965; Franco,
    Little, Louis and Slud 2019, Journal of Survey Statistics and Methodology 7, 334-364). Where the sample
    shows no variance, the number of its units is taken.

    Parameters
    ----------
    value, error
        The share and its standard error.
    units, seen
        Sample units among which it is a share, and the fraction of their population that they are.
    level
        Of confidence, a fraction.

    Examples
    --------
    18 of 20 of a simple random sample:

    >>> made = wilson_interval(0.9, (0.9 * 0.1 / 20) ** 0.5, 20, 0.0, 0.95)
    >>> print(f"{made.low:.3f} to {made.high:.3f}")
    0.699 to 0.972
    """
    if seen >= 1:
        return Estimate(value, error, value, value)
    size = value * (1 - value) / error**2 if error > 0 else units / (1 - seen)
    z2 = normal_quantile(level) ** 2
    middle = (value + z2 / (2 * size)) / (1 + z2 / size)
    half = math.sqrt(z2 * (value * (1 - value) + z2 / (4 * size)) / size) / (1 + z2 / size)
    return Estimate(value, error, min(value, max(0.0, middle - half)), max(value, min(1.0, middle + half)))


def quantile_interval(value: float, error: float, draws: NDArray[np.float64], level: float) -> Estimate:
    """Return a share with the central interval of draws; it is widened to hold the share itself."""
    low, high = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2])
    return Estimate(value, error, min(value, float(low)), max(value, float(high)))
