"""The patches round chosen pixels, as the network of a run sees them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from hsi.datasets.patches import PatchCutter
from hsi.datasets.scene import Scene
from hsi.errors import ConfigError, SceneError
from hsi.mapping.blocks import SceneBlocks
from hsi.mapping.cells import Window
from hsi.runs.folder import Run

SAMPLES = 256
"""Pixels that are looked at where the user names none: our decision."""

BATCH = 32


def choose_pixels(run: Run, scene: Scene, pixels: ArrayLike | None) -> NDArray[np.int64]:
    """Return the wanted pixels as flat indices; for None at most `SAMPLES` test pixels, evenly spread.

    Raises
    ------
    ConfigError
        When `pixels` are not a list of at least one whole number.
    SceneError
        When a pixel lies outside the scene.
    SplitError
        When no pixels are named and the scene is not that of the run.
    """
    if pixels is None:
        run.split.check(scene)
        test = run.split.test
        return test[np.linspace(0, len(test) - 1, min(SAMPLES, len(test))).round().astype(np.int64)]
    chosen = np.asarray(pixels)
    if chosen.ndim != 1 or not len(chosen) or chosen.dtype.kind not in "iu":
        raise ConfigError("pixels must be a list of row-major flat indices, at least one.")
    outside = chosen[(chosen < 0) | (chosen >= scene.rows * scene.cols)]
    if len(outside):
        raise SceneError(
            f"Pixel {outside[0]} lies outside the scene: the row-major flat indices of {scene.rows} x "
            f"{scene.cols} pixels go from 0 to {scene.rows * scene.cols - 1}."
        )
    return chosen.astype(np.int64)


def patches_of(
    run: Run, scene: Scene, pixels: NDArray[np.int64], device: torch.device, batch: int = BATCH
) -> Iterator[Tensor]:
    """Yield the patches ``(n, bands, P, P)`` round the pixels, in their order, a batch at a time.

    They are those of a whole-scene map: preprocessed, padded at borders, masked by areas. Only they are read.

    Raises
    ------
    RunError
        When the scene's bands do not fit.
    """
    blocks = run.blocks(scene)
    for start in range(0, len(pixels), batch):
        yield torch.cat([_cut(blocks, int(pixel)) for pixel in pixels[start : start + batch]]).to(device)


def _cut(blocks: SceneBlocks, pixel: int) -> Tensor:
    row, col = divmod(pixel, blocks.cols)
    block = blocks.read(Window(row, row + 1, col, col + 1))
    cutter = PatchCutter(block.values, blocks.patch, regions=block.regions)
    return cutter([blocks.margin * (blocks.patch + 1)])  # the pixel in the middle
