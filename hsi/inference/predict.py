"""A network's answer averaged over the eight symmetries of the square, known as test-time augmentation.

Building what a run classifies pixels with, from its options: the network, the views of it, its patches.

Class scores and labels for pixels, batch by batch, with the network in evaluation mode.
"""

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
    """Show a network each patch in its eight orientations and average the class probabilities.

    A nadir image has no preferred direction, so each orientation is as good a view of the pixel as the next;
    their average does not depend on how the image was turned. It takes eight times the work of one view. Only
    the forward pass differs: there is nothing to learn and nothing to save. Our decision.

    Parameters
    ----------
    network
        Maps ``(N, bands, P, P)`` to logits ``(N, classes)``.

    Notes
    -----
    ``(N, bands, P, P)`` to the logarithms of the mean probabilities, ``(N, classes)`` float32.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, patches: Tensor) -> Tensor:
        """``(N, bands, P, P)`` to log-probabilities ``(N, classes)``."""
        total: Tensor | None = None
        for side in (patches, patches.flip(3)):
            for turns in range(4):
                view = torch.rot90(side, turns, (2, 3)).contiguous(memory_format=torch.channels_last)
                shares = torch.softmax(self.network(view).float(), dim=1)
                total = shares if total is None else total + shares
        assert total is not None
        return torch.log(total / 8)


def build_network(config: Config, bands: int, classes: int) -> nn.Module:
    """Build the network of a run, its random start fixed by the run's seed."""
    torch.manual_seed(config.seed)
    return build_with(config.model, bands, classes, config.patch, config.model_options)


def as_classifier(network: nn.Module, config: Config) -> nn.Module:
    """Return what classifies pixels once the network is trained: itself, or its average over symmetries."""
    return SymmetryAverage(network) if config.tta else network


def make_cutter(
    scene: Scene, preprocess: Preprocess, split: Split | None, config: Config, device: str | torch.device
) -> PatchCutter:
    """Cut patches from the preprocessed scene; under guard "mask" a patch sees only its own area."""
    return PatchCutter(
        preprocess.transform(scene.cube),
        config.patch,
        regions=None if split is None else split.patch_regions,
        padding=config.padding,
        device=device,
    )


Result = TypeVar("Result")

# What PyTorch says where it has no type of error: CPU on Linux, on Windows; a GPU's libraries; Apple's GPU.
_WORDS = ("can't allocate memory", "not enough memory", "ALLOC_FAILED", "bad_alloc", "out of memory")


def out_of_memory(error: BaseException) -> bool:
    """Tell whether an error says that the memory of a GPU or of the CPU ran out.

    A system that promises more memory than it has, as Linux does, may end the process without any error.
    """
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(word in str(error) for word in _WORDS)


class MicroBatcher:
    """How many patches go through a network at once: half as many each time that memory runs out.

    Parameters
    ----------
    size
        Patches at once to begin with.
    smallest
        The size below which it does not go.
    """

    def __init__(self, size: int, smallest: int = 1) -> None:
        self.size, self.smallest = size, smallest

    def run(self, work: Callable[[int], Result]) -> Result:
        """Return ``work(size)``; where memory runs out, do it again with half the size, rounded up.

        Raises
        ------
        RuntimeError, MemoryError
            PyTorch's own error, when memory runs out at the smallest size.
        """
        while True:
            try:
                return work(self.size)
            except (RuntimeError, MemoryError) as error:
                if self.size <= self.smallest or not out_of_memory(error):
                    raise
            # Only here, behind the except, is the error gone, and with it the tensors of the failed attempt.
            _give_back()
            self.size = max(self.smallest, -(-self.size // 2))


def _give_back() -> None:
    """Return what PyTorch keeps for later, since the next attempt wants blocks of other sizes."""
    gc.collect(1)  # cycles of the failed attempt are young; a full collection takes a good part of a second
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    if torch.backends.mps.is_available():
        torch.mps.empty_cache()


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
    done, portion = 0, MicroBatcher(batch)

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
