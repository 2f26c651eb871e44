"""Fields of the training pixels: connected pieces of one class, and how far their mean spectra lie apart.

Cross-validation keeps fields apart; ``field_shift`` changes patches by differences between fields.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Ints = NDArray[np.int64]

MIN_FIELDS = 3  # per class
MAX_STEP = 5  # pixels, in rows and in columns, between neighbours of one field


@dataclass(frozen=True)
class FieldGroups:
    """The field of each training pixel, and the classes whose fields were cut: their pieces touch."""

    group: Ints
    cut: tuple[int, ...]


def field_groups(pixels: Ints, targets: Ints, cols: int) -> FieldGroups:
    """Find the fields of training pixels (flat indices) with their classes, in a scene of `cols` columns.

    Pixels of a class belong to one field if a chain of steps of at most `MAX_STEP` pixels (Chebyshev
    distance) connects them; where the class is sparse, of at most three times the median distance to the
    nearest pixel of the class. While a class has fewer than `MIN_FIELDS` fields, or more than half of its
    pixels in one, its largest field is halved across its longer axis, down to single pixels.
    """
    places = np.stack([pixels // cols, pixels % cols], axis=1)
    group = np.full(len(pixels), -1, np.int64)
    cut = []
    for label in np.unique(targets):
        own = np.flatnonzero(targets == label)
        fields = _connected(places[own])
        pieces = _cut(fields, places[own])
        if len(pieces) > len(fields):
            cut.append(int(label))
        first = int(group.max()) + 1
        for number, rows in enumerate(pieces):
            group[own[rows]] = first + number
    return FieldGroups(group, tuple(cut))


def _connected(places: Ints) -> list[Ints]:
    """Return the rows of `places` that lie in each field."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components
    from scipy.spatial import KDTree

    if len(places) == 1:
        return [np.zeros(1, np.int64)]
    tree = KDTree(places)
    nearest = tree.query(places, k=2, p=np.inf)[0][:, 1]
    pairs = tree.query_pairs(max(MAX_STEP, 3 * float(np.median(nearest))), p=np.inf, output_type="ndarray")
    links = coo_array((np.ones(len(pairs), bool), tuple(pairs.T)), (len(places), len(places)))
    count, field = connected_components(links, directed=False)
    return [np.flatnonzero(field == number) for number in range(count)]


def _cut(fields: list[Ints], places: Ints) -> list[Ints]:
    pieces = list(fields)
    while True:
        largest = max(range(len(pieces)), key=lambda number: len(pieces[number]))
        rows = pieces[largest]
        if len(rows) == 1 or (len(pieces) >= MIN_FIELDS and 2 * len(rows) <= len(places)):
            return pieces
        axis = int(np.argmax(np.ptp(places[rows], axis=0)))
        order = np.lexsort((places[rows, 1 - axis], places[rows, axis]))
        pieces[largest : largest + 1] = [np.sort(rows[half]) for half in np.array_split(order, 2)]


def field_differences(spectra: Tensor, targets: Ints, groups: Ints) -> Tensor:
    """Return the weighted differences ``(fields, features)`` of field means from class means.

    Row f is ``sqrt(n_f / n) (mean of field f - mean of its class)``, n_f of n pixels being of field f. The
    sum of the rows' outer products is the covariance of field means about class means, each pixel counted
    once: within-class covariance normalisation (Hatch et al., 2006), with fields in place of recordings.
    `spectra` are ``(n, features)``, as the network gets them; a field has pixels of one class only.
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
