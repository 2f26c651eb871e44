"""Checks of what a user asks of a split: one clear sentence for each mistake."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hsi.datasets.disjoint import GUARDS
from hsi.datasets.leakage import check_patch
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
