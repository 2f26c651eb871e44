"""Logits for every pixel of a scene, tile by tile and cell by cell.

A network with a dense prefix (`hsi.models.protocols.DensePrefix`) computes it once for all patches of a cell,
which changes logits by rounding only; each region of a split is then an image of its own. ``hsi bench --only
map`` counts and measures it. The backbone and its five blocks have none: each 3x3x3 convolution meets the
zeros at the patch's border, so with every layer fewer values are the same in two patches, and behind the
first layers of the first block none are. What comes before makes up a tenth of the multiply-adds at P 11 and
a fifth at P 17, without the gathers that sharing it would take.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from hsi.datasets.cube import Window
from hsi.datasets.patches import PatchCutter
from hsi.inference.predict import BATCH, predict_logits
from hsi.inference.tiles import CELL, TILE_BYTES, Block, SceneBlocks
from hsi.models.cores import shared_cores
from hsi.models.device import autocast
from hsi.models.protocols import DensePrefix

Logits = NDArray[np.float32]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class TileClassifier:
    """Classifies single tiles of a scene with a model in evaluation mode, on `device`.

    `batch_size` patches go through the network together, see `hsi.inference.batch_size`.
    """

    model: nn.Module
    blocks: SceneBlocks
    classes: int
    device: torch.device
    precision: torch.dtype = torch.float32
    batch_size: int = BATCH

    def __call__(self, tile: Window) -> tuple[Logits, Mask]:
        """Return logits ``(h, w, classes)`` of a tile, and which pixels have no data."""
        block = self.blocks.read(tile)
        logits = np.empty((*tile.shape, self.classes), np.float32)
        with autocast(self.device, self.precision):
            for cell in tile.cells(CELL):
                top, left = cell.top - tile.top, cell.left - tile.left
                place = Window(top, cell.bottom - tile.top, left, cell.right - tile.left)
                part = block.part(place, self.blocks.margin)
                logits[place.top : place.bottom, place.left : place.right] = self._classify(part)
        return logits, block.missing

    def scene(self, budget: int = TILE_BYTES) -> Iterator[tuple[Window, Logits, Mask]]:
        """Yield each tile, its logits and which pixels have no data; a tile takes `budget` bytes.

        Each pixel gets the same logits, bit for bit, whatever the tiles.
        """
        with shared_cores():
            for tile in self.blocks.tiles(self.classes, budget):
                yield tile, *self(tile)

    def _classify(self, block: Block) -> Logits:
        """Return logits ``(h, w, classes)`` of a block's own pixels, those inside its margin."""
        height, width = block.missing.shape
        patch = self.blocks.patch
        if isinstance(self.model, DensePrefix):
            logits = _prefix_logits(self.model, block, patch, self.device)
        else:
            cutter = PatchCutter(block.values, patch, regions=block.regions, device=self.device)
            rows, cols = np.arange(height) + patch // 2, np.arange(width) + patch // 2
            pixels = (rows[:, None] * cutter.cols + cols).reshape(-1)
            logits = predict_logits(self.model, cutter, pixels, batch=self.batch_size)
        answer: Logits = logits.view(height, width, -1).numpy()
        return answer


def classify_scene(
    model: nn.Module,
    blocks: SceneBlocks,
    classes: int,
    *,
    device: str | torch.device = "cpu",
    budget: int = TILE_BYTES,
) -> Iterator[tuple[Window, Logits, Mask]]:
    """Yield what `TileClassifier.scene` does; the model is left in evaluation mode."""
    return TileClassifier(model.eval(), blocks, classes, torch.device(device)).scene(budget)


@torch.inference_mode()
def _prefix_logits(model: DensePrefix, block: Block, patch: int, device: torch.device) -> Tensor:
    height, width = block.missing.shape
    margin = patch // 2
    values = torch.from_numpy(np.ascontiguousarray(block.values)).to(device)
    if block.regions is None:
        rows, cols = (part.reshape(-1) for part in np.indices((height, width)))
        return _window_logits(model, values, patch, rows, cols)
    regions = torch.from_numpy(np.ascontiguousarray(block.regions)).to(device)
    centres = block.regions[margin : margin + height, margin : margin + width]
    answers: Tensor | None = None
    for region in np.unique(centres):
        rows, cols = np.nonzero(centres == region)
        top, left = int(rows.min()), int(cols.min())
        # The bounding box of the region's pixels, with its margin.
        box = (slice(top, int(rows.max()) + 2 * margin + 1), slice(left, int(cols.max()) + 2 * margin + 1))
        own = values[box].masked_fill((regions[box] != int(region))[..., None], 0.0)
        logits = _window_logits(model, own, patch, rows - top, cols - left)
        if answers is None:
            answers = logits.new_empty(height * width, logits.shape[1])
        answers[torch.from_numpy(rows * width + cols)] = logits
    assert answers is not None
    return answers


def _window_logits(
    model: DensePrefix, image: Tensor, patch: int, rows: NDArray[np.int64], cols: NDArray[np.int64]
) -> Tensor:
    """Return logits of the patches with first pixels `rows`, `cols` of an image ``(H, W, features)``."""
    features = model.prefix(image.permute(2, 0, 1)[None])[0]
    side = patch - model.prefix_shrinks_by
    windows = features.unfold(1, side, 1).unfold(2, side, 1)  # a view (features, rows, cols, side, side)
    places = [torch.from_numpy(part).to(image.device) for part in (rows, cols)]
    answers = []
    for start in range(0, len(rows), BATCH):
        some = [part[start : start + BATCH] for part in places]
        batch = windows[:, some[0], some[1]].transpose(0, 1)
        answers.append(model.after_prefix(batch).float().cpu())
    return torch.cat(answers)
