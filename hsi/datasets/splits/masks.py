"""Split scheme ``mask``: train and test pixels from label masks, such as the published ones."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hsi.datasets.formats.readers import list_arrays, read_array
from hsi.datasets.splits.indices import AREAS, Pixels, SplitIndices, class_name, class_pixels, concat
from hsi.errors import SplitError, near_miss

Ints = NDArray[np.int64]
FilePath = str | os.PathLike[str]
MaskSource = NDArray[Any] | FilePath

_KEYS = {"train": ("train", "tr"), "val": ("val", "va"), "test": ("test", "te", "ts")}
_ENDINGS = (".mat", ".npz", ".npy", ".h5", ".hdf5")
_MOSTLY = 0.5  # a mask that disagrees on more than this share belongs to other labels
_SAME_ORDER = 0.95  # agreement after renumbering from which on the order of classes is named as the reason


def mask_parts(
    labels: Ints,
    names: Sequence[str],
    masks: Mapping[str, MaskSource] | FilePath,
    *,
    val: float,
    seed: int,
    label_codes: Sequence[int] = (),
) -> SplitIndices:
    """Take train and test pixels, and val pixels if given, from masks of the scene's shape.

    A mask holds class labels (0 elsewhere), or just marks its pixels with True or 1. Pixels that are
    unlabelled in the scene, or that have another label there, are dropped and counted in the notes. Without a
    val mask, the share `val` of each class's training pixels, at least one where the class has two, is drawn
    from them by ``numpy.random.default_rng(seed)``. Without a test mask, test is every labelled pixel that is
    in no other mask.

    Parameters
    ----------
    labels
        Label map ``(rows, cols)``; 0 is unlabelled.
    names
        Class names, class 1 first, for the notes.
    masks
        ``{"train": SOURCE, "test": SOURCE, "val": SOURCE}``, the last two optional. A source is an array or a
        .mat, .npz, .npy or HDF5 file, as ``"FILE"`` or, where a file holds several arrays, ``"FILE:ARRAY"``;
        without an array's name the part's own is looked for (train or TR, test or TE, val). A single file
        stands for all that it holds.
    val
        Share of the training mask that becomes val where there is no val mask.
    seed
        Any integer >= 0.
    label_codes
        The integers that stand for classes 1..C in the scene's label file, where they are others.

    Raises
    ------
    SplitError
        For a missing train mask, an unknown part, a mask of another shape or type, one whose labels mostly
        disagree with the scene's, or masks that share pixels.
    FileFormatError, SceneNotFoundError
        For a file that is missing or damaged, or where the array is not clear.
    """
    sources = dict(masks) if isinstance(masks, Mapping) else _all_in(masks)
    for part in sources:
        if part not in AREAS:
            raise SplitError(
                f"Unknown mask '{part}'.{near_miss(str(part), AREAS)} Known: {', '.join(AREAS)}."
            )
    if "train" not in sources:
        raise SplitError(
            "The train mask is missing; give one for 'train', and one for 'test' if there is one."
        )
    notes: list[str] = []
    found: dict[str, Pixels] = {}
    for part in AREAS:
        if part in sources:
            mask = _checked(_read(sources[part], part), part, labels.shape)
            found[part] = _agreeing(mask, part, labels, label_codes, notes)
    _refuse_shared(found)
    if "test" not in found:
        found["test"] = np.setdiff1d(np.flatnonzero(labels), concat(list(found.values())))
        notes.append("No test mask was given: test is every labelled pixel that is in no other mask.")
    if "val" not in found:
        found["train"], found["val"] = _draw_val(labels, found["train"], val, seed)
    known = np.unique(labels[labels > 0])
    for part, word in (("train", "training"), ("test", "test")):
        missing = np.setdiff1d(known, labels.ravel()[found[part]])
        if len(missing):
            listed = ", ".join(class_name(names, int(label)) for label in missing)
            notes.append(f"No {word} pixel of: {listed} (the masks leave them out).")
    unused = int((labels > 0).sum()) - sum(len(pixels) for pixels in found.values())
    if unused:
        notes.append(f"{unused} labelled pixels are in no mask and stay unused.")
    return SplitIndices(found["train"], found["val"], found["test"], tuple(notes))


def _all_in(path: FilePath) -> dict[str, MaskSource]:
    """Return the masks that one file holds, by the names of its arrays."""
    inside = {info.name.lower(): info.name for info in list_arrays(Path(path))}
    found: dict[str, MaskSource] = {
        part: f"{os.fspath(path)}:{inside[key]}" for part in AREAS for key in _KEYS[part] if key in inside
    }
    if "train" not in found:
        raise SplitError(
            f"'{path}' holds no array called train (it holds: {', '.join(inside.values()) or 'nothing'}); "
            "name the arrays, as in masks={'train': 'FILE:ARRAY', 'test': 'FILE:ARRAY'}."
        )
    return found


def _read(source: MaskSource, part: str) -> NDArray[Any]:
    """Return a mask that is an array already, or read it from ``FILE`` or ``FILE:ARRAY``."""
    if not isinstance(source, str | os.PathLike):
        return np.asarray(source)
    file, colon, key = os.fspath(source).rpartition(":")
    if not (colon and file.lower().endswith(_ENDINGS)):
        file, key = os.fspath(source), ""
    return read_array(Path(file), ndim=2, key=key or None, known_keys=_KEYS[part], option=f"{part}_mask")


def _checked(mask: NDArray[Any], part: str, shape: tuple[int, ...]) -> Ints:
    """Return the mask as integers of 0 or more, or say what is wrong with it."""
    if mask.shape != shape:
        sizes = ["x".join(str(n) for n in size) or "a single value" for size in (mask.shape, shape)]
        raise SplitError(
            f"The {part} mask is {sizes[0]}, but the scene is {sizes[1]}; give a mask of this scene."
        )
    if (
        mask.dtype.kind not in "iufb"
        or not (np.isfinite(mask) & (mask == np.floor(mask)) & (mask >= 0)).all()
    ):
        raise SplitError(
            f"The {part} mask holds values that are no labels; they must be whole numbers of 0 or more."
        )
    if not mask.any():
        raise SplitError(f"The {part} mask is all zero, so it selects no pixel; give another.")
    return mask.astype(np.int64)


def _agreeing(mask: Ints, part: str, labels: Ints, codes: Sequence[int], notes: list[str]) -> Pixels:
    """Return the pixels of a mask that the scene's labels confirm; say in `notes` what was dropped."""
    if codes and not np.isin(mask, np.arange(len(codes) + 1)).all() and np.isin(mask, [0, *codes]).all():
        table = np.zeros(max(codes) + 1, np.int64)
        table[list(codes)] = np.arange(1, len(codes) + 1)
        mask = table[mask]
    chosen, marked = mask > 0, mask.max() == 1 and labels.max() > 1
    background = chosen & (labels == 0)
    other = chosen & (labels > 0) & (mask != labels) & (not marked)
    selected = int(chosen.sum())
    if background.sum() > _MOSTLY * selected:
        raise SplitError(
            f"{background.sum()} of the {selected} pixels of the {part} mask are unlabelled in the scene; "
            "the mask belongs to another label map or is turned."
        )
    compared = selected - int(background.sum())
    if other.sum() > _MOSTLY * compared:
        reason = (
            "its classes are numbered in another order; renumber them, or give the mask as 0 and 1"
            if _is_renumbered(mask[chosen & ~background], labels[chosen & ~background])
            else "it belongs to another label map"
        )
        raise SplitError(
            f"The {part} mask disagrees with the scene's labels on {other.sum()} of {compared} pixels: "
            f"{reason}."
        )
    for dropped, why in (
        (background, "are unlabelled in the scene"),
        (other, "have another label in the scene"),
    ):
        if dropped.any():
            notes.append(
                f"{dropped.sum()} of the {selected} pixels of the {part} mask {why} and are dropped."
            )
    return np.flatnonzero(chosen & ~background & ~other)


def _is_renumbered(mask: Ints, labels: Ints) -> bool:
    """Return whether a one-to-one renumbering of classes makes a mask and the labels agree."""
    table = np.zeros((int(mask.max()) + 1, int(labels.max()) + 1), np.int64)
    np.add.at(table, (mask, labels), 1)
    used = np.flatnonzero(table.sum(axis=1))
    best = table[used].argmax(axis=1)
    return len(np.unique(best)) == len(used) and bool(table[used, best].sum() >= _SAME_ORDER * len(mask))


def _refuse_shared(found: Mapping[str, Pixels]) -> None:
    """Raise where two masks have pixels in common."""
    parts = list(found)
    for number, one in enumerate(parts):
        for two in parts[number + 1 :]:
            shared = len(np.intersect1d(found[one], found[two]))
            if shared:
                raise SplitError(
                    f"The {one} and {two} masks share {shared} pixels, but a pixel can only be in one; "
                    "take them out of one mask."
                )


def _draw_val(labels: Ints, train: Pixels, val: float, seed: int) -> tuple[Pixels, Pixels]:
    """Split the training pixels into those that stay and those that become val, class by class."""
    generator = np.random.default_rng(seed)
    stay: list[Pixels] = []
    drawn: list[Pixels] = []
    inside = np.zeros(labels.shape, np.int64)
    inside.ravel()[train] = labels.ravel()[train]
    for _, pixels in class_pixels(inside):
        wanted = min(max(1, int(val * len(pixels) + 0.5)), len(pixels) - 1)
        shuffled = generator.permutation(pixels)
        drawn.append(shuffled[:wanted])
        stay.append(shuffled[wanted:])
    return concat(stay), concat(drawn)
