"""Predictions for pixels, batch by batch, and what makes them: network, test-time augmentation, patches."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from hsi.config import Config
from hsi.datasets.patches import PatchCutter
from hsi.datasets.preprocess import Preprocess
from hsi.datasets.scene import Scene
from hsi.datasets.splits.indices import Split
from hsi.models.registry import build_with


class SymmetryAverage(nn.Module):
    """Test-time augmentation: the mean class probabilities of a patch in its eight orientations.

    A nadir image has no preferred direction. It takes eight times the work of one orientation; training is
    not affected.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, patches: Tensor) -> Tensor:
        """``(N, features, P, P)`` to log-probabilities ``(N, classes)``, float32."""
        total: Tensor | None = None
        for side in (patches, patches.flip(3)):
            for turns in range(4):
                view = torch.rot90(side, turns, (2, 3)).contiguous(memory_format=torch.channels_last)
                probabilities = torch.softmax(self.network(view).float(), dim=1)
                total = probabilities if total is None else total + probabilities
        assert total is not None
        return torch.log(total / 8)


def build_network(config: Config, bands: int, classes: int) -> nn.Module:
    """Build the network of a run, initialised with the run's seed."""
    torch.manual_seed(config.seed)
    return build_with(config.model, bands, classes, config.patch, config.model_options)


def as_classifier(network: nn.Module, config: Config) -> nn.Module:
    """Return what classifies pixels: the trained network, or its average over symmetries."""
    return SymmetryAverage(network) if config.tta else network


def make_cutter(
    scene: Scene, preprocess: Preprocess, split: Split | None, config: Config, device: str | torch.device
) -> PatchCutter:
    """Cut patches from the preprocessed scene; under guard "mask" a patch sees only its own region."""
    return PatchCutter(
        preprocess.transform(scene.cube),
        config.patch,
        regions=None if split is None else split.patch_regions,
        padding=config.padding,
        device=device,
    )


Result = TypeVar("Result")

# PyTorch's messages without an error type of their own: CPU on Linux, on Windows; GPU libraries; Apple's GPU.
_NO_MEMORY = ("can't allocate memory", "not enough memory", "ALLOC_FAILED", "bad_alloc", "out of memory")


def out_of_memory(error: BaseException) -> bool:
    """Whether an error means that the memory of a GPU or of the CPU ran out.

    Linux, which overcommits memory, may kill the process without any error.
    """
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(message in str(error) for message in _NO_MEMORY)


class MicroBatcher:
    """How many patches go through a network together: half as many each time memory runs out."""

    def __init__(self, size: int, smallest: int = 1) -> None:
        self.size, self.smallest = size, smallest

    def run(self, function: Callable[[int], Result]) -> Result:
        """Return ``function(size)``; where memory runs out, call it again with half the size, rounded up.

        Raises
        ------
        RuntimeError, MemoryError
            PyTorch's own error, when memory runs out at the smallest size.
        """
        while True:
            try:
                return function(self.size)
            except (RuntimeError, MemoryError) as error:
                if self.size <= self.smallest or not out_of_memory(error):
                    raise
            # Outside the except, so that the error is gone, and with it the tensors of the failed attempt.
            _free_cached_memory()
            self.size = max(self.smallest, -(-self.size // 2))


def _free_cached_memory() -> None:
    """Free what PyTorch caches, since the next attempt needs blocks of other sizes."""
    gc.collect(1)  # cycles of the failed attempt are young; a full collection takes a good part of a second
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    if torch.backends.mps.is_available():
        torch.mps.empty_cache()


BATCH = 256  # patches, the default batch size of predictions


@torch.inference_mode()
def predict_logits(
    model: nn.Module, cutter: PatchCutter, pixels: NDArray[np.int64], *, batch: int = BATCH
) -> Tensor:
    """Return logits ``(len(pixels), classes)``, float32, on the CPU; pixels are row-major flat indices.

    Where memory runs out, batches become smaller than `batch`.
    """
    was_training = model.training
    model.eval()
    chunks: list[Tensor] = []
    done, micro_batch = 0, MicroBatcher(batch)

    def next_chunk(size: int) -> Tensor:
        return model(cutter(pixels[done : done + size])).float().cpu()

    while done < len(pixels):
        chunks.append(micro_batch.run(next_chunk))
        done += len(chunks[-1])
    model.train(was_training)
    return torch.cat(chunks)


def predict_labels(
    model: nn.Module, cutter: PatchCutter, pixels: NDArray[np.int64], *, batch: int = BATCH
) -> NDArray[np.int64]:
    """Return the most likely class 1..C of each pixel."""
    return logits_to_labels(predict_logits(model, cutter, pixels, batch=batch))


def logits_to_labels(logits: Tensor) -> NDArray[np.int64]:
    """Return the most likely class 1..C for each row of logits ``(n, classes)``."""
    labels: NDArray[np.int64] = logits.argmax(dim=1).numpy() + 1
    return labels
