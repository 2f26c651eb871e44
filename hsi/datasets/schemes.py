"""The ways to split a scene, and the one function that makes a split."""

from __future__ import annotations

import os
from collections.abc import Mapping

from hsi.datasets.disjoint import disjoint_parts
from hsi.datasets.folds import fold_parts
from hsi.datasets.masks import MaskSource, mask_parts
from hsi.datasets.parts import Labelled, Parts
from hsi.datasets.sampling import paper_parts, per_class_parts, random_parts
from hsi.datasets.split import Split, hash_labels
from hsi.datasets.split_checks import (
    check_clashes,
    check_fractions,
    check_sizes,
    checked_folds,
    checked_labels,
    checked_per_class,
    unlabelled_classes,
)
from hsi.errors import SplitError, unknown

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
    parts: Parts
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
