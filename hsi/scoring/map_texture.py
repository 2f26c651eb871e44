"""Texture of a label map: single pixels that disagree with neighbours that agree.

Land cover rarely changes for one pixel and back. Where a map does so often, the classifier judges
neighbouring pixels by different evidence: noise (salt and pepper), or a grid of its own, such as sampling of
every second pixel, which shows as checkerboards and stripes of period 2.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hsi.errors import InputError


class IsolatedShare(NamedTuple):
    """Shares of isolated pixels, fractions from 0 to 1; NaN where no pixel has both neighbours."""

    along_rows: float
    """Of pixels with a left and a right neighbour, those that differ from both while these agree."""

    along_columns: float
    """The same with the neighbours above and below."""


def isolated_share(labels: ArrayLike) -> IsolatedShare:
    """Return the share of pixels that differ from two agreeing neighbours, along rows and along columns.

    Parameters
    ----------
    labels
        Label map ``(rows, cols)``, integers. Only triples of three labelled pixels count: 0 is unlabelled.

    Returns
    -------
    IsolatedShare
        Compare it with that of the reference labels, or of another map of the same scene: a map of pure noise
        with C equally frequent classes has ``(C - 1) / C^2``.

    Raises
    ------
    InputError
        When `labels` are not integers on two axes.
    """
    found = np.asarray(labels)
    if found.ndim != 2 or found.dtype.kind not in "iu":
        raise InputError(
            f"A label map must be integers (rows, cols), as Run.predict returns; got {found.dtype} of shape "
            f"{found.shape}."
        )
    return IsolatedShare(_along_rows(found), _along_rows(found.T))


def _along_rows(labels: NDArray[Any]) -> float:
    left, middle, right = labels[:, :-2], labels[:, 1:-1], labels[:, 2:]
    labelled = (left != 0) & (middle != 0) & (right != 0)
    count = int(np.count_nonzero(labelled))
    isolated = int(np.count_nonzero(labelled & (left == right) & (middle != left)))
    return isolated / count if count else float("nan")
