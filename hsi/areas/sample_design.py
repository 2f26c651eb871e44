"""The design of a stratified random sample: how many pixels of each map class, and which.

After Olofsson et al. (2014, Remote Sensing of Environment 148, 42-57): the map's classes are the strata, rare
classes get a minimum, the others share the rest in proportion to their area, and within a stratum every pixel
is as likely as another.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hsi.errors import InputError

MOST_FOR_RARE = 50
"""Units of a rare class where the sample is large enough: the paper's lower bound, 50 to 100."""
FEWEST = 2
"""Units of a stratum from which a variance can be estimated."""


@dataclass(frozen=True)
class SampleDesign:
    """Pixels that were drawn, in random order, so that the order tells nothing of the map.

    Attributes
    ----------
    rows, cols
        ``(n,)`` places of the pixels, from 0.
    strata
        ``(n,)`` stratum of each pixel.
    stratum_pixels, sizes
        Stratum -> its pixels in the map, and how many of them were drawn.
    seed
        Of the random numbers.
    """

    rows: NDArray[np.int64]
    cols: NDArray[np.int64]
    strata: NDArray[np.int64]
    stratum_pixels: dict[int, int]
    sizes: dict[int, int]
    seed: int

    def __len__(self) -> int:
        return len(self.rows)


def sample_size(
    stratum_pixels: Sequence[int], users_accuracies: Sequence[float], standard_error: float
) -> int:
    """Return how many units a sample needs for a standard error of the overall accuracy.

    Olofsson et al. (2014), eq. 13, with the term for a finite population that they leave out for large maps
    (Cochran 1977, Sampling techniques, eq. 5.25).

    Parameters
    ----------
    stratum_pixels, users_accuracies
        Of each stratum; accuracies are guesses, as fractions.
    standard_error
        A fraction.

    Raises
    ------
    InputError
        For a standard error that is not above 0, or accuracies outside 0 to 1.

    Examples
    --------
    The paper's example, with a standard error of one point:

    >>> sample_size([200_000, 150_000, 3_200_000, 6_450_000], [0.70, 0.60, 0.90, 0.95], 0.01)
    641
    """
    pixels, accuracies = np.asarray(stratum_pixels, np.float64), np.asarray(users_accuracies, np.float64)
    if not (math.isfinite(standard_error) and 0 < standard_error < 1):
        raise InputError(
            f"The standard error of the overall accuracy must be a fraction above 0, such as 0.01; got "
            f"{standard_error:g}."
        )
    if pixels.shape != accuracies.shape or not ((accuracies >= 0) & (accuracies <= 1)).all():
        raise InputError("There must be one user's accuracy, a fraction from 0 to 1, for each stratum.")
    shares = pixels / pixels.sum()
    variances = accuracies * (1 - accuracies)
    mean = float(shares @ np.sqrt(variances))
    size = mean**2 / (standard_error**2 + float(shares @ variances) / pixels.sum())
    return max(1, math.ceil(size - 1e-9))


def allocate_sample(stratum_pixels: Sequence[int], n: int, minimum: int | None = None) -> list[int]:
    """Return how many units to draw from each stratum, `n` in all.

    Each gets at least `minimum`, the rest is shared in proportion to the strata's pixels, and none gets more
    units than it has pixels; a stratum without pixels gets none.

    Parameters
    ----------
    minimum
        Default: 50, but no more than half of what an equal share would be.

    Raises
    ------
    InputError
        When `n` is too small for the minimum, or larger than the map.

    Examples
    --------
    >>> allocate_sample([200_000, 150_000, 3_200_000, 6_450_000], 641, minimum=75)
    [75, 75, 163, 328]
    """
    pixels = np.asarray(stratum_pixels, np.int64)
    strata = int((pixels > 0).sum())
    if not strata or n > pixels.sum():
        raise InputError(
            f"A sample of {n} pixels cannot be drawn from {int(pixels.sum())} pixels; choose fewer."
        )
    if minimum is None:
        minimum = max(FEWEST, min(MOST_FOR_RARE, n // (2 * strata)))
    if minimum < FEWEST:
        raise InputError(
            f"A stratum needs at least {FEWEST} sample units for its variance; got a minimum of {minimum}."
        )
    lowest = np.minimum(minimum, pixels)
    if lowest.sum() > n:
        raise InputError(
            f"{n} sample units are too few for {strata} strata with at least {minimum} each; draw "
            f"{int(lowest.sum())} or more."
        )
    low, high = 0.0, 1.0  # the share of each stratum that is drawn where neither bound holds
    for _ in range(200):
        share = (low + high) / 2
        if np.clip(share * pixels, lowest, pixels).sum() > n:
            high = share
        else:
            low = share
    wanted = np.clip(low * pixels, lowest, pixels)
    sizes = np.floor(wanted + 1e-9).astype(np.int64)
    for stratum in np.argsort(sizes - wanted, kind="stable"):  # the largest remainders first
        sizes[stratum] += sizes.sum() < n and sizes[stratum] < pixels[stratum]
    return [int(size) for size in sizes]


def map_strata(
    labels: ArrayLike, classes: int, not_recognised: NDArray[np.bool_] | None = None
) -> NDArray[np.int64]:
    """Return the stratum of each pixel of a map: its class, C + 1 for "not recognised", 0 without data.

    Parameters
    ----------
    labels
        ``(rows, cols)``: class 1..C, and 0 where there is none.
    not_recognised
        Pixels with data that the map gives to no class; they are a stratum of their own, since their ground
        belongs to some class (Stehman 2014, International Journal of Remote Sensing 35, 4923-4939).

    Raises
    ------
    InputError
        When a label is outside 0..C.
    """
    strata = np.asarray(labels).astype(np.int64)
    if strata.ndim != 2 or strata.size == 0 or strata.min() < 0 or strata.max() > classes:
        raise InputError(f"A map must be (rows, cols) with classes 0 to {classes}.")
    if not_recognised is not None:
        strata[not_recognised] = classes + 1
    return strata


def draw_sample(
    strata: NDArray[np.int64], n: int, *, minimum: int | None = None, seed: int = 0
) -> SampleDesign:
    """Draw a stratified random sample of pixels, without replacement.

    Parameters
    ----------
    strata
        ``(rows, cols)`` as from `map_strata`; pixels of stratum 0 are never drawn.
    n, minimum
        As in `allocate_sample`.
    seed
        The same seed draws the same sample from the same map.

    Raises
    ------
    InputError
        As `allocate_sample`.
    """
    flat = strata.ravel()
    counts = np.bincount(flat)
    numbers = [number for number in range(1, len(counts)) if counts[number]]
    sizes = allocate_sample([int(counts[number]) for number in numbers], n, minimum)
    random = np.random.default_rng(seed)
    drawn = np.concatenate(
        [
            random.choice(np.flatnonzero(flat == number), size, replace=False)
            for number, size in zip(numbers, sizes, strict=True)
        ]
    )
    drawn = random.permutation(drawn)
    rows, cols = np.divmod(drawn, strata.shape[1])
    return SampleDesign(
        rows.astype(np.int64),
        cols.astype(np.int64),
        flat[drawn],
        {number: int(counts[number]) for number in numbers},
        dict(zip(numbers, sizes, strict=True)),
        seed,
    )
