"""Estimators for a stratified random sample whose units have a map class and a reference class.

Every share and accuracy is a ratio of two totals of indicators (Stehman 2014, International Journal of Remote
Sensing 35, 4923-4939); where the strata are the map's classes, these are the equations of Olofsson et al.
(2014, Remote Sensing of Environment 148, 42-57).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

DRAWS = 20_000
"""Of the posterior distribution; the ends of a 95 % interval are then off by about 0.5 % of its width."""
NEGLIGIBLE = 0.01
"""Sampled share of a stratum below which that it is finite changes an interval by less than 0.5 %."""


@dataclass(frozen=True)
class Draws:
    """Draws of the posterior distribution, ``(DRAWS, R)``: share of each class, and producer's accuracy."""

    areas: Floats
    producers: Floats


class Sample:
    """A stratified random sample with at least one unit in each stratum.

    Parameters
    ----------
    cells
        ``(H, M, R)`` integers: units by stratum, map class and reference class.
    strata
        ``(H,)`` integers: pixels of each stratum.
    finite
        Whether units were drawn without replacement, so that they are known and only the rest is not.
    """

    def __init__(self, cells: NDArray[np.int64], strata: NDArray[np.int64], finite: bool) -> None:
        self.cells, self.strata = cells, strata
        self.units = cells.sum(axis=(1, 2))
        self.seen = self.units / strata if finite else np.zeros(len(strata))

    def ratio(self, top: Floats, bottom: Floats) -> tuple[float, float]:
        """Return the ratio of two totals and its standard error (Stehman 2014, eq. 27 and 28).

        A total is that of an indicator ``(M, R)`` of map class and reference class. With a constant below,
        the ratio is a share (eq. 2 and 25). A stratum with one unit, whose variance is unknown, counts with
        its squared deviation from the mean of all strata. Both are NaN where the total below is 0.
        """
        size = self.strata / self.units
        above = float(((self.cells * top).sum(axis=(1, 2)) * size).sum())
        below = float(((self.cells * bottom).sum(axis=(1, 2)) * size).sum())
        if below == 0:
            return math.nan, math.nan
        ratio = above / below
        residual = top - ratio * bottom
        mean = (self.cells * residual).sum(axis=(1, 2)) / self.units
        square = (self.cells * residual**2).sum(axis=(1, 2)) / self.units
        spread = np.maximum(square - mean**2, 0) * self.units / np.maximum(self.units - 1, 1)
        spread = np.where(self.units == 1, square, spread)
        variance = (self.strata.astype(np.float64) ** 2 * (1 - self.seen) * spread / self.units).sum()
        return ratio, math.sqrt(variance) / below

    def size_of(self, among: Floats) -> tuple[int, float]:
        """Return the units for which an indicator is 1, and the share of their population that they are."""
        units = (self.cells * among).sum(axis=(1, 2))
        population = float((units * self.strata / self.units).sum())
        return int(units.sum()), float((units * self.seen).sum() / units.sum()) if population else 0.0

    def posterior(self) -> Draws:
        """Return draws of the shares that the classes have, given the sample.

        In each stratum, the proportions of R reference classes have the prior 1/R each, as one pseudo-unit
        in all, spread over the map classes that its units have (Berger, Bernardo and Sun 2015, Bayesian
        Analysis 10, 189-221). Of a finite stratum, the pixels outside the sample are drawn. The random
        numbers are the same in every call.
        """
        random = np.random.default_rng(0)
        _, maps, references = self.cells.shape
        areas = np.zeros((DRAWS, references))
        right = np.zeros((DRAWS, references))
        for units, pixels, seen in zip(self.cells, self.strata, self.seen, strict=True):
            rows = np.flatnonzero(units.any(axis=1))
            counts = units[rows]
            gammas = random.standard_gamma(counts + 1 / (references * len(rows)), (DRAWS, *counts.shape))
            # A gamma of so small a shape may be too small for a float; all of a row never are.
            shares = gammas / gammas.sum(axis=(1, 2), keepdims=True)
            if seen > NEGLIGIBLE:
                flat = shares.reshape(DRAWS, -1)
                others = random.multinomial(pixels - counts.sum(), flat / flat.sum(axis=1, keepdims=True))
                totals = counts + others.reshape(shares.shape)
            else:
                totals = pixels * shares
            areas += totals.sum(axis=1)
            for place, row in enumerate(rows):
                if row < min(maps, references):
                    right[:, row] += totals[:, place, row]
        producers = np.divide(right, areas, out=np.zeros_like(areas), where=areas > 0)
        return Draws(areas / self.strata.sum(), producers)
