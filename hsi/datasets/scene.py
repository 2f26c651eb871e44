"""A scene: the cube, its labels and their metadata; and the default class colours."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hsi.datasets.cube import Cube
from hsi.datasets.parts import ScenePart

UNLABELLED = "#000000"

# Linear RGB as seen with deuteranopia and with protanopia (Machado, Oliveira and Fernandes 2009, table 1).
_DEUTERANOPIA = (
    (0.367322, 0.860646, -0.227968),
    (0.280085, 0.672501, 0.047413),
    (-0.011820, 0.042940, 0.968881),
)
_PROTANOPIA = (
    (0.152286, 1.052583, -0.204868),
    (0.114503, 0.786281, 0.099216),
    (-0.003882, -0.048116, 1.051998),
)


def is_color(text: object) -> bool:
    """Whether `text` is a colour written as ``#rrggbb``."""
    return isinstance(text, str) and re.fullmatch(r"#[0-9a-fA-F]{6}", text) is not None


def to_rgb(colors: tuple[str, ...]) -> NDArray[np.uint8]:
    """Return ``(C, 3)`` uint8 for C colours ``#rrggbb``."""
    return np.array([[int(color[i : i + 2], 16) for i in (1, 3, 5)] for color in colors], dtype=np.uint8)


def to_lab(rgb: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return CIE L*a*b* (CIE 15:2004, perceptually uniform) of sRGB bytes ``(n, 3)``."""
    return _linear_to_lab(_linear(rgb))


def _linear(rgb: NDArray[np.uint8]) -> NDArray[np.float64]:
    c = rgb / 255.0
    return np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)


def _linear_to_lab(linear: NDArray[np.float64]) -> NDArray[np.float64]:
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    t = linear @ to_xyz.T / np.array([0.9505, 1.0, 1.0890])
    f = np.where(t > (6 / 29) ** 3, np.cbrt(t), t / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.stack([116 * f[:, 1] - 16, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])], axis=1)


_MOST_CHROMA, _GREEN_TO_BLUE, _PALE = 60, (95, 300), 25  # C*, degrees of hue, and C* that is no hue yet
_DARKEST = 25  # L*, so that it is not taken for black
_NEAR = 14  # in CIE L*a*b*: below this, colours of any hue are taken


@lru_cache(maxsize=32)
def default_palette(classes: int) -> tuple[str, ...]:
    """Return `classes` distinct colours; the first n are the same for every number of classes.

    Each is the one of a regular RGB grid that lies farthest, in CIE L*a*b*, from all before it, from black
    (unlabelled) and from white (paper), as seen with normal colour vision, deuteranopia and protanopia. The
    first, while they are far enough apart, have no hue that would be read as plants or water: a class without
    a colour of its own is not to look like one that it is not.
    """
    levels = np.arange(0, 256, 17, dtype=np.uint8)
    grid = np.stack(np.meshgrid(levels, levels, levels, indexing="ij"), axis=-1).reshape(-1, 3)
    visions = _as_seen(grid)
    normal = visions[0]
    chroma = np.hypot(normal[:, 1], normal[:, 2])
    hue = np.degrees(np.arctan2(normal[:, 2], normal[:, 1])) % 360
    told = (hue > _GREEN_TO_BLUE[0]) & (hue < _GREEN_TO_BLUE[1]) & (chroma > _PALE)
    neutral = ~told & (chroma <= _MOST_CHROMA) & (normal[:, 0] >= _DARKEST)

    def distance(index: int) -> NDArray[np.float64]:
        apart = [np.linalg.norm(seen - seen[index], axis=1) for seen in visions]
        return np.asarray(np.min(apart, axis=0))

    nearest = np.minimum(distance(0), distance(len(grid) - 1))  # black and white
    colors: list[str] = []
    while len(colors) < classes:
        best = int(np.where(neutral, nearest, -1).argmax())
        if nearest[best] < _NEAR:
            best = int(nearest.argmax())
        colors.append("#{:02x}{:02x}{:02x}".format(*grid[best]))
        nearest = np.minimum(nearest, distance(best))
    return tuple(colors)


def _as_seen(rgb: NDArray[np.uint8]) -> list[NDArray[np.float64]]:
    """Return CIE L*a*b* of sRGB bytes as seen normally, with deuteranopia and with protanopia."""
    linear = _linear(rgb)
    changed = [np.clip(linear @ np.array(matrix).T, 0, 1) for matrix in (_DEUTERANOPIA, _PROTANOPIA)]
    return [_linear_to_lab(seen) for seen in (linear, *changed)]


@dataclass(frozen=True)
class BandChoice:
    """Which bands of a file a scene has: `numbers`, from 0 and rising, of `count` in the file."""

    count: int
    numbers: tuple[int, ...]


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
    band_choice
        Which bands of the file `cube` holds, or None where there is no file.
    acquired, product
        When the image was taken (ISO 8601, UTC) and the identifier of its product; "" where not known.
    masks
        Name ("cloud", "snow", ...) -> ``(rows, cols)`` bool: pixels that a product flags.
    subsets
        "train", "val" and "test" -> ``(rows, cols)`` bool, where labels came in several files that make a
        split; else empty.
    parts
        The images of a scene that `hsi.datasets.mosaic.combine_scenes` made; else empty.
    same_ground
        ``(n, 2)`` pairs of pixels of different parts that show the same ground, as flat indices; None where
        there are none.
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
    band_choice: BandChoice | None = None
    acquired: str = ""
    product: str = ""
    masks: Mapping[str, NDArray[np.bool_]] = field(default_factory=dict)
    subsets: Mapping[str, NDArray[np.bool_]] = field(default_factory=dict)
    parts: tuple[ScenePart, ...] = ()
    same_ground: NDArray[np.int64] | None = None

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
