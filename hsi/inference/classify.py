"""What a network computes once a pixel, for all the patches that the pixel lies in.

Class scores for every pixel of a scene, cell by cell.

What neighbouring patches share is computed once where that changes nothing but rounding: see
`hsi.inference.classify`. With areas, each area is an image of its own, so each gets a shared part of its own.

`hsi bench --only map` counts and measures it. In the backbone and its five blocks nearly nothing can be
shared: each 3x3x3 convolution meets the zeros at the patch's border, so with every layer fewer values are the
same in two patches, and behind the first layers of the first block none are. What stands before makes up a
tenth of the multiply-adds at P 11 and a fifth at P 17, not counting the gathers that sharing it would take.

A trained network and a scene, ready to classify any tile of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from hsi.datasets.patches import PatchCutter
from hsi.inference.predict import BATCH, predict_logits
from hsi.inference.tiles import TILE_BYTES, Block, SceneBlocks, Window
from hsi.models.device import autocast
from hsi.models.protocols import DensePrefix


def classify_scene(
    model: nn.Module,
    blocks: SceneBlocks,
    classes: int,
    *,
    device: str | torch.device = "cpu",
    budget: int = TILE_BYTES,
) -> Iterator[tuple[Window, NDArray[np.float32], NDArray[np.bool_]]]:
    """Yield, for each tile of a scene, its window, logits ``(h, w, classes)``, and which pixels lack data.

    Each pixel gets the same logits, bit for bit, whatever the tiles. The model is left in evaluation mode.

    Parameters
    ----------
    model
        Maps ``(N, bands, P, P)`` to logits ``(N, classes)``.
    blocks
        The scene.
    classes
        Number of classes.
    device
        Where the model is.
    budget
        Memory of a tile, bytes.
    """
    model.eval()
    for tile in blocks.tiles(classes, budget):
        yield tile, *classify_tile(model, blocks, tile, classes, device=device)


def classify_tile(
    model: nn.Module,
    blocks: SceneBlocks,
    tile: Window,
    classes: int,
    *,
    device: str | torch.device = "cpu",
    at_once: int = BATCH,
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Return logits ``(h, w, classes)`` of one tile, and which pixels lack data; see `classify_scene`."""
    block = blocks.read(tile)
    logits = np.empty((*tile.shape, classes), np.float32)
    for cell in tile.cells():
        place = Window(
            cell.top - tile.top, cell.bottom - tile.top, cell.left - tile.left, cell.right - tile.left
        )
        part = block.part(place, blocks.margin)
        found = classify_block(model, part, blocks.patch, device=device, at_once=at_once)
        logits[place.top : place.bottom, place.left : place.right] = found
    return logits, block.missing


def classify_block(
    model: nn.Module,
    block: Block,
    patch: int,
    *,
    device: str | torch.device = "cpu",
    at_once: int = BATCH,
) -> NDArray[np.float32]:
    """Return logits ``(h, w, classes)`` of a block's own pixels, those inside its margin.

    `at_once` patches go through the network together, where it shares nothing between them.
    """
    height, width = block.missing.shape
    if isinstance(model, DensePrefix):
        logits = _shared_logits(model, block, patch, torch.device(device))
    else:
        cutter = PatchCutter(block.values, patch, regions=block.regions, device=device)
        margin = patch // 2
        rows, cols = np.arange(height) + margin, np.arange(width) + margin
        pixels = (rows[:, None] * cutter.cols + cols).reshape(-1)
        logits = predict_logits(model, cutter, pixels, batch=at_once)
    answer: NDArray[np.float32] = logits.view(height, width, -1).numpy()
    return answer


@torch.inference_mode()
def _shared_logits(model: DensePrefix, block: Block, patch: int, device: torch.device) -> Tensor:
    height, width = block.missing.shape
    margin = patch // 2
    values = torch.from_numpy(np.ascontiguousarray(block.values)).to(device)
    if block.regions is None:
        rows, cols = (part.reshape(-1) for part in np.indices((height, width)))
        return _windows_of(model, values, patch, rows, cols)
    regions = torch.from_numpy(np.ascontiguousarray(block.regions)).to(device)
    centres = block.regions[margin : margin + height, margin : margin + width]
    answers: Tensor | None = None
    for area in np.unique(centres):
        rows, cols = np.nonzero(centres == area)
        top, left = int(rows.min()), int(cols.min())
        # A box round the area's pixels is enough, with its margin.
        box = (slice(top, int(rows.max()) + 2 * margin + 1), slice(left, int(cols.max()) + 2 * margin + 1))
        own = values[box].masked_fill((regions[box] != int(area))[..., None], 0.0)
        logits = _windows_of(model, own, patch, rows - top, cols - left)
        if answers is None:
            answers = logits.new_empty(height * width, logits.shape[1])
        answers[torch.from_numpy(rows * width + cols)] = logits
    assert answers is not None
    return answers


def _windows_of(
    model: DensePrefix, image: Tensor, patch: int, rows: NDArray[np.int64], cols: NDArray[np.int64]
) -> Tensor:
    """Return logits of the patches whose first pixels are at `rows`, `cols` of an image ``(H, W, bands)``."""
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
        See `hsi.models.device`.
    at_once
        Patches that go through the network together, see `hsi.inference.batch_size`.
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
