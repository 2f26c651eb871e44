"""Published train/test masks by name; the user has the files.

To add a mask, add a TOML file to ``masks/``; no code is needed.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hsi.datasets.catalogue.locate import data_roots, find_file
from hsi.datasets.formats.readers import list_arrays, read_array
from hsi.datasets.splits.indices import Labelled, hash_labels
from hsi.errors import SceneNotFoundError, SplitError, unknown
from hsi.io.text import read_toml


@dataclass(frozen=True)
class MaskFile:
    """A file that may hold a mask, and the name of the array that is not 0 at training pixels."""

    file: str
    array: str


@dataclass(frozen=True)
class MaskedLabels:
    """A label map that a mask fits.

    Attributes
    ----------
    title
        What the label map is.
    labels_sha256
        Hash of the label map, by `hash_labels`.
    train, test
        Labelled pixels of the training mask, and all others.
    train_sha256
        Hash of those training pixels, as a map of 0 and 1, by `hash_labels`.
    """

    title: str
    labels_sha256: str
    train: int
    test: int
    train_sha256: str


@dataclass(frozen=True)
class PublishedMask:
    """A set of training pixels that a community shares; test is every other labelled pixel.

    Attributes
    ----------
    name, aliases
        Short names, matched in any letter case; a name may stand for a mask of each of several scenes.
    scene
        Short name of the scene that it was made for.
    title, sources, terms, pitfall
        What it is, where it comes from, its terms of use as far as known, and a trap.
    files
        Files that may hold it; the first that is found counts.
    label_maps
        The label maps that it goes with.
    """

    name: str
    aliases: tuple[str, ...]
    scene: str
    title: str
    sources: tuple[str, ...]
    terms: str
    pitfall: str
    files: tuple[MaskFile, ...]
    label_maps: tuple[MaskedLabels, ...]


def _entry(table: dict[str, Any]) -> PublishedMask:
    files = tuple(MaskFile(**file) for file in table.pop("files"))
    maps = tuple(MaskedLabels(**labels) for labels in table.pop("label_maps"))
    plain: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value for key, value in table.items()
    }
    return PublishedMask(**plain, files=files, label_maps=maps)


@cache
def list_masks() -> tuple[PublishedMask, ...]:
    """Return all published masks, in order of scene and name."""
    folder = Path(__file__).with_name("masks")
    return tuple(_entry(read_toml(path)) for path in sorted(folder.glob("*.toml")))


def load_masks(
    name: str, scene: Labelled, *, data_root: str | Path | None = None
) -> dict[str, NDArray[np.bool_]]:
    """Return a published mask as ``{"train": ..., "test": ...}``, maps of True for `make_split(masks=...)`.

    The mask is chosen by the scene's label map, so it works for any cube with that map. Classes come from
    the scene: how a mask's file numbers them does not matter. Training pixels that the label map leaves
    unlabelled stay in the training map; `split_by_masks` drops and counts them.

    Parameters
    ----------
    name
        Name or alias, any letter case.
    scene
        Anything with ``labels`` (0 unlabelled).
    data_root
        Where the mask's file lies; default ``HSI_DATA``, then the download cache.

    Raises
    ------
    SplitError
        For an unknown name, a scene with another label map, or a file that does not hold the mask.
    SceneNotFoundError
        When no file of the mask is there; the message says which to put where.
    """
    key = name.casefold()
    named = [mask for mask in list_masks() if key in (mask.name.casefold(), *map(str.casefold, mask.aliases))]
    if not named:
        raise SplitError(unknown("published mask", name, {mask.name for mask in list_masks()}))
    labels = np.asarray(scene.labels)
    digest = hash_labels(labels)
    for mask in named:
        for known in mask.label_maps:
            if known.labels_sha256 == digest:
                train = _training_pixels(mask, known, labels > 0, data_root)
                return {"train": train, "test": (labels > 0) & ~train}
    raise SplitError(
        f"Mask '{name}' does not go with this scene's label map ({labels.shape[0]}x{labels.shape[1]} pixels, "
        f"{np.count_nonzero(labels)} labelled), only with {_listed(named)}; use that map, or give masks of "
        "this one with --train-mask and --test-mask."
    )


def _listed(masks: Iterable[PublishedMask]) -> str:
    return " or ".join(f"{known.title} of {mask.scene}" for mask in masks for known in mask.label_maps)


def _training_pixels(
    mask: PublishedMask, known: MaskedLabels, labelled: NDArray[np.bool_], data_root: str | Path | None
) -> NDArray[np.bool_]:
    """Read the mask from the first file that holds it, and verify its hash."""
    wrong = ""
    for place in mask.files:
        path = find_file(place.file, data_root)
        if path is None or place.array.casefold() not in {info.name.casefold() for info in list_arrays(path)}:
            continue
        train = read_array(path, ndim=2, key=place.array) != 0
        if train.shape == labelled.shape and hash_labels(train & labelled) == known.train_sha256:
            return train
        wrong = wrong or f"The array {place.array} in {path}"
    if wrong:
        raise SplitError(
            f"{wrong} is not the published mask '{mask.name}' of {mask.scene}, which has {known.train} "
            f"training pixels on this label map; fetch it again from {' or '.join(mask.sources)}."
        )
    files = " or ".join(f"{place.file} (with the array {place.array})" for place in mask.files)
    raise SceneNotFoundError(
        f"Mask '{mask.name}' of {mask.scene} is not on this machine: put {files} into "
        f"{data_roots(data_root)[0]}, or name the folder that has it with --data-root or HSI_DATA (source: "
        f"{', '.join(mask.sources)})."
    )
