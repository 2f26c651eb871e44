"""Class scores and labels for pixels, batch by batch, with the network in evaluation mode."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from hsi.datasets.patches import PatchCutter

BATCH = 256


@torch.inference_mode()
def predict_logits(
    model: nn.Module, cutter: PatchCutter, pixels: NDArray[np.int64], *, batch: int = BATCH
) -> Tensor:
    """Return logits ``(len(pixels), classes)``, float32, on the CPU; pixels are row-major flat indices."""
    was_training = model.training
    model.eval()
    chunks = [
        model(cutter(pixels[start : start + batch])).float().cpu() for start in range(0, len(pixels), batch)
    ]
    model.train(was_training)
    return torch.cat(chunks)


def predict_labels(
    model: nn.Module, cutter: PatchCutter, pixels: NDArray[np.int64], *, batch: int = BATCH
) -> NDArray[np.int64]:
    """Return the most likely class 1..C of each pixel."""
    labels: NDArray[np.int64] = predict_logits(model, cutter, pixels, batch=batch).argmax(dim=1).numpy() + 1
    return labels
