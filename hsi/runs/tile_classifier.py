"""A trained network and a scene, ready to classify any tile of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from hsi.mapping.blocks import SceneBlocks
from hsi.mapping.cells import TILE_BYTES, Window
from hsi.mapping.classify import classify_tile
from hsi.runs.device import autocast


@dataclass(frozen=True)
class TileClassifier:
    """What a run makes of the tiles of a scene, each by itself.

    Attributes
    ----------
    model
        In evaluation mode, on `device`.
    blocks
        The scene, preprocessed as the run does.
    classes
        Number of classes.
    device, precision
        See `hsi.runs.device`.
    at_once
        Patches that go through the network together, see `hsi.runs.at_once`.
    """

    model: nn.Module
    blocks: SceneBlocks
    classes: int
    device: torch.device
    precision: torch.dtype
    at_once: int

    def tiles(self, budget: int = TILE_BYTES) -> list[Window]:
        """Return the tiles; `budget` is the memory of one, in bytes."""
        return self.blocks.tiles(self.classes, budget)

    def __call__(self, tile: Window) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Return logits ``(h, w, classes)`` of a tile, and which pixels have no data."""
        with autocast(self.device, self.precision):
            return classify_tile(
                self.model, self.blocks, tile, self.classes, device=self.device, at_once=self.at_once
            )
