"""The unit of a guide image, so that one strength means the same on every scene."""

from __future__ import annotations

import numpy as np

from hsi.errors import InputError
from hsi.smoothing.neighbourhood import Floats, Groups, pairs, planes_of, squared_distance


def contrast_of(guide: Floats, groups: Groups) -> float:
    """Return the root mean square distance of the guide between neighbours of one group.

    Neighbours share an edge. Boykov and Jolly (2001) weigh the pairs of a Potts model by a contrast in this
    unit; see `hsi.smoothing.potts.mean_field`.

    Parameters
    ----------
    guide
        ``(rows, cols, features)``; never read in group 0.
    groups
        ``(rows, cols)``, 0 where there is no data.

    Raises
    ------
    InputError
        If `guide` has NaN or infinite values in a group.
    """
    planes = planes_of(guide, groups)
    if not np.isfinite(planes).all():
        raise InputError(
            "The guide image has NaN or infinite values; pixels without data must belong to group 0."
        )
    total, count = 0.0, 0
    for down, right in ((0, 1), (1, 0)):
        here, there = pairs(groups.shape, down, right)
        same = (groups[here] == groups[there]) & (groups[here] > 0)
        total += float(squared_distance(planes, here, there)[same].sum(dtype=np.float64))
        count += int(same.sum())
    return float(np.sqrt(total / count)) if count else 0.0


def in_units_of_contrast(guide: Floats, groups: Groups) -> Floats:
    """Return `guide` divided by `contrast_of`, which every strength of `hsi.smoothing.methods` is meant for.

    Parameters and errors are those of `contrast_of`. A guide that is constant in every group stays as it is.
    """
    contrast = contrast_of(guide, groups)
    return guide / np.float32(contrast) if contrast > 0 else guide
