"""Separate pieces of ground among the training pixels, so that cross-validation can keep them apart."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]

PIECES = 3  # pieces that each class should have
NEAR = 5  # pixels of a class this close, in rows and in columns, lie in one field


@dataclass(frozen=True)
class FieldGroups:
    """The piece of ground that each training pixel lies on.

    Attributes
    ----------
    group
        ``(n,)`` number of the piece; the pixels of one piece are of one class.
    cut
        Classes, as numbered in the input, whose fields had to be cut: their pieces touch.
    """

    group: Ints
    cut: tuple[int, ...]


def field_groups(pixels: Ints, targets: Ints, cols: int) -> FieldGroups:
    """Tell the fields of the training pixels apart, and cut fields where a class has too few.

    Pixels of a class belong to one field when a chain of them leads from one to the other with steps of at
    most `NEAR` pixels (Chebyshev distance), or three times the median distance to the next pixel of the
    class where they lie thinly. A class with fewer than `PIECES` fields, or with more than half of its
    pixels in one, has its largest field halved across its longer axis until neither is so or every piece is
    one pixel. Only training pixels are looked at. All of this is our decision.

    Parameters
    ----------
    pixels
        ``(n,)`` row-major flat indices.
    targets
        ``(n,)`` class of each pixel.
    cols
        Columns of the scene.
    """
    places = np.stack([pixels // cols, pixels % cols], axis=1)
    group = np.full(len(pixels), -1, np.int64)
    cut = []
    for label in np.unique(targets):
        own = np.flatnonzero(targets == label)
        fields = _fields(places[own])
        pieces = _cut(fields, places[own])
        if len(pieces) > len(fields):
            cut.append(int(label))
        first = int(group.max()) + 1
        for number, rows in enumerate(pieces):
            group[own[rows]] = first + number
    return FieldGroups(group, tuple(cut))


def _fields(places: Ints) -> list[Ints]:
    """Return the rows of `places` that lie in each field."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components
    from scipy.spatial import KDTree

    if len(places) == 1:
        return [np.zeros(1, np.int64)]
    tree = KDTree(places)
    next_one = tree.query(places, k=2, p=np.inf)[0][:, 1]
    pairs = tree.query_pairs(max(NEAR, 3 * float(np.median(next_one))), p=np.inf, output_type="ndarray")
    links = coo_array((np.ones(len(pairs), bool), tuple(pairs.T)), (len(places), len(places)))
    count, field = connected_components(links, directed=False)
    return [np.flatnonzero(field == number) for number in range(count)]


def _cut(fields: list[Ints], places: Ints) -> list[Ints]:
    pieces = list(fields)
    while True:
        largest = max(range(len(pieces)), key=lambda number: len(pieces[number]))
        rows = pieces[largest]
        if len(rows) == 1 or (len(pieces) >= PIECES and 2 * len(rows) <= len(places)):
            return pieces
        pieces[largest : largest + 1] = _halves(rows, places[rows])


def _halves(rows: Ints, places: Ints) -> list[Ints]:
    """Cut across the longer side of the box round the pixels, with as many pixels on either side."""
    axis = int(np.argmax(np.ptp(places, axis=0)))
    order = np.lexsort((places[:, 1 - axis], places[:, axis]))
    return [np.sort(rows[half]) for half in np.array_split(order, 2)]
