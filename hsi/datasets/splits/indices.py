"""A split of a scene's labelled pixels into train, val and test, checked, saved and loaded."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from hsi.datasets.formats.numpy_files import read_archive
from hsi.datasets.parts import ScenePart, number_parts
from hsi.datasets.splits.leakage import Leakage, measure_leakage
from hsi.errors import FileFormatError, SplitError, check_patch_width, command_to_paste
from hsi.io.files import written_whole

Pixels = NDArray[np.int64]
SUBSETS = ("train", "val", "test")


class Labelled(Protocol):
    """Anything with a label map and class names, such as `hsi.datasets.scene.Scene`."""

    @property
    def labels(self) -> NDArray[Any]:
        """Label map ``(rows, cols)``; 0 is unlabelled, classes are 1..C."""

    @property
    def class_names(self) -> Sequence[str]:
        """C names, class 1 first."""


class SplitIndices(NamedTuple):
    """The subsets of a split, as flat row-major pixel indices, and notes on targets that were missed.

    ``regions`` is the ``(rows, cols)`` region map of a disjoint scheme (1 train, 2 val, 3 test), else None.
    """

    train: Pixels
    val: Pixels
    test: Pixels
    notes: tuple[str, ...] = ()
    regions: NDArray[np.uint8] | None = None


def image_numbers(scene: Labelled) -> NDArray[np.uint8] | None:
    """Return the image of each pixel in a scene of several, 1 for the first; None for one image."""
    parts: Sequence[ScenePart] = getattr(scene, "parts", ())
    return number_parts(parts) if len(parts) > 1 else None


def class_pixels(labels: NDArray[np.int64]) -> Iterator[tuple[int, Pixels]]:
    """Yield each class that has pixels, lowest first, with its flat row-major indices, sorted."""
    flat = labels.ravel()
    order = np.argsort(flat, kind="stable")
    for block in np.split(order, np.flatnonzero(np.diff(flat[order])) + 1):
        if flat[block[0]] > 0:
            yield int(flat[block[0]]), block.astype(np.int64)


def class_name(names: Sequence[str], label: int) -> str:
    """Return the name of class `label`, or its number where it has none."""
    return names[label - 1] if label <= len(names) else f"class {label}"


def concat(blocks: Sequence[Pixels]) -> Pixels:
    """Return all pixels of `blocks` as one sorted array."""
    return np.sort(np.concatenate(blocks)) if len(blocks) else np.empty(0, np.int64)


def subset_counts(pixels: int, train: float, val: float) -> tuple[int, int, int]:
    """Return how many of a class's pixels go to train, val and test for the given fractions.

    Rounded to the nearest count. Every subset gets at least one of three or more pixels; of two, one is for
    train and one for test; a single one is for train, since what is scored must have been learnt.
    """
    if pixels < 3:
        return (1, 0, pixels - 1) if pixels else (0, 0, 0)
    first = min(max(1, int(train * pixels + 0.5)), pixels - 2)
    second = min(max(1, int(val * pixels + 0.5)), pixels - first - 1)
    return first, second, pixels - first - second


@dataclass(frozen=True, eq=False)
class Split:
    """Train, val and test pixels of one scene, checked on construction.

    Attributes
    ----------
    train, val, test
        Flat row-major int64 pixel indices, sorted. They never share a pixel.
    labelled
        ``(rows, cols)`` bool: the labelled pixels of the scene that the split was made for.
    labels_sha256
        Hash of that scene's label map, by `hash_labels`.
    scheme
        One of `hsi.datasets.splits.schemes.SCHEMES`.
    patch
        Odd patch width in pixels that the split was made for.
    seed
        Seed it was drawn with.
    guard
        How regions are kept apart, "mask" or "drop"; None for schemes without regions.
    regions
        ``(rows, cols)`` uint8 region of every pixel, unlabelled ones too: 1 train, 2 val, 3 test, 0 none.
        None for schemes without regions. Under guard "mask" a patch sees only pixels of its centre's region.
    folds, fold
        Number of folds, and the one that this split tests (0-based); None without folds.
    notes
        One sentence for each target that was missed.
    parts
        ``(rows, cols)`` uint8 image of every pixel in a scene of several, 1 for the first, 0 between them;
        see `hsi.datasets.mosaic`. None for one image. A patch sees only pixels of its centre's image.
    same_ground
        ``(n, 2)`` pairs of pixels of different images that show the same ground, as flat indices, or None.

    Raises
    ------
    SplitError
        When subsets share a pixel, hold an unlabelled or repeated one, leave the scene or their region, or
        are empty.
    """

    train: Pixels
    val: Pixels
    test: Pixels
    labelled: NDArray[np.bool_]
    labels_sha256: str
    scheme: str
    patch: int
    seed: int
    guard: str | None = None
    regions: NDArray[np.uint8] | None = None
    folds: int | None = None
    fold: int | None = None
    notes: tuple[str, ...] = ()
    parts: NDArray[np.uint8] | None = None
    same_ground: Pixels | None = None

    def __post_init__(self) -> None:
        check_patch_width(self.patch, SplitError)
        object.__setattr__(self, "labelled", np.array(self.labelled, bool))
        if self.labelled.ndim != 2:
            raise SplitError(f"The map of labelled pixels is {self.labelled.ndim}-D, not 2-D; make it again.")
        for name, what in (("regions", "region map"), ("parts", "map of images")):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, np.array(getattr(self, name), np.uint8))
                shape = getattr(self, name).shape
                if shape != self.labelled.shape:
                    raise SplitError(
                        f"The {what} is {shape}, the scene {self.labelled.shape}; make it again."
                    )
        if self.same_ground is not None:
            pairs = np.array(self.same_ground, np.int64)
            object.__setattr__(self, "same_ground", pairs)
            inside = pairs.ndim == 2 and pairs.shape[1] == 2
            if not inside or (pairs.size and (pairs.min() < 0 or pairs.max() >= self.labelled.size)):
                raise SplitError("The pairs of pixels of one ground do not fit the scene; make it again.")
        uses = np.zeros(self.labelled.shape, np.int64).ravel()
        for number, name in enumerate(SUBSETS, start=1):
            pixels = np.sort(np.asarray(getattr(self, name), np.int64).ravel())
            object.__setattr__(self, name, pixels)
            if len(pixels) == 0:
                raise SplitError(
                    f"The split leaves no {name} pixel; ask for other fractions or a smaller patch."
                )
            if pixels[0] < 0 or pixels[-1] >= uses.size:
                raise SplitError(f"The split's {name} pixels lie outside its scene of {uses.size} pixels.")
            if not self.labelled.ravel()[pixels].all():
                raise SplitError(
                    f"The split holds unlabelled {name} pixels; make it again from these labels."
                )
            if self.regions is not None and (self.regions.ravel()[pixels] != number).any():
                raise SplitError(f"The split has {name} pixels outside the {name} region; make it again.")
            np.add.at(uses, pixels, 1)
        if uses.max() > 1:
            raise SplitError(
                f"{int((uses > 1).sum())} pixels are used more than once in train, val and test; "
                "make the split again."
            )
        for array in (
            self.train, self.val, self.test, self.labelled, self.regions, self.parts, self.same_ground
        ):  # fmt: skip
            if array is not None:
                array.setflags(write=False)

    @property
    def shape(self) -> tuple[int, int]:
        """``(rows, cols)`` of the scene."""
        return int(self.labelled.shape[0]), int(self.labelled.shape[1])

    @property
    def counts(self) -> dict[str, int]:
        """Number of pixels of each subset: ``{"train": n, "val": n, "test": n}``."""
        return {name: len(getattr(self, name)) for name in SUBSETS}

    @property
    def patch_regions(self) -> NDArray[Any] | None:
        """The regions that patches must be masked by, or None: ``regions`` under guard "mask", and images.

        Of several images each region of each has a number of its own.
        """
        return self._numbered(self.regions if self.guard == "mask" else None)

    @property
    def separate_regions(self) -> NDArray[Any] | None:
        """The regions that no smoothing may cross, whatever the guard; numbered as `patch_regions`."""
        return self._numbered(self.regions)

    def _numbered(self, regions: NDArray[np.uint8] | None) -> NDArray[Any] | None:
        if self.parts is None:
            return regions
        images = self.parts.astype(np.int32) * (len(SUBSETS) + 1)
        return images if regions is None else np.where(images > 0, images + regions, 0)

    @property
    def unused(self) -> int:
        """Number of labelled pixels that are in no subset."""
        return int(self.labelled.sum()) - sum(self.counts.values())

    def class_counts(self, scene: Labelled) -> dict[str, tuple[int, ...]]:
        """Return the pixels of each class in each subset, class 1 first; checks that the scene fits."""
        self.check(scene)
        flat, classes = np.asarray(scene.labels).ravel(), len(scene.class_names)
        return {
            name: tuple(int(n) for n in np.bincount(flat[getattr(self, name)], minlength=classes + 1)[1:])
            for name in SUBSETS
        }

    def leakage(
        self, patch: int | None = None, reach: Callable[[NDArray[np.bool_]], NDArray[np.bool_]] | None = None
    ) -> Leakage:
        """Measure the leakage from train into test for patches `patch` wide (default: the split's own).

        `reach` is that of a smoothing, see `hsi.datasets.splits.leakage.measure_leakage`.
        """
        width = self.patch if patch is None else patch
        return measure_leakage(
            self.train,
            self.test,
            self.shape,
            width,
            regions=self.patch_regions,
            same_ground=self.same_ground,
            reach=reach,
        )

    def check(self, scene: Labelled) -> None:
        """Raise `SplitError` unless `scene` has the labels and images that the split was made for."""
        parts = image_numbers(scene)
        if parts is None or self.parts is None:
            same = parts is self.parts
        else:
            same = np.array_equal(parts, self.parts)
        if not same or hash_labels(scene.labels) != self.labels_sha256:
            shape = "x".join(str(n) for n in np.shape(scene.labels))
            raise SplitError(
                f"This split was made for another label map ({self.shape[0]}x{self.shape[1]} pixels; "
                f"the scene's is {shape}); load the scene that it belongs to, or make a new split."
            )

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the split to `path` as NPZ without pickle, atomically.

        Raises
        ------
        SplitError
            When the file cannot be written.
        StorageError
            When the disk is full or read-only.
        """
        target = Path(path)
        about = {
            name: getattr(self, name)
            for name in ("labels_sha256", "scheme", "patch", "seed", "guard", "folds", "fold", "notes")
        }
        arrays: dict[str, Any] = {name: getattr(self, name) for name in (*SUBSETS, "labelled")}
        for name in ("regions", "parts", "same_ground"):
            if getattr(self, name) is not None:
                arrays[name] = getattr(self, name)
        arrays["about"] = np.array(json.dumps(about))
        try:
            with written_whole(target) as temporary, temporary.open("wb") as file:
                np.savez_compressed(file, **arrays)
        except OSError as error:
            raise SplitError(f"Cannot write the split to '{target}': {error.strerror or error}.") from error

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Split:
        """Read a split that `save` wrote.

        Raises
        ------
        SplitError
            When the file is missing, is not a split file, or fails the checks of `Split`.
        """
        try:
            arrays: dict[str, Any] = read_archive(Path(path))
            about = _checked_about(json.loads(str(arrays.pop("about"))))
            return cls(**arrays, **about)
        except FileNotFoundError as error:
            raise SplitError(
                f"There is no split file '{path}'; make one with: "
                + command_to_paste("hsi", "split", "--dataset", "NAME", "--out", path)
            ) from error
        except (OSError, ValueError, KeyError, TypeError, RecursionError, FileFormatError) as error:
            raise SplitError(f"'{path}' is not a split file; make one with `hsi split`.") from error


def _checked_about(about: Any) -> dict[str, Any]:
    """Return the metadata of a split file, or raise ValueError, KeyError or TypeError."""
    required = {"labels_sha256": str, "scheme": str, "patch": int, "seed": int, "notes": list}
    optional = {"guard": str, "folds": int, "fold": int}
    if any(not isinstance(about[name], kind) for name, kind in required.items()) or any(
        not isinstance(about.get(name), (kind, type(None))) for name, kind in optional.items()
    ):
        raise ValueError("a field of the split has another type")
    about["notes"] = tuple(map(str, about["notes"]))
    return dict(about)


def hash_labels(labels: NDArray[Any]) -> str:
    """Return the SHA-256 of a label map's shape and values (as row-major little-endian int64), as hex."""
    values = np.ascontiguousarray(labels, dtype="<i8")
    return hashlib.sha256(str(values.shape).encode() + values.tobytes()).hexdigest()
