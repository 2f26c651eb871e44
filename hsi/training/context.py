"""Separate pieces of ground among the training pixels, so that cross-validation can keep them apart.

How far fields of one class lie apart in the training pixels' spectra: what another field may look like.

What any training works on, whether step by step or at once.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from hsi.config import Config
from hsi.datasets.patches import PatchCutter
from hsi.datasets.splits.indices import Split
from hsi.training.callbacks import Callback
from hsi.training.distributed import World

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


@dataclass
class TrainingContext:
    """One model on one split of one scene, and the run folder that is written.

    `targets` holds the class 0..C-1 of every pixel of the scene (row-major, -1 where unlabelled) on the
    training device; `folder` is the run folder; `facts` is written beside the best weights; `world` are the
    processes that share the work.
    """

    model: nn.Module
    cutter: PatchCutter
    targets: Tensor
    split: Split
    config: Config
    folder: Path
    facts: dict[str, object]
    callback: Callback
    world: World = field(default_factory=World)

    def targets_of(self, pixels: NDArray[np.int64]) -> Tensor:
        """Return the classes 0..C-1 of some pixels, on the training device."""
        return self.targets[torch.tensor(pixels).to(self.targets.device)]

    def fields(self) -> FieldGroups:
        """Return the pieces of ground that the training pixels lie on, in their order."""
        pixels = self.split.train
        return field_groups(pixels, self.targets_of(pixels).cpu().numpy(), self.split.shape[1])

    def differences(self) -> Tensor | None:
        """Return the ``(fields, bands)`` that `field_shift` changes patches by; None where it is off."""
        if not self.config.field_shift:
            return None
        pixels = self.split.train
        classes = self.targets_of(pixels).cpu().numpy()
        rows = field_differences(self.cutter.spectra(pixels), classes, self.fields().group)
        return self.config.field_shift * rows
