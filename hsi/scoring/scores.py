"""OA, AA, kappa and per-class scores from a confusion matrix with true classes as rows; their mean over runs.

All are fractions. A score that has no meaning is NaN (recall of a class without pixels, kappa when chance
alone agrees everywhere), and is left out of means.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hsi.errors import InputError


def confusion_matrix(y_true: ArrayLike, y_pred: ArrayLike, classes: int) -> NDArray[np.int64]:
    """Count pixels by true class (rows) and predicted class (columns).

    Parameters
    ----------
    y_true, y_pred
        Labels of any equal shape, classes 1..C. Where `y_true` is 0 (unlabelled) the pixel is left out.
    classes
        Number of classes C.

    Returns
    -------
    ``(C, C)`` int64; row i, column j counts pixels of class i + 1 predicted as class j + 1.

    Raises
    ------
    InputError
        When the shapes differ, a value is no integer, or a labelled pixel's value is outside 1..C.
    """
    truth, pred = np.asarray(y_true), np.asarray(y_pred)
    if truth.shape != pred.shape:
        raise InputError(
            f"True and predicted labels must have one shape, not {truth.shape} and {pred.shape}."
        )
    if classes < 1:
        raise InputError(f"The number of classes must be at least 1, not {classes}.")
    for which, values in (("True", truth), ("Predicted", pred)):
        if values.size and not np.issubdtype(values.dtype, np.integer):
            raise InputError(f"{which} labels must be integers, not {values.dtype}.")
    labelled = truth != 0
    truth, pred = truth[labelled].astype(np.int64), pred[labelled].astype(np.int64)
    for which, values in (("True", truth), ("Predicted", pred)):
        if values.size and (values.min() < 1 or values.max() > classes):
            raise InputError(
                f"{which} labels of labelled pixels must lie in 1..{classes}, "
                f"but run from {values.min()} to {values.max()}."
            )
    pairs = (truth - 1) * classes + (pred - 1)
    return np.bincount(pairs, minlength=classes * classes).reshape(classes, classes).astype(np.int64)


SCORES = ("oa", "aa", "kappa", "mean_precision", "f1_macro")
"""The scores of a run that are one number."""


@dataclass(frozen=True)
class Scores:
    """Scores of one classification; fractions, arrays of length C, class 1 first.

    Attributes
    ----------
    oa
        Overall accuracy: trace / total.
    aa
        Average accuracy: mean recall over the classes that have pixels.
    kappa
        Cohen's kappa: (p_o - p_e) / (1 - p_e).
    mean_precision
        Mean precision over the classes that have pixels or were predicted: what several papers of this field
        print as "AA", since they divide by the sums of the predictions.
    f1_macro
        Mean F1 over the same classes.
    recall, precision, f1
        Per class: producer's accuracy, user's accuracy, their harmonic mean.
    support
        Scored pixels of each class.
    confusion
        ``(C, C)``, true classes as rows.
    """

    oa: float
    aa: float
    kappa: float
    mean_precision: float
    f1_macro: float
    recall: NDArray[np.float64]
    precision: NDArray[np.float64]
    f1: NDArray[np.float64]
    support: NDArray[np.int64]
    confusion: NDArray[np.int64]

    def as_dict(self) -> dict[str, Any]:
        """Return the scores as numbers and lists for JSON; NaN becomes None."""
        return {
            **{name: _number(getattr(self, name)) for name in SCORES},
            "recall": [_number(v) for v in self.recall],
            "precision": [_number(v) for v in self.precision],
            "support": self.support.tolist(),
            "confusion": self.confusion.tolist(),
        }


def score(y_true: ArrayLike, y_pred: ArrayLike, classes: int) -> Scores:
    """Score predicted labels against true ones; classes are 1..C, pixels with true label 0 are left out.

    Raises
    ------
    InputError
        As `confusion_matrix`, and when no pixel is labelled.
    """
    return scores_of(confusion_matrix(y_true, y_pred, classes))


def scores_of(confusion: ArrayLike) -> Scores:
    """Compute all scores from a ``(C, C)`` confusion matrix, true classes as rows.

    Raises
    ------
    InputError
        When the matrix is not square, has a negative count, or counts nothing.
    """
    counts = np.asarray(confusion)
    if counts.ndim != 2 or counts.shape[0] != counts.shape[1]:
        raise InputError(f"A confusion matrix must be square, not of shape {counts.shape}.")
    if counts.sum() <= 0 or counts.min() < 0:
        raise InputError("A confusion matrix must hold counts, at least one of them above zero.")
    total = float(counts.sum())
    right = np.diagonal(counts).astype(np.float64)
    support, predicted = counts.sum(axis=1), counts.sum(axis=0)
    seen = (support > 0) | (predicted > 0)
    recall = _ratio(right, support, where=support > 0, fill=math.nan)
    # A class that has pixels but is never predicted has precision 0, as in scikit-learn.
    precision = _ratio(right, predicted, where=predicted > 0, fill=0.0)
    f1 = _ratio(2 * right, support + predicted, where=seen, fill=0.0)
    precision[~seen] = f1[~seen] = math.nan
    oa = float(right.sum() / total)
    chance = float((support.astype(np.float64) * predicted).sum() / total**2)
    return Scores(
        oa=oa,
        aa=float(np.nanmean(recall)),
        kappa=(oa - chance) / (1 - chance) if chance < 1 else math.nan,
        mean_precision=float(np.nanmean(precision)),
        f1_macro=float(np.nanmean(f1)),
        recall=recall,
        precision=precision,
        f1=f1,
        support=support.astype(np.int64),
        confusion=counts.astype(np.int64),
    )


def _ratio(
    top: NDArray[np.float64], bottom: NDArray[Any], *, where: NDArray[np.bool_], fill: float
) -> NDArray[np.float64]:
    out = np.full(top.shape, fill)
    np.divide(top, bottom, out=out, where=where)
    return out


def _number(value: float) -> float | None:
    return None if math.isnan(value) else float(value)


def wilson_interval(right: int, pixels: int) -> tuple[float, float]:
    """Return the 95 % interval of the share ``right / pixels``, as fractions (Wilson 1927, JASA 22).

    It assumes independent pixels. Neighbours are not, so the true uncertainty is larger.

    >>> wilson_interval(90, 100)
    (0.8256343384950865, 0.9447708629393249)
    """
    from scipy.stats import binomtest  # half a second to import, which a training does not need

    bounds = binomtest(right, pixels).proportion_ci(0.95, method="wilson")
    return float(bounds.low), float(bounds.high)


def mean_and_std(values: Sequence[float]) -> tuple[float, float | None]:
    """Return the mean and the sample standard deviation (n - 1), None for a single value.

    Raises
    ------
    ValueError
        When there is no value.
    """
    if not values:
        raise ValueError("There is no value to take the mean of.")
    return statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else None


def spread_of(
    metrics: Iterable[Mapping[str, Any]], subset: str = "test"
) -> dict[str, dict[str, float | None]]:
    """Return ``{"oa": {"mean": ..., "std": ...}, ...}`` over the metrics of several runs; fractions.

    A score that has no meaning in some run (kappa, where a fold has one class) is None.
    """
    scores = [one[subset] for one in metrics]
    spread: dict[str, dict[str, float | None]] = {}
    for name in SCORES:
        values = [score[name] for score in scores]
        mean, std = (None, None) if None in values else mean_and_std(values)
        spread[name] = {"mean": mean, "std": std}
    return spread
