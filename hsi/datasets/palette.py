"""Class colours: black for unlabelled pixels, one fixed palette a benchmark scene, and one for scenes of
one's own.

The palettes of the benchmark scenes stand in their catalogue files; they are our decision, since published
maps use many.
"""

from __future__ import annotations

import re
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

UNLABELLED = "#000000"

_FIRST = ("#e6332a", "#2fb344", "#2f55e0", "#fff04d", "#8c3fd1", "#29d9e6", "#ff9a1f", "#ff66c4")


def is_color(text: object) -> bool:
    """Whether `text` is a colour written as ``#rrggbb``."""
    return isinstance(text, str) and re.fullmatch(r"#[0-9a-fA-F]{6}", text) is not None


def to_rgb(colors: tuple[str, ...]) -> NDArray[np.uint8]:
    """Return ``(C, 3)`` bytes for C colours ``#rrggbb``."""
    return np.array([[int(color[i : i + 2], 16) for i in (1, 3, 5)] for color in colors], dtype=np.uint8)


def to_lab(rgb: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return CIE L*a*b* (CIE 15:2004) of sRGB bytes ``(n, 3)``; distances in it follow what people see."""
    c = rgb / 255.0
    linear = np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    t = linear @ to_xyz.T / np.array([0.9505, 1.0, 1.0890])
    f = np.where(t > (6 / 29) ** 3, np.cbrt(t), t / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.stack([116 * f[:, 1] - 16, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])], axis=1)


@lru_cache(maxsize=32)
def default_palette(classes: int) -> tuple[str, ...]:
    """Return `classes` distinct colours; the first n are the same for every number of classes.

    Eight well-known colours come first. Each further one is the candidate of a regular RGB grid that lies
    farthest, in CIE L*a*b*, from all before it, from black (unlabelled) and from white (paper). Our decision.
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
