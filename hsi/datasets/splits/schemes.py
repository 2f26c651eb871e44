"""Checks of what a user asks of a split: one clear sentence for each mistake.

The ways to split a scene, and the one function that makes a split.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hsi.datasets.splits.cross_validation import fold_parts
from hsi.datasets.splits.disjoint import GUARDS, disjoint_parts
from hsi.datasets.splits.indices import Labelled, Split, SplitIndices, hash_labels
from hsi.datasets.splits.leakage import check_patch
from hsi.datasets.splits.masks import MaskSource, mask_parts
from hsi.datasets.splits.sampling import paper_parts, per_class_parts, random_parts
from hsi.errors import SplitError, unknown

MOST_FOLDS = 100  # area numbers are bytes, and a class is seldom large enough for so many areas


def check_sizes(labels: NDArray[np.int64], patch: int, seed: int) -> None:
    """Refuse a patch that is even or wider than the scene, and a seed that is no seed."""
    check_patch(patch)
    if patch > min(labels.shape):
        raise SplitError(
            f"A patch of {patch} pixels is wider than the scene ({labels.shape[0]}x{labels.shape[1]}); "
            "choose a smaller patch."
        )
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or not 0 <= seed < 2**32:
        raise SplitError(f"The seed must be an integer from 0 to {2**32 - 1}, not {seed}.")


def check_clashes(scheme: str, **options: Any) -> None:
    """Refuse an option that is given but belongs to another scheme."""
    owners = {
        "train": ("random", "paper", "disjoint"),
        "val": ("random", "paper", "per-class", "mask", "disjoint"),
        "guard": ("disjoint",),
        "folds": ("disjoint",),
        "fold": ("disjoint",),
        "per_class": ("per-class",),
        "masks": ("mask",),
    }
    for option, value in options.items():
        if value is not None and scheme not in owners[option]:
            wanted = " or ".join(f"'{owner}'" for owner in owners[option])
            raise SplitError(
                f"Option '{option}' has no meaning for scheme '{scheme}': "
                f"leave it out or use scheme {wanted}."
            )
    if options["folds"] is not None:
        for option in ("train", "val"):
            if options[option] is not None:
                raise SplitError(
                    f"Option '{option}' does not go with folds, which leave one area for test, one for val "
                    "and the others for train: leave it out."
                )
    elif options["fold"] is not None:
        raise SplitError(
            "Option 'fold' says which of several folds is tested: give 'folds', their number, too."
        )
    guard = options["guard"]
    if guard is not None and guard not in GUARDS:
        raise SplitError(unknown("guard", str(guard), GUARDS))


def checked_labels(labels: NDArray[Any]) -> NDArray[np.int64]:
    """Return the label map as row-major int64 (MATLAB files are column-major), or refuse what is none."""
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


def check_fractions(train: float | None, val: float) -> None:
    """Refuse fractions that are not between 0 and 1 or leave nothing for test."""
    for name, share in (("train", train), ("val", val)):
        if share is not None and not 0 < share < 1:
            raise SplitError(f"The {name} fraction must lie between 0 and 1, both excluded, not {share:g}.")
    if train is not None and train + val >= 1 - 1e-9:
        raise SplitError(
            f"train={train:g} and val={val:g} leave nothing for test: their sum must stay below 1."
        )


def checked_per_class(per_class: int | None) -> int:
    """Return the wanted number of training pixels of each class, or say what is wrong with it."""
    if per_class is None:
        raise SplitError("Scheme 'per-class' needs per_class, the number of training pixels of each class.")
    if isinstance(per_class, bool) or not isinstance(per_class, int | np.integer) or per_class < 1:
        raise SplitError(f"per_class must be an integer of 1 or more, not {per_class}.")
    return int(per_class)


def checked_folds(folds: int, fold: int | None) -> tuple[int, int]:
    """Return the number of folds and the one to test, or say what is wrong with them."""
    if isinstance(folds, bool) or not isinstance(folds, int | np.integer) or not 2 <= folds <= MOST_FOLDS:
        raise SplitError(f"folds must be an integer from 2 to {MOST_FOLDS}, not {folds}.")
    if fold is None:
        raise SplitError(f"Say which of the {folds} folds is tested, with fold from 0 to {folds - 1}.")
    if isinstance(fold, bool) or not isinstance(fold, int | np.integer) or not 0 <= fold < folds:
        raise SplitError(f"With {folds} folds, fold must be an integer from 0 to {folds - 1}, not {fold}.")
    return int(folds), int(fold)


def unlabelled_classes(labels: NDArray[np.int64], names: tuple[str, ...]) -> tuple[str, ...]:
    """One sentence for the named classes that have no labelled pixel."""
    present = np.bincount(labels.ravel(), minlength=len(names) + 1)[1:] > 0
    empty = [name for name, there in zip(names, present, strict=False) if not there]
    return (f"No labelled pixel of: {', '.join(empty)}.",) if empty else ()


SCHEMES = ("random", "paper", "per-class", "mask", "disjoint")


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
        Anything with ``labels`` (0 unlabelled, classes 1..C) and ``class_names``.
    scheme
        ``"random"``: stratified draw of pixels. ``"paper"``: the rule of the papers' released code.
        ``"per-class"``: the same number of training pixels from each class. ``"mask"``: from label masks.
        ``"disjoint"``: separate areas of the scene. See `random_parts`, `paper_parts`, `per_class_parts`,
        `mask_parts`, `disjoint_parts`, `fold_parts`.
    train, val
        Fractions of the labelled pixels, 0 < f < 1, together below 1; the rest is test. Defaults: 0.1 and
        0.1;
        ``train`` of ``"paper"`` 0.6. ``"per-class"`` and ``"mask"`` take no `train`; for ``"mask"``, `val` is
        the share of the training mask that goes to val. With `folds`, both follow from their number.
    patch
        Odd patch width in pixels; ``guard="drop"`` and the leakage depend on it.
    guard
        ``"mask"`` (default) or ``"drop"``, for ``"disjoint"`` only.
    folds, fold
        For ``"disjoint"`` only: divide the scene into this many areas, 2 or more, each to be tested in its
        turn, and make the split that tests area `fold` (0-based).
    seed
        Any integer >= 0; the same seed gives the same split.
    per_class
        Training pixels of each class, for ``"per-class"`` only.
    masks
        Files or arrays for ``"mask"`` only, as `mask_parts` takes them.

    Returns
    -------
    Split
        Its ``notes`` say what could not be met.

    Raises
    ------
    SplitError
        For an option that is wrong or clashes with the scheme, and where no such split exists.
    """
    if scheme not in SCHEMES:
        raise SplitError(unknown("split scheme", scheme, SCHEMES))
    check_clashes(
        scheme, train=train, val=val, guard=guard, folds=folds, fold=fold, per_class=per_class, masks=masks
    )
    labels = checked_labels(scene.labels)
    check_sizes(labels, patch, seed)
    names = tuple(scene.class_names)
    train_share = train if train is not None else (0.6 if scheme == "paper" else 0.1)
    val_share = 0.1 if val is None else val
    check_fractions(train_share if scheme not in ("per-class", "mask") else None, val_share)
    parts: SplitIndices
    if scheme == "random":
        parts = random_parts(labels, names, train=train_share, val=val_share, seed=seed)
    elif scheme == "paper":
        parts = paper_parts(labels, names, train=train_share, val=val_share, seed=seed)
    elif scheme == "per-class":
        parts = per_class_parts(
            labels, names, per_class=checked_per_class(per_class), val=val_share, seed=seed
        )
    elif scheme == "mask":
        if masks is None:
            raise SplitError('Scheme \'mask\' needs masks: give masks={"train": FILE, "test": FILE}.')
        codes = tuple(getattr(scene, "label_codes", ()))
        parts = mask_parts(labels, names, masks, val=val_share, seed=seed, label_codes=codes)
    elif folds is not None:
        guard = guard or "mask"
        folds, fold = checked_folds(folds, fold)
        parts = fold_parts(labels, names, folds=folds, fold=fold, patch=patch, guard=guard, seed=seed)
    else:
        guard = guard or "mask"
        parts = disjoint_parts(
            labels, names, train=train_share, val=val_share, patch=patch, guard=guard, seed=seed
        )
    return Split(
        train=parts.train,
        val=parts.val,
        test=parts.test,
        labelled=labels > 0,
        labels_sha256=hash_labels(labels),
        scheme=scheme,
        patch=int(patch),
        seed=int(seed),
        guard=guard,
        regions=parts.regions,
        folds=folds,
        fold=fold,
        notes=(*unlabelled_classes(labels, names), *parts.notes),
    )
