"""Split scheme ``mask``: train and test pixels from label masks, such as the published ones."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hsi.datasets.formats.readers import list_arrays, read_array
from hsi.datasets.splits.indices import SUBSETS, Pixels, SplitIndices, class_pixels, concat
from hsi.datasets.splits.sampling import absence_notes
from hsi.errors import SplitError, unknown

Ints = NDArray[np.int64]
FilePath = str | os.PathLike[str]
MaskSource = NDArray[Any] | FilePath

_KEYS = {"train": ("train", "tr"), "val": ("val", "va"), "test": ("test", "te", "ts")}
_SUFFIXES = (".mat", ".npz", ".npy", ".h5", ".hdf5")
_MOST_WRONG = 0.5  # a mask that disagrees on a larger share belongs to other labels
_RENUMBERED = 0.95  # agreement after renumbering above which the numbering is named as the reason


def split_by_masks(
    labels: Ints,
    names: Sequence[str],
    masks: Mapping[str, MaskSource] | FilePath,
    *,
    val: float,
    seed: int,
    label_codes: Sequence[int] = (),
) -> SplitIndices:
    """Take train and test pixels, and val pixels if given, from masks of the scene's shape.

    A mask holds class labels (0 elsewhere), or marks its pixels with True or 1. Pixels that are unlabelled in
    the scene, or have another label there, are dropped and counted in the notes. Without a val mask, the
    share `val` of each class's training pixels (at least one of two) is drawn from them by
    ``numpy.random.default_rng(seed)``. Without a test mask, test is every labelled pixel in no other mask.

    Parameters
    ----------
    masks
        ``{"train": SOURCE, "test": SOURCE, "val": SOURCE}``, the last two optional. A source is an array or a
        .mat, .npz, .npy or HDF5 file, as ``"FILE"`` or, where a file holds several arrays, ``"FILE:ARRAY"``;
        by default the array named after the subset is read (train or TR, test or TE, val). A single file
        gives all masks that it holds.
    label_codes
        The integers of classes 1..C in the scene's label file, if other than 1..C.

    Raises
    ------
    SplitError
        For masks of another shape or type, that mostly disagree with the labels, or that share pixels.
    FileFormatError, SceneNotFoundError
        For a file that is missing, damaged, or holds several arrays that could be meant.
    """
    sources = dict(masks) if isinstance(masks, Mapping) else _all_in(masks)
    for subset in sources:
        if subset not in SUBSETS:
            raise SplitError(unknown("mask", str(subset), SUBSETS))
    if "train" not in sources:
        raise SplitError(
            "The train mask is missing; give one for 'train', and one for 'test' if there is one."
        )
    notes: list[str] = []
    found: dict[str, Pixels] = {}
    for subset in SUBSETS:
        if subset in sources:
            mask = _check_mask(_read(sources[subset], subset), subset, labels.shape)
            found[subset] = _confirmed(mask, subset, labels, label_codes, notes)
    for one, two in combinations(found, 2):
        shared = len(np.intersect1d(found[one], found[two]))
        if shared:
            raise SplitError(
                f"The {one} and {two} masks share {shared} pixels, but a pixel can only be in one; "
                "take them out of one mask."
            )
    if "test" not in found:
        found["test"] = np.setdiff1d(np.flatnonzero(labels), concat(list(found.values())))
        notes.append("No test mask was given: test is every labelled pixel that is in no other mask.")
    if "val" not in found:
        found["train"], found["val"] = _draw_val(labels, found["train"], val, seed)
    checked = {"training": found["train"], "test": found["test"]}
    notes += absence_notes(labels, names, checked, "the masks leave them out")
    unused = int((labels > 0).sum()) - sum(len(pixels) for pixels in found.values())
    if unused:
        notes.append(f"{unused} labelled pixels are in no mask and stay unused.")
    return SplitIndices(found["train"], found["val"], found["test"], tuple(notes))


def _all_in(path: FilePath) -> dict[str, MaskSource]:
    """Return the masks in one file, found by the names of its arrays."""
    inside = {info.name.lower(): info.name for info in list_arrays(Path(path))}
    found: dict[str, MaskSource] = {
        subset: f"{os.fspath(path)}:{inside[key]}"
        for subset in SUBSETS
        for key in _KEYS[subset]
        if key in inside
    }
    if "train" not in found:
        raise SplitError(
            f"'{path}' holds no array called train (it holds: {', '.join(inside.values()) or 'nothing'}); "
            "name the arrays, as in masks={'train': 'FILE:ARRAY', 'test': 'FILE:ARRAY'}."
        )
    return found


def _read(source: MaskSource, subset: str) -> NDArray[Any]:
    """Return a mask given as an array, ``FILE`` or ``FILE:ARRAY``."""
    if not isinstance(source, str | os.PathLike):
        return np.asarray(source)
    file, colon, key = os.fspath(source).rpartition(":")
    if not (colon and file.lower().endswith(_SUFFIXES)):
        file, key = os.fspath(source), ""
    return read_array(Path(file), ndim=2, key=key or None, known_keys=_KEYS[subset], option=f"{subset}_mask")


def _check_mask(mask: NDArray[Any], subset: str, shape: tuple[int, ...]) -> Ints:
    if mask.shape != shape:
        sizes = ["x".join(str(n) for n in size) or "a single value" for size in (mask.shape, shape)]
        raise SplitError(
            f"The {subset} mask is {sizes[0]}, but the scene is {sizes[1]}; give a mask of this scene."
        )
    if (
        mask.dtype.kind not in "iufb"
        or not (np.isfinite(mask) & (mask == np.floor(mask)) & (mask >= 0)).all()
    ):
        raise SplitError(
            f"The {subset} mask holds values that are no labels; they must be whole numbers of 0 or more."
        )
    if not mask.any():
        raise SplitError(f"The {subset} mask is all zero, so it selects no pixel; give another.")
    return mask.astype(np.int64)


def _confirmed(mask: Ints, subset: str, labels: Ints, codes: Sequence[int], notes: list[str]) -> Pixels:
    """Return the pixels of a mask that agree with the scene's labels; add what was dropped to `notes`."""
    if codes and not np.isin(mask, np.arange(len(codes) + 1)).all() and np.isin(mask, [0, *codes]).all():
        table = np.zeros(max(codes) + 1, np.int64)
        table[list(codes)] = np.arange(1, len(codes) + 1)
        mask = table[mask]
    chosen, marked = mask > 0, mask.max() == 1 and labels.max() > 1
    background = chosen & (labels == 0)
    other = chosen & (labels > 0) & (mask != labels) & (not marked)
    selected = int(chosen.sum())
    if background.sum() > _MOST_WRONG * selected:
        raise SplitError(
            f"{background.sum()} of the {selected} pixels of the {subset} mask are unlabelled in the scene; "
            "the mask belongs to another label map or is rotated."
        )
    compared = selected - int(background.sum())
    if other.sum() > _MOST_WRONG * compared:
        reason = (
            "its classes are numbered in another order; renumber them, or give the mask as 0 and 1"
            if _is_renumbered(mask[chosen & ~background], labels[chosen & ~background])
            else "it belongs to another label map"
        )
        raise SplitError(
            f"The {subset} mask disagrees with the scene's labels on {other.sum()} of {compared} pixels: "
            f"{reason}."
        )
    for dropped, why in (
        (background, "are unlabelled in the scene"),
        (other, "have another label in the scene"),
    ):
        if dropped.any():
            notes.append(
                f"{dropped.sum()} of the {selected} pixels of the {subset} mask {why} and are dropped."
            )
    return np.flatnonzero(chosen & ~background & ~other)


def _is_renumbered(mask: Ints, labels: Ints) -> bool:
    """Return whether a one-to-one renumbering of classes makes a mask agree with the labels."""
    table = np.zeros((int(mask.max()) + 1, int(labels.max()) + 1), np.int64)
    np.add.at(table, (mask, labels), 1)
    used = np.flatnonzero(table.sum(axis=1))
    best = table[used].argmax(axis=1)
    return len(np.unique(best)) == len(used) and bool(table[used, best].sum() >= _RENUMBERED * len(mask))


def _draw_val(labels: Ints, train: Pixels, val: float, seed: int) -> tuple[Pixels, Pixels]:
    """Draw val from the training pixels, class by class; return train and val."""
    generator = np.random.default_rng(seed)
    kept, drawn = [], []
    inside = np.zeros(labels.shape, np.int64)
    inside.ravel()[train] = labels.ravel()[train]
    for _, pixels in class_pixels(inside):
        count = min(max(1, int(val * len(pixels) + 0.5)), len(pixels) - 1)
        shuffled = generator.permutation(pixels)
        drawn.append(shuffled[:count])
        kept.append(shuffled[count:])
    return concat(kept), concat(drawn)
