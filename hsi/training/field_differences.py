"""How far fields of one class lie apart in the training pixels' spectra: what another field may look like."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def field_differences(spectra: Tensor, targets: NDArray[np.int64], groups: NDArray[np.int64]) -> Tensor:
    """Return the weighed differences of each field's mean spectrum from the mean of its class.

    Row f is ``sqrt(n_f / n) (mean of field f - mean of its class)``, n_f of n pixels being of field f. The
    rows' outer products add up to the covariance of field means round class means, each pixel counted once.
    Within-class covariance normalisation (Hatch et al., Within-class covariance normalization for SVM-based
    speaker recognition, 2006) measures the same of one speaker's recordings; to draw from it is our decision.

    Parameters
    ----------
    spectra
        ``(n, bands)`` of the training pixels, as the network gets them.
    targets
        ``(n,)`` class of each pixel.
    groups
        ``(n,)`` field of each pixel; a field has pixels of one class only.

    Returns
    -------
    Tensor
        ``(fields, bands)`` of the type and on the device of `spectra`; the rows of a class with one field are
        zero.
    """
    _, field = np.unique(groups, return_inverse=True)
    _, label = np.unique(targets, return_inverse=True)
    of_field, of_class = torch.from_numpy(field), torch.from_numpy(label)
    class_of_field = torch.zeros(int(field.max()) + 1, dtype=torch.int64)
    class_of_field[of_field] = of_class
    exact = spectra.cpu().double()  # the same sums on any device
    means, counts = _means(exact, of_field)
    class_means, _ = _means(exact, of_class)
    rows = (means - class_means[class_of_field]) * (counts / len(spectra)).sqrt()[:, None]
    return rows.to(spectra)


def _means(spectra: Tensor, group: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean spectrum and the number of pixels of each group, 0, 1, ..."""
    counts = torch.bincount(group).to(spectra.dtype)
    sums = spectra.new_zeros(len(counts), spectra.shape[1]).index_add_(0, group, spectra)
    return sums / counts[:, None], counts
