"""The confusion matrix: the one thing that every score is computed from."""

from __future__ import annotations

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
    ``(C, C)`` int64; row i, column j counts pixels of class i + 1 that were called class j + 1.

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
