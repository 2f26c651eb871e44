"""A scene: the cube, its labels and their metadata; and the default class colours."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hsi.datasets.cube import Cube

UNLABELLED = "#000000"

_FIRST = ("#e6332a", "#2fb344", "#2f55e0", "#fff04d", "#8c3fd1", "#29d9e6", "#ff9a1f", "#ff66c4")


def is_color(text: object) -> bool:
    """Whether `text` is a colour written as ``#rrggbb``."""
    return isinstance(text, str) and re.fullmatch(r"#[0-9a-fA-F]{6}", text) is not None


def to_rgb(colors: tuple[str, ...]) -> NDArray[np.uint8]:
    """Return ``(C, 3)`` uint8 for C colours ``#rrggbb``."""
    return np.array([[int(color[i : i + 2], 16) for i in (1, 3, 5)] for color in colors], dtype=np.uint8)


def to_lab(rgb: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return CIE L*a*b* (CIE 15:2004, perceptually uniform) of sRGB bytes ``(n, 3)``."""
    c = rgb / 255.0
    linear = np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    t = linear @ to_xyz.T / np.array([0.9505, 1.0, 1.0890])
    f = np.where(t > (6 / 29) ** 3, np.cbrt(t), t / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.stack([116 * f[:, 1] - 16, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])], axis=1)


@lru_cache(maxsize=32)
def default_palette(classes: int) -> tuple[str, ...]:
    """Return `classes` distinct colours; the first n are the same for every number of classes.

    After eight well-known colours, each is the one of a regular RGB grid that lies farthest, in CIE L*a*b*,
    from all before it, from black (unlabelled) and from white (paper).
    """
    if classes <= len(_FIRST):
        return _FIRST[:classes]
    levels = np.arange(0, 256, 17, dtype=np.uint8)
    grid = np.stack(np.meshgrid(levels, levels, levels, indexing="ij"), axis=-1).reshape(-1, 3)
    candidates = to_lab(grid)
    taken = to_lab(to_rgb((UNLABELLED, "#ffffff", *_FIRST)))
    nearest = np.linalg.norm(candidates[:, None] - taken[None], axis=-1).min(axis=1)
    colors = list(_FIRST)
    while len(colors) < classes:
        best = int(nearest.argmax())
        colors.append("#{:02x}{:02x}{:02x}".format(*grid[best]))
        nearest = np.minimum(nearest, np.linalg.norm(candidates - candidates[best], axis=1))
    return tuple(colors)


@dataclass(frozen=True)
class Scene:
    """A hyperspectral image with its label map.

    Attributes
    ----------
    name, title
        Short name used on the command line and in file names; the full name for people.
    cube
        ``(rows, cols, bands)`` in the file's own dtype: an array, memory-mapped or not, or, from
        `hsi.datasets.load.load_unlabelled`, a cube that is read by windows.
    labels
        ``(rows, cols)`` int64; 0 is unlabelled, classes are 1..C without gaps.
    class_names, colors
        C names and C colours ("#rrggbb"), class 1 first.
    label_codes
        The C integers of the classes in the label file; not 1..C where that file has gaps.
    wavelengths_nm, fwhm_nm
        Centres and full widths at half maximum of the bands, in nanometres, or None where not known.
    sensor
        The sensor's name, "" where not known.
    georeference
        ``{"crs": text, "transform": [a, b, c, d, e, f]}`` of a georeferenced file, or None; see
        `hsi.datasets.formats.facts.FileFacts`.
    synthetic
        Whether the scene is generated.
    sources
        File name -> SHA-256 of the files read.
    notes
        One sentence for each thing that was corrected or looks wrong.
    missing
        ``(rows, cols)``: True for pixels without data, which have the mean spectrum in `cube`; None where
        there are none. Pixels that are NaN in `cube` have no data either.
    """

    name: str
    cube: Cube
    labels: NDArray[np.int64]
    class_names: tuple[str, ...]
    colors: tuple[str, ...]
    title: str = ""
    label_codes: tuple[int, ...] = ()
    wavelengths_nm: NDArray[np.float64] | None = None
    sensor: str = ""
    georeference: dict[str, Any] | None = None
    synthetic: bool = False
    sources: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    missing: NDArray[np.bool_] | None = None
    fwhm_nm: NDArray[np.float64] | None = None

    @property
    def rows(self) -> int:
        """Number of image rows."""
        return int(self.cube.shape[0])

    @property
    def cols(self) -> int:
        """Number of image columns."""
        return int(self.cube.shape[1])

    @property
    def bands(self) -> int:
        """Number of spectral bands."""
        return int(self.cube.shape[2])

    @property
    def classes(self) -> int:
        """Number of classes C."""
        return len(self.class_names)

    @property
    def counts(self) -> tuple[int, ...]:
        """Labelled pixels of each class, class 1 first."""
        return tuple(int(n) for n in np.bincount(self.labels.ravel(), minlength=self.classes + 1)[1:])

    @property
    def labelled(self) -> NDArray[np.int64]:
        """Row-major flat indices of all labelled pixels."""
        return np.flatnonzero(self.labels).astype(np.int64)
