"""How far confidence is from accuracy: calibration error, reliability diagram, Brier score, log-loss.

Probabilities are ``(n, C)``, targets the true classes 0..C-1, errors fractions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hsi.errors import InputError

BINS = 15
"""Bins of confidence, as in Guo et al., 2017."""

Doubles = NDArray[np.float64]


@dataclass(frozen=True)
class ReliabilityBin:
    """The pixels whose confidence lies in ``(low, high]``.

    `confidence` is their mean confidence, `accuracy` the share of them that are right; both None without
    pixels.
    """

    low: float
    high: float
    pixels: int
    confidence: float | None
    accuracy: float | None

    @property
    def gap(self) -> float:
        """Accuracy minus confidence; 0 without pixels."""
        if self.confidence is None or self.accuracy is None:
            return 0.0
        return self.accuracy - self.confidence


def reliability_bins(
    proba: ArrayLike, targets: ArrayLike, bins: int = BINS, *, equal_counts: bool = False
) -> list[ReliabilityBin]:
    """Sort pixels into bins by their confidence, the largest probability.

    Parameters
    ----------
    proba, targets
        ``(n, C)`` probabilities and ``(n,)`` true classes 0..C-1.
    bins
        Number of bins.
    equal_counts
        Bins of as nearly equal numbers of pixels as their ties allow, in place of equal widths; empty ones
        are left out.

    Raises
    ------
    InputError
        For shapes that do not fit, classes outside 0..C-1, values outside 0..1, or fewer than one bin.
    """
    values, truth = check_probabilities(proba, targets)
    if bins < 1:
        raise InputError(f"A reliability diagram needs at least 1 bin, not {bins}.")
    confidence = values.max(axis=1, initial=0.0)
    right = values.argmax(axis=1) == truth
    if equal_counts:
        if not len(truth):
            return []
        inner = np.quantile(confidence, np.arange(1, bins) / bins, method="inverted_cdf")
        edges = np.unique(np.concatenate([[0.0], inner, [1.0]]))
    else:
        edges = np.arange(bins + 1) / bins
    places = np.clip(np.searchsorted(edges, confidence, side="left") - 1, 0, len(edges) - 2)
    counts = np.bincount(places, minlength=len(edges) - 1)
    sums = np.bincount(places, confidence, minlength=len(edges) - 1)
    hits = np.bincount(places, right, minlength=len(edges) - 1)
    return [
        ReliabilityBin(
            float(edges[i]),
            float(edges[i + 1]),
            int(n),
            float(sums[i] / n) if n else None,
            float(hits[i] / n) if n else None,
        )
        for i, n in enumerate(counts)
        if n or not equal_counts
    ]


def calibration_error(
    proba: ArrayLike, targets: ArrayLike, bins: int = BINS, *, equal_counts: bool = False
) -> float:
    """Return the expected calibration error of the most likely class, a fraction; NaN without pixels.

    ``sum of n_b / n |accuracy_b - confidence_b|`` over bins b of confidence (Naeini et al., AAAI 2015; Guo et
    al., 2017, equation 3), of equal width or of equal counts (adaptive; Nguyen and O'Connor, EMNLP 2015).
    Arguments and errors as in `reliability_bins`.
    """
    found = reliability_bins(proba, targets, bins, equal_counts=equal_counts)
    total = sum(one.pixels for one in found)
    return sum(one.pixels * abs(one.gap) for one in found) / total if total else float("nan")


def brier_score(proba: ArrayLike, targets: ArrayLike) -> float:
    """Return the mean over pixels of ``sum over classes (p - y)^2``, from 0 to 2; NaN without pixels.

    Brier, Verification of forecasts expressed in terms of probability, 1950, equation 2. For two classes it
    is twice what is often given.
    """
    values, truth = check_probabilities(proba, targets)
    if not len(truth):
        return float("nan")
    values[np.arange(len(truth)), truth] -= 1
    return float((values**2).sum(axis=1).mean())


LEAST_PROBABILITY = 1e-12
"""A smaller probability of the true class counts as this in `negative_log_likelihood`."""


def negative_log_likelihood(proba: ArrayLike, targets: ArrayLike) -> float:
    """Return the mean of ``-log p`` of the true class, in nats (log-loss); NaN without pixels."""
    values, truth = check_probabilities(proba, targets)
    if not len(truth):
        return float("nan")
    own = values[np.arange(len(truth)), truth]
    return float(-np.log(np.maximum(own, LEAST_PROBABILITY)).mean())


def calibration_scores(proba: ArrayLike, targets: ArrayLike) -> dict[str, float | None]:
    """Return ``pixels, oa, confidence, ece, ece_equal_counts, brier, nll``, as JSON can hold them.

    `oa` is the share of pixels whose most likely class is the true one, `confidence` the mean of the largest
    probability. Without pixels all but the first are None.
    """
    values, truth = check_probabilities(proba, targets)
    if not len(truth):
        names = ("oa", "confidence", "ece", "ece_equal_counts", "brier", "nll")
        return {"pixels": 0, **dict.fromkeys(names)}
    return {
        "pixels": len(truth),
        "oa": float((values.argmax(axis=1) == truth).mean()),
        "confidence": float(values.max(axis=1).mean()),
        "ece": calibration_error(values, truth),
        "ece_equal_counts": calibration_error(values, truth, equal_counts=True),
        "brier": brier_score(values, truth),
        "nll": negative_log_likelihood(values, truth),
    }


def check_probabilities(proba: ArrayLike, targets: ArrayLike) -> tuple[Doubles, NDArray[np.int64]]:
    """Return probabilities (a copy, float64) and targets, checked.

    Raises
    ------
    InputError
        For shapes that do not fit, classes outside 0..C-1, or values outside 0..1.
    """
    values, truth = np.array(proba, np.float64), np.asarray(targets)
    if values.ndim != 2 or not values.shape[1] or truth.shape != values.shape[:1]:
        raise InputError(
            f"Probabilities must be (n, classes) and targets (n,); got {values.shape} and {truth.shape}."
        )
    truth = check_targets(truth, values.shape[1])
    if len(truth) and not (values.min() >= 0 and values.max() <= 1 + 1e-5):  # NaN fails, too
        raise InputError("Probabilities must be from 0 to 1; give what a calibration returns, not logits.")
    return np.minimum(values, 1.0), truth


def check_targets(targets: NDArray[Any], classes: int) -> NDArray[np.int64]:
    """Return targets as int64.

    Raises
    ------
    InputError
        Unless they are whole numbers from 0 to `classes` - 1.
    """
    if len(targets) and not np.issubdtype(targets.dtype, np.integer):
        raise InputError(f"Targets must be whole numbers, not {targets.dtype}.")
    if len(targets) and (targets.min() < 0 or targets.max() >= classes):
        raise InputError(
            f"Targets must be classes from 0 to {classes - 1}; these go from {targets.min()} to "
            f"{targets.max()}: leave unlabelled pixels out."
        )
    return targets.astype(np.int64)
