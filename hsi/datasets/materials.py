"""Reflectance spectra of a few ground materials, 400 to 2500 nm, as formulas with a handful of parameters.

They stand for no measured sample. Each is a smooth continuum with the absorption features that the material
is known for, at the wavelengths where textbooks place them: good enough to make a generated scene behave like
a real one, and nothing more. Values are fractions of reflected light, rounded to multiples of 2^-16 so that
the last digit of a platform's exponential function cannot show.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Spectrum = NDArray[np.float64]


def green_leaf(
    nm: Spectrum,
    *,
    chlorophyll: float = 1.0,
    water: float = 1.0,
    structure: float = 0.48,
    edge: float = 715.0,
) -> Spectrum:
    """Living leaves: green peak, red edge at `edge` nm, infrared plateau `structure`, liquid water bands."""
    visible = 0.035 + (0.10 / (1.0 + chlorophyll)) * _bump(nm, 552, 36)
    plateau = structure * _rise(nm, edge, 14) * (1.0 - 0.42 * _rise(nm, 1330, 60))
    return _rounded((visible + plateau) * _liquid_water(nm, water))


def dry_plant(nm: Spectrum, *, brightness: float = 0.40, age: float = 1.0) -> Spectrum:
    """Straw, ripe and withered plants: a slow rise, cellulose and lignin bands at 2100 and 2300 nm."""
    continuum = 0.06 + brightness * (0.55 * _rise(nm, 620, 90) + 0.45 * _rise(nm, 900, 160))
    fibre = 1.0 - age * (0.16 * _bump(nm, 2100, 60) + 0.12 * _bump(nm, 2310, 60) + 0.06 * _bump(nm, 1730, 40))
    return _rounded(continuum * fibre * _liquid_water(nm, 0.25))


def soil(
    nm: Spectrum, *, brightness: float = 0.30, moisture: float = 0.2, iron: float = 0.5, clay: float = 0.5
) -> Spectrum:
    """Bare soil: a convex rise, iron oxide at 500 and 880 nm, clay at 2200 nm; `moisture` darkens it."""
    continuum = brightness * (0.30 + 0.45 * _rise(nm, 680, 130) + 0.35 * _rise(nm, 1250, 260))
    minerals = (1.0 - iron * (0.22 * _bump(nm, 500, 60) + 0.12 * _bump(nm, 880, 70))) * (
        1.0 - clay * 0.18 * _bump(nm, 2205, 35)
    )
    return _rounded(continuum * minerals * (1.0 - 0.5 * moisture) * _liquid_water(nm, 0.1 + 0.6 * moisture))


def open_water(nm: Spectrum, *, turbidity: float = 0.3) -> Spectrum:
    """Lakes and rivers: blue-green light comes back, near infrared only where the water is turbid."""
    clear = 0.045 * (1.0 - _rise(nm, 600, 40)) + 0.006
    mud = turbidity * (0.07 * _bump(nm, 585, 90) + 0.03 * _bump(nm, 810, 40))
    return _rounded(clear + mud)


def asphalt(nm: Spectrum, *, age: float = 0.5) -> Spectrum:
    """Road surface: dark and flat, brighter with `age`, hydrocarbon bands at 1720 and 2310 nm while new."""
    continuum = 0.07 + 0.10 * age * (0.4 + 0.6 * _rise(nm, 900, 300))
    oil = 1.0 - (1.0 - age) * (0.08 * _bump(nm, 1720, 40) + 0.12 * _bump(nm, 2310, 50))
    return _rounded(continuum * oil)


def roof_tile(nm: Spectrum, *, redness: float = 1.0) -> Spectrum:
    """Fired clay: dark blue-green, steep at 580 nm, iron oxide at 870 nm, bright infrared."""
    continuum = 0.07 + 0.24 * redness * _rise(nm, 585, 22) + 0.10 * _rise(nm, 1100, 150)
    return _rounded(continuum * (1.0 - 0.16 * redness * _bump(nm, 870, 80) - 0.08 * _bump(nm, 2205, 50)))


def water_vapour(nm: Spectrum) -> Spectrum:
    """Share of light that water vapour in the air takes: near 1 at 1380 and 1880, less at 940 and 1130 nm."""
    weak = 0.35 * _bump(nm, 940, 22) + 0.35 * _bump(nm, 1130, 26)
    return _rounded(weak + 0.97 * _bump(nm, 1380, 36) + 0.98 * _bump(nm, 1880, 52))


def _liquid_water(nm: Spectrum, amount: float) -> Spectrum:
    """What water within the material leaves of the light."""
    weak = 0.08 * _bump(nm, 970, 40) + 0.14 * _bump(nm, 1200, 55)
    strong = 0.62 * _bump(nm, 1450, 85) + 0.80 * _bump(nm, 1940, 110) + 0.45 * _bump(nm, 2550, 190)
    taken: Spectrum = np.minimum(amount * (weak + strong), 0.95)
    return 1.0 - taken


def _bump(nm: Spectrum, centre: float, width: float) -> Spectrum:
    """A Gaussian of height 1 with standard deviation `width`, in nm."""
    bump: Spectrum = np.exp(-0.5 * np.square((nm - centre) / width))
    return bump


def _rise(nm: Spectrum, centre: float, width: float) -> Spectrum:
    """A logistic step from 0 to 1."""
    rise: Spectrum = 1.0 / (1.0 + np.exp((centre - nm) / width))
    return rise


def _rounded(spectrum: Spectrum) -> Spectrum:
    rounded: Spectrum = np.round(spectrum * 65536.0) / 65536.0
    return rounded
