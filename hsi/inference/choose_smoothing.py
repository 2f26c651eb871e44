"""Choosing the smoothing of a map, and its strength, on the validation pixels of a split."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hsi.confidence.calibration import Calibration, fit_temperature
from hsi.confidence.reliability import negative_log_likelihood
from hsi.runs.postprocessing import Guide
from hsi.smoothing.choice import Smoothing, candidates
from hsi.smoothing.methods import mean_of, smooth

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Tried:
    """A smoothing on validation pixels: OA (a fraction), and mean log loss (nats) at its best temperature."""

    smoothing: Smoothing
    oa: float
    log_loss: float


@dataclass(frozen=True, eq=False)
class ChosenSmoothing:
    """The smoothing that was chosen.

    Attributes
    ----------
    smoothing
        Method and strength.
    after
        Calibration of the smoothed probabilities.
    proba
        ``(rows, cols, C)`` float32, smoothed and calibrated.
    guide, guide_map
        What the smoothing follows, and its values ``(rows, cols, K)`` here.
    tried
        All that it was chosen among.
    """

    smoothing: Smoothing
    after: Calibration
    proba: Floats
    guide: Guide
    guide_map: Floats
    tried: tuple[Tried, ...]


def choose_smoothing(
    asked: str,
    proba: Floats,
    features: Floats,
    groups: NDArray[np.int32],
    train: NDArray[np.int64],
    val: NDArray[np.int64],
    targets: NDArray[np.int64],
) -> ChosenSmoothing:
    """Smooth a map with every strength of the methods `asked` for, and keep the best on validation pixels.

    Parameters
    ----------
    asked
        A method, see `hsi.smoothing.methods`, or "auto" for all of them.
    proba, features, groups
        ``(rows, cols, C)`` calibrated probabilities, ``(rows, cols, features)`` preprocessed spectra, and
        ``(rows, cols)`` region of each pixel, 0 without data.
    train, val
        Flat indices of training and validation pixels.
    targets
        Classes 0..C-1 of the validation pixels.
    """
    guide, guide_map = Guide.fit(features, groups, train)
    flat = (-1, proba.shape[2])
    alone: dict[Smoothing, Floats] = {}  # candidates share methods
    best: tuple[Smoothing, Calibration, Floats] | None = None
    tried: list[Tried] = []
    for candidate in candidates(asked):
        parts = candidate.split()
        for part in parts:
            if part not in alone:
                alone[part] = smooth(proba, guide_map, groups, part)
        smoothed = mean_of([alone[part] for part in parts])
        after, calibrated = calibrate_again(smoothed.reshape(flat)[val], targets)
        oa = float((calibrated.argmax(axis=1) == targets).mean())
        loss = _log_loss(smoothed.reshape(flat)[val], targets)
        if best is None or loss < min(one.log_loss for one in tried):
            best = candidate, after, smoothed
        tried.append(Tried(candidate, oa, loss))
    assert best is not None
    smoothing, after, smoothed = best
    return ChosenSmoothing(smoothing, after, after.on_probabilities(smoothed), guide, guide_map, tuple(tried))


def calibrate_again(proba: Floats, targets: NDArray[np.int64]) -> tuple[Calibration, Floats]:
    """Fit a temperature to probabilities ``(n, C)``; return it and what it makes of them."""
    with np.errstate(divide="ignore"):
        after = fit_temperature(np.log(proba), targets)
    return after, after.on_probabilities(proba)


DOUBT = 0.01
"""Share of equal probabilities in what is compared: else pixels that a model rules out decide alone."""


def _log_loss(proba: Floats, targets: NDArray[np.int64]) -> float:
    """Return the mean log loss (nats) of probabilities ``(n, C)`` at the temperature that is best for it."""
    with np.errstate(divide="ignore"):
        best = fit_temperature(np.log(proba), targets, loss="likelihood")
    doubtful = (1 - DOUBT) * best.on_probabilities(proba) + DOUBT / proba.shape[1]
    return negative_log_likelihood(doubtful, targets)
