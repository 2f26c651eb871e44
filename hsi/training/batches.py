"""How the training pixels are cut into batches, and what batch norm demands of their sizes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from hsi.errors import ConfigError

MIN_MICRO_BATCH = 2
"""Patches that go through a network together in training at least, since batch norm needs two."""


def cut_batches(pixels: NDArray[np.int64], size: int) -> list[NDArray[np.int64]]:
    """Cut into batches; a last batch of one pixel joins the one before, since batch norm needs two."""
    cuts = list(range(size, len(pixels), size))
    if cuts and len(pixels) - cuts[-1] == 1:
        cuts.pop()
    return np.split(pixels, cuts)


def check_shares(batch: int, pixels: int, world_size: int) -> None:
    """Refuse batches of `batch` patches, from `pixels` training pixels, that processes cannot share.

    Raises
    ------
    ConfigError
        When a process would have fewer than `MIN_MICRO_BATCH` patches of a batch.
    """
    least = MIN_MICRO_BATCH * world_size
    if world_size > 1 and min(batch, pixels) < least:
        what = f"a batch has {batch}" if batch < least else f"there are {pixels} training pixels"
        raise ConfigError(
            f"Each of {world_size} processes needs {MIN_MICRO_BATCH} patches of each batch, "
            f"{least} together, but {what}; start fewer processes"
            + (f", or use --batch {least} or more." if batch < least else ".")
        )


def batch_norms(network: nn.Module) -> list[_BatchNorm]:
    """Return the batch norms of a network."""
    return [module for module in network.modules() if isinstance(module, _BatchNorm)]


def check_batch(network: nn.Module, name: str, batch: int) -> None:
    """Refuse batches of one patch for a network with batch norm.

    Raises
    ------
    ConfigError
        For such a network and `batch` 1.
    """
    if batch == 1 and batch_norms(network):
        raise ConfigError(f"{name} normalises over the batch, so --batch must be at least 2.")
