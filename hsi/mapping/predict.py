"""Class scores and labels for pixels, batch by batch, with the network in evaluation mode."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from hsi.datasets.patches import PatchCutter
from hsi.mapping.memory import Portion

BATCH = 256


@torch.inference_mode()
def predict_logits(
    model: nn.Module, cutter: PatchCutter, pixels: NDArray[np.int64], *, batch: int = BATCH
) -> Tensor:
    """Return logits ``(len(pixels), classes)``, float32, on the CPU; pixels are row-major flat indices.

    Where memory runs out, fewer than `batch` patches are taken at once.
    """
    was_training = model.training
    model.eval()
    chunks: list[Tensor] = []
    done, portion = 0, Portion(batch)

    def next_chunk(size: int) -> Tensor:
        return model(cutter(pixels[done : done + size])).float().cpu()

    while done < len(pixels):
        chunks.append(portion.run(next_chunk))
        done += len(chunks[-1])
    model.train(was_training)
    return torch.cat(chunks)


def predict_labels(
    model: nn.Module, cutter: PatchCutter, pixels: NDArray[np.int64], *, batch: int = BATCH
) -> NDArray[np.int64]:
    """Return the most likely class 1..C of each pixel."""
    return likeliest(predict_logits(model, cutter, pixels, batch=batch))


def likeliest(logits: Tensor) -> NDArray[np.int64]:
    """Return the most likely class 1..C for each row of logits ``(n, classes)``."""
    labels: NDArray[np.int64] = logits.argmax(dim=1).numpy() + 1
    return labels
