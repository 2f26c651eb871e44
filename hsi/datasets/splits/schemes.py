"""`make_split`: checks the options of a split and calls the function of its scheme."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hsi.datasets.parts import ScenePart
from hsi.datasets.splits.annealing import TEST
from hsi.datasets.splits.cross_validation import split_fold
from hsi.datasets.splits.disjoint import split_disjoint
from hsi.datasets.splits.images import split_images
from hsi.datasets.splits.indices import Labelled, Split, SplitIndices, hash_labels, image_numbers
from hsi.datasets.splits.masks import MaskSource, split_by_masks
from hsi.datasets.splits.sampling import split_paper, split_per_class, split_random
from hsi.errors import SplitError, check_patch_width, unknown

SCHEMES = ("random", "paper", "per-class", "mask", "disjoint")
GUARDS = ("mask", "drop")
MOST_FOLDS = 100  # region numbers are bytes, and classes are seldom large enough for so many regions

_SCHEMES_OF = {
    "train": ("random", "paper", "disjoint"),
    "val": ("random", "paper", "per-class", "mask", "disjoint"),
    "guard": ("disjoint",),
    "folds": ("disjoint",),
    "fold": ("disjoint",),
    "per_class": ("per-class",),
    "masks": ("mask",),
}


def make_split(
    scene: Labelled,
    *,
    scheme: str = "random",
    train: float | None = None,
    val: float | None = None,
    patch: int = 11,
    guard: str | None = None,
    folds: int | None = None,
    fold: int | None = None,
    seed: int = 0,
    per_class: int | None = None,
    masks: Mapping[str, MaskSource] | str | os.PathLike[str] | None = None,
) -> Split:
    """Split a scene's labelled pixels into train, val and test.

    Parameters
    ----------
    scene
        Anything with ``labels`` (0 unlabelled, classes 1..C) and ``class_names``. The images of a scene that
        `hsi.datasets.mosaic.combine_scenes` made stay apart: no patch sees two of them. Where some are there
        to test on, the others give train and val, and what those have left is not used.
    scheme
        ``"random"``: stratified draw of pixels. ``"paper"``: the rule of the papers' released code.
        ``"per-class"``: the same number of training pixels from each class. ``"mask"``: from label masks,
        by default those of the scene's own label files (`subsets`). ``"disjoint"``: separate regions of the
        scene. See `split_random`, `split_paper`, `split_per_class`, `split_by_masks`, `split_disjoint`,
        `split_fold`.
    train, val
        Fractions of the labelled pixels, 0 < f < 1, together below 1; the rest is test. Default 0.1 each;
        `train` of ``"paper"`` 0.6. ``"per-class"`` and ``"mask"`` take no `train`; for ``"mask"``, `val` is
        the share of the training mask that goes to val. With `folds`, both follow from their number.
    patch
        Odd patch width in pixels; ``guard="drop"`` and the leakage depend on it.
    guard
        ``"mask"`` (default) or ``"drop"``, for ``"disjoint"`` only.
    folds, fold
        For ``"disjoint"`` only: number of cross-validation folds, 2 to 100, and the one to test (0-based).
    seed
        Any integer from 0 to 2**32 - 1; the same seed gives the same split.
    per_class
        Training pixels of each class, for ``"per-class"`` only.
    masks
        Files or arrays for ``"mask"`` only, as `split_by_masks` takes them.

    Returns
    -------
    Split
        Its ``notes`` say which targets were missed.

    Raises
    ------
    SplitError
        For an option that is wrong or clashes with the scheme, and where no such split exists.
    """
    if scheme not in SCHEMES:
        raise SplitError(unknown("split scheme", scheme, SCHEMES))
    _check_clashes(
        scheme, train=train, val=val, guard=guard, folds=folds, fold=fold, per_class=per_class, masks=masks
    )
    labels = _check_labels(scene.labels)
    check_patch_width(patch, SplitError)
    parts: Sequence[ScenePart] = getattr(scene, "parts", ())
    sizes = [("the scene", labels.shape)] if len(parts) < 2 else [(one.name, one[1:3]) for one in parts]
    for image, (rows, cols) in sizes:
        if patch > min(rows, cols):
            raise SplitError(
                f"A patch of {patch} pixels is wider than {image} ({rows}x{cols}); choose a smaller patch."
            )
    images, same_ground = image_numbers(scene), getattr(scene, "same_ground", None)
    tested = [number for number, part in enumerate(parts, start=1) if part.test and images is not None]
    kept_for_test = np.zeros(labels.shape, bool) if images is None else np.isin(images, tested)
    whole, labels = labels, np.where(kept_for_test, 0, labels)
    if not labels.any():
        raise SplitError("The scenes to train on have no labelled pixels; check their label files.")
    if not _is_int(seed, 0, 2**32 - 1):
        raise SplitError(f"The seed must be an integer from 0 to {2**32 - 1}, not {seed}.")
    names = tuple(scene.class_names)
    if train is None:
        train = 0.6 if scheme == "paper" else 0.1
    val = 0.1 if val is None else val
    _check_fractions(None if scheme in ("per-class", "mask") else train, val)
    if scheme == "disjoint":
        guard = guard or "mask"
    if scheme == "random":
        indices = split_random(labels, names, train=train, val=val, seed=seed)
    elif scheme == "paper":
        indices = split_paper(labels, names, train=train, val=val, seed=seed)
    elif scheme == "per-class":
        if per_class is None:
            raise SplitError("Scheme 'per-class' needs per_class, the number of training pixels per class.")
        if not _is_int(per_class, 1):
            raise SplitError(f"per_class must be an integer of 1 or more, not {per_class}.")
        indices = split_per_class(labels, names, per_class=int(per_class), val=val, seed=seed)
    elif scheme == "mask":
        masks = masks or dict(getattr(scene, "subsets", {})) or None
        if masks is None:
            raise SplitError('Scheme \'mask\' needs masks: give masks={"train": FILE, "test": FILE}.')
        codes = tuple(getattr(scene, "label_codes", ()))
        indices = split_by_masks(labels, names, masks, val=val, seed=seed, label_codes=codes)
    else:
        search: Callable[..., SplitIndices]
        if folds is None:
            search = partial(split_disjoint, train=train, val=val)
        else:
            folds, fold = _check_folds(folds, fold)
            search = partial(split_fold, folds=folds, fold=fold)
        search = partial(search, names=names, patch=patch, guard=str(guard), seed=seed)
        if images is None:
            indices = search(labels)
        else:
            indices = split_images(search, labels, images, same_ground, names, patch=patch, guard=str(guard))
    if tested:
        indices = _test_on(indices, kept_for_test, whole, [parts[number - 1].name for number in tested])
    labels = whole
    return Split(
        train=indices.train,
        val=indices.val,
        test=indices.test,
        labelled=labels > 0,
        labels_sha256=hash_labels(labels),
        scheme=scheme,
        patch=int(patch),
        seed=int(seed),
        guard=guard,
        regions=indices.regions,
        folds=folds,
        fold=fold,
        notes=(*_note_empty_classes(labels, names), *indices.notes),
        parts=images,
        same_ground=same_ground,
    )


def _test_on(
    indices: SplitIndices, kept_for_test: NDArray[np.bool_], labels: NDArray[np.int64], names: list[str]
) -> SplitIndices:
    """Replace the test pixels of a split by the labelled pixels of the images that are there to test on."""
    test = np.flatnonzero(kept_for_test & (labels > 0))
    note = (
        f"The test pixels are the {len(test)} labelled ones of {' and '.join(names)}; {len(indices.test)} of "
        "the other scenes are in no subset (a larger train share takes more of them)."
    )
    regions = indices.regions
    if regions is not None:
        regions = np.where(kept_for_test, np.uint8(TEST), regions)
    return SplitIndices(indices.train, indices.val, test, (*indices.notes, note), regions)


def _is_int(value: object, low: int, high: float = np.inf) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool) and bool(low <= value <= high)


def _check_clashes(scheme: str, **options: Any) -> None:
    """Refuse an option that is given but belongs to another scheme."""
    for option, value in options.items():
        schemes = _SCHEMES_OF[option]
        if value is not None and scheme not in schemes:
            listed = " or ".join(f"'{owner}'" for owner in schemes)
            raise SplitError(
                f"Option '{option}' has no meaning for scheme '{scheme}': "
                f"leave it out or use scheme {listed}."
            )
    if options["folds"] is not None:
        for option in ("train", "val"):
            if options[option] is not None:
                raise SplitError(
                    f"Option '{option}' does not go with folds, which leave one region for test, one for val "
                    "and the others for train: leave it out."
                )
    elif options["fold"] is not None:
        raise SplitError(
            "Option 'fold' says which of several folds is tested: give 'folds', their number, too."
        )
    guard = options["guard"]
    if guard is not None and guard not in GUARDS:
        raise SplitError(unknown("guard", str(guard), GUARDS))


def _check_labels(labels: NDArray[Any]) -> NDArray[np.int64]:
    """Return the label map as row-major int64 (MATLAB files are column-major)."""
    array = np.asarray(labels)
    if array.ndim != 2 or array.dtype.kind not in "iu":
        raise SplitError(
            f"Labels must be a 2-D integer map (rows, cols), not {array.ndim}-D {array.dtype}; "
            "check the label file."
        )
    if not array.any():
        raise SplitError(
            "The scene has no labelled pixels, so there is nothing to split; check the label file."
        )
    if array.min() < 0:
        raise SplitError(f"Labels must be 0 or more (0 is unlabelled), but the smallest is {array.min()}.")
    return np.ascontiguousarray(array, np.int64)


def _check_fractions(train: float | None, val: float) -> None:
    for name, share in (("train", train), ("val", val)):
        if share is not None and not 0 < share < 1:
            raise SplitError(f"The {name} fraction must lie between 0 and 1, both excluded, not {share:g}.")
    if train is not None and train + val >= 1 - 1e-9:
        raise SplitError(
            f"train={train:g} and val={val:g} leave nothing for test: their sum must stay below 1."
        )


def _check_folds(folds: int, fold: int | None) -> tuple[int, int]:
    if not _is_int(folds, 2, MOST_FOLDS):
        raise SplitError(f"folds must be an integer from 2 to {MOST_FOLDS}, not {folds}.")
    if fold is None:
        raise SplitError(f"Say which of the {folds} folds is tested, with fold from 0 to {folds - 1}.")
    if not _is_int(fold, 0, folds - 1):
        raise SplitError(f"With {folds} folds, fold must be an integer from 0 to {folds - 1}, not {fold}.")
    return int(folds), int(fold)


def _note_empty_classes(labels: NDArray[np.int64], names: tuple[str, ...]) -> tuple[str, ...]:
    present = np.bincount(labels.ravel(), minlength=len(names) + 1)[1:] > 0
    empty = [name for name, there in zip(names, present, strict=False) if not there]
    return (f"No labelled pixel of: {', '.join(empty)}.",) if empty else ()
