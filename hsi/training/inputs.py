"""The split that a training's options ask for."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from hsi.config import Config
from hsi.datasets.catalogue.published_masks import load_masks
from hsi.datasets.scene import Scene
from hsi.datasets.splits.indices import Split
from hsi.datasets.splits.masks import MaskSource
from hsi.datasets.splits.schemes import make_split
from hsi.errors import SplitError

PAPER_SEED = 1331  # the released code seeds the split of its n-th run with 1331 + n


def split_of(config: Config, scene: Scene, data_root: str | Path | None = None) -> Split:
    """Make or load the split that `config` asks for.

    Parameters
    ----------
    config, scene
        The options, and the scene that they are for.
    data_root
        Where the files of published masks lie, if not under ``HSI_DATA``.

    Raises
    ------
    SplitError
        For a split that cannot be made, or that a network could learn nothing from.
    """
    if config.split is not None:
        split = Split.load(Path(config.split))
        split.check(scene)
    else:
        wanted: Mapping[str, Any] = {
            "train": config.train,
            "val": config.val,
            "guard": config.guard,
            "folds": config.folds,
            "fold": config.fold,
            "per_class": config.per_class,
            "masks": _masks(config, scene, data_root),
        }
        split = make_split(
            scene,
            scheme=config.scheme or "disjoint",
            patch=config.patch,
            seed=config.seed + (PAPER_SEED if config.scheme == "paper" else 0),
            **{name: value for name, value in wanted.items() if value is not None},
        )
    trained = np.bincount(scene.labels.ravel()[split.train], minlength=scene.classes + 1)[1:]
    untrained = [scene.class_names[i] for i in np.flatnonzero((trained == 0) & (np.array(scene.counts) > 0))]
    if untrained and split.scheme != "disjoint":
        raise SplitError(f"No training pixel of {', '.join(untrained)}; give the split more training pixels.")
    if (trained > 0).sum() < 2:
        raise SplitError("The training part holds fewer than 2 classes; there is nothing to learn apart.")
    if not len(split.test):
        raise SplitError("The split leaves no pixel to test on; lower --train or --val.")
    return split


def _masks(config: Config, scene: Scene, data_root: str | Path | None) -> Mapping[str, MaskSource] | None:
    if config.split_mask is not None:
        return load_masks(config.split_mask, scene, data_root=data_root)
    files = {"train": config.train_mask, "test": config.test_mask}
    return {part: file for part, file in files.items() if file is not None} or None
