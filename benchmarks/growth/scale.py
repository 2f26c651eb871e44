"""Sizes and repeats of a growth measurement."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class GrowthScale:
    """Sizes along each axis, smallest first, and what stays constant.

    Networks take ``batch`` patches of ``classes`` classes: of ``patch`` x ``patch`` pixels where ``bands``
    grow, with ``bands_of_patches`` bands where ``patches`` grow. Scenes are square. ``sides`` are those of
    scenes with all pixels labelled and ``bands_of_pixels`` bands; ``area_sides`` those of scenes with
    ``bands_of_area`` bands of which ``labelled_side`` x ``labelled_side`` pixels are labelled, so that only
    the area grows. ``processes_side`` is that of the scene for ``processes``. A training takes ``epochs``,
    the first of which is not counted. All sizes are visited ``visits`` times in turn; in a visit, an action
    runs at least ``rounds`` times and ``seconds`` long.
    """

    bands: tuple[int, ...] = (25, 42, 71, 119, 200)
    patches: tuple[int, ...] = (7, 9, 11, 13, 17)
    sides: tuple[int, ...] = (64, 108, 181, 304, 512)
    area_sides: tuple[int, ...] = (96, 161, 272, 457, 768)
    processes: tuple[int, ...] = (1, 2, 4)
    patch: int = 11
    batch: int = 16
    classes: int = 9
    bands_of_patches: int = 40
    bands_of_pixels: int = 16
    bands_of_area: int = 64
    labelled_side: int = 64
    processes_side: int = 48
    epochs: int = 4
    visits: int = 2
    rounds: int = 2
    seconds: float = 0.2


FULL_GROWTH = GrowthScale()

QUICK_GROWTH = GrowthScale(
    bands=(16, 24, 36), patches=(7, 9, 11), sides=(32, 48, 72), area_sides=(48, 80, 133),
    processes=(1, 2), patch=7, batch=4, bands_of_patches=16, labelled_side=32, processes_side=24,
    epochs=2, visits=1, rounds=2, seconds=0.0,
)  # fmt: skip
