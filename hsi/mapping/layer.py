"""What is written of a map: labels, confidence, or the probability of each class."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hsi.mapping.cells import Window

Write = Callable[[Window, NDArray[Any]], None]
"""Takes the values of one window of a layer; windows may come in any order and do not overlap."""


@dataclass(frozen=True)
class Layer:
    """One picture of a map, and what a file should say about it.

    Attributes
    ----------
    kind
        "map": class 1..C of each pixel, 0 where there is no data; "confidence": the largest probability;
        "proba": the probability of each class. Without data the latter two are NaN.
    rows, cols
        Size of the scene, pixels.
    class_names, colors
        C names and C colours ("#rrggbb"), class 1 first.
    georeference
        ``crs`` (text that GDAL understands) and ``transform`` (a, b, c, d, e, f: x = a col + b row + c, y = d
        col + e row + f), or None.
    """

    kind: str
    rows: int
    cols: int
    class_names: tuple[str, ...]
    colors: tuple[str, ...]
    georeference: Mapping[str, Any] | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """``(rows, cols)``, or ``(rows, cols, classes)`` of probabilities."""
        size = (self.rows, self.cols)
        return (*size, len(self.class_names)) if self.kind == "proba" else size

    @property
    def dtype(self) -> np.dtype[Any]:
        """Labels are uint8, or uint16 with more than 255 classes; the others float32."""
        if self.kind != "map":
            return np.dtype(np.float32)
        return np.dtype(np.uint8 if len(self.class_names) < 256 else np.uint16)

    def values(self, logits: NDArray[np.float32], missing: NDArray[np.bool_]) -> NDArray[Any]:
        """Turn logits ``(h, w, classes)`` into what this layer holds of them."""
        if self.kind == "map":
            return np.where(missing, 0, logits.argmax(axis=2) + 1).astype(self.dtype)
        shares = np.exp(logits - logits.max(axis=2, keepdims=True))
        shares /= shares.sum(axis=2, keepdims=True)
        shares[missing] = np.nan
        return shares if self.kind == "proba" else shares.max(axis=2)
