"""The layers of a map: classes, confidence, margin, entropy, prediction sets, probabilities."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hsi.datasets.cube import Window
from hsi.datasets.scene import UNLABELLED, to_lab, to_rgb
from hsi.errors import InputError

NO_DATA_NAME, REJECTED_NAME = "no data", "not recognised"

Write = Callable[[Window, NDArray[Any]], None]
"""Writes the values of one window; windows may come in any order and do not overlap."""


def confidence(proba: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the largest probability of each pixel: ``(h, w)`` of ``(h, w, classes)``."""
    return proba.max(axis=2)


def margin(proba: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the largest less the second largest probability of each pixel, 1 where there is one class."""
    if proba.shape[2] == 1:
        return np.ones(proba.shape[:2], np.float32)
    two = np.partition(proba, -2, axis=2)[..., -2:]
    return two[..., 1] - two[..., 0]


def entropy(proba: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return Shannon's entropy of each pixel divided by that of equal probabilities, log C: from 0 to 1."""
    if proba.shape[2] == 1:
        return np.zeros(proba.shape[:2], np.float32)
    there = np.where(proba > 0, proba, 1)
    nats = -(there * np.log(there)).sum(axis=2)
    return np.clip(nats / np.float32(math.log(proba.shape[2])), 0, 1)


FRACTIONS: dict[str, Callable[[NDArray[np.float32]], NDArray[np.float32]]] = {
    "confidence": confidence,
    "margin": margin,
    "entropy": entropy,
}
"""Layers of one fraction a pixel, from its probabilities."""

KINDS = ("map", "proba", *FRACTIONS, "set_size")


class LegendEntry(NamedTuple):
    """A value of a label map, its name and its colour ("#rrggbb")."""

    value: int
    name: str
    color: str


@dataclass(frozen=True)
class MapProduct:
    """One layer of a map, and the metadata of its file.

    Attributes
    ----------
    kind
        "map": class 1..C of each pixel; "proba": the probability of each class; "confidence", "margin" and
        "entropy": see the functions of this file; "set_size": how many classes the pixel's conformal
        prediction set has.
    rows, cols
        Size of the scene, pixels.
    class_names, colors
        C names and C colours ("#rrggbb"), class 1 first.
    georeference
        ``crs`` (text that GDAL understands) and ``transform`` (a, b, c, d, e, f: x = a col + b row + c, y = d
        col + e row + f), or None.
    rejects
        Whether pixels may be rejected. In the label map these are 0, and pixels without data `no_data`, 255
        or 65535; else 0 is a pixel without data.
    metadata
        What the map was made with, as text: name -> value.

    Raises
    ------
    InputError
        For an unknown kind.
    """

    kind: str
    rows: int
    cols: int
    class_names: tuple[str, ...]
    colors: tuple[str, ...]
    georeference: Mapping[str, Any] | None = None
    rejects: bool = False
    metadata: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse a kind that is none."""
        if self.kind not in KINDS:
            raise InputError(f"A map has no layer '{self.kind}'; choose of {', '.join(KINDS)}.")

    @property
    def shape(self) -> tuple[int, ...]:
        """``(rows, cols)``, or ``(rows, cols, classes)`` of probabilities."""
        size = (self.rows, self.cols)
        return (*size, len(self.class_names)) if self.kind == "proba" else size

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of whole numbers uint8, or uint16 where classes and `no_data` need more; of fractions float32."""
        if self.kind not in ("map", "set_size"):
            return np.dtype(np.float32)
        values = len(self.class_names) + (1 if self.no_data == 0 else 2)
        return np.dtype(np.uint8 if values <= 256 else np.uint16)

    @property
    def no_data(self) -> float:
        """The value of a pixel without data: NaN of fractions; else 0, or 255 or 65535 where 0 is another."""
        if self.kind not in ("map", "set_size"):
            return math.nan
        if self.kind == "map" and not self.rejects:
            return 0
        return 255 if len(self.class_names) < 255 else 65535

    @property
    def legend(self) -> tuple[LegendEntry, ...]:
        """The values of the label map but `no_data`: rejected pixels, if there can be any, and classes."""
        named = zip(self.class_names, self.colors, strict=True)
        classes = tuple(LegendEntry(value, *one) for value, one in enumerate(named, start=1))
        rejected = LegendEntry(0, REJECTED_NAME, rejected_color(self.colors))
        return (rejected, *classes) if self.rejects else classes

    def values(
        self,
        proba: NDArray[np.float32],
        missing: NDArray[np.bool_],
        rejected: NDArray[np.bool_] | None = None,
        set_size: NDArray[Any] | None = None,
    ) -> NDArray[Any]:
        """Turn the probabilities ``(h, w, classes)`` of a window into the values of this layer.

        Parameters
        ----------
        missing, rejected
            ``(h, w)``: pixels without data, whatever else they are; and pixels that are not recognised.
        set_size
            ``(h, w)``: how many classes each prediction set has; only the layer "set_size" needs it.

        Raises
        ------
        InputError
            For the layer "set_size" without `set_size`; for rejected pixels of a map that has none.
        """
        if self.kind == "map":
            labels = (proba.argmax(axis=2) + 1).astype(self.dtype)
            if rejected is not None:
                if not self.rejects:
                    raise InputError("Pixels can be rejected only in a map made with rejects=True.")
                labels[rejected] = 0
            labels[missing] = self.no_data
            return labels
        if self.kind == "set_size":
            if set_size is None:
                raise InputError(
                    "The layer 'set_size' needs the sizes of the prediction sets; pass set_size."
                )
            return np.where(missing, self.no_data, set_size).astype(self.dtype)
        values = proba.copy() if self.kind == "proba" else FRACTIONS[self.kind](proba)
        values = values.astype(np.float32, copy=False)
        values[missing] = np.nan
        return values


_REJECTED = ("#8c8c8c", "#ff00ff", "#ffffff", "#d0d0d0", "#505050")
_APART = 20.0  # in CIE L*a*b*: two colours that nobody takes for each other


def rejected_color(colors: tuple[str, ...]) -> str:
    """Return the colour of pixels that are not recognised: grey, unless a class looks like that."""
    others = to_lab(to_rgb((UNLABELLED, *colors)))
    apart = [float(np.linalg.norm(others - one, axis=1).min()) for one in to_lab(to_rgb(_REJECTED))]
    far = [color for color, distance in zip(_REJECTED, apart, strict=True) if distance >= _APART]
    return far[0] if far else _REJECTED[int(np.argmax(apart))]
