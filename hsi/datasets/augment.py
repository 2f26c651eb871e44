"""Random flips and turns of patches in the image plane."""

from __future__ import annotations

import torch
from torch import Tensor

from hsi.errors import ConfigError


def flip_rotate(patches: Tensor, generator: torch.Generator) -> Tensor:
    """Turn each patch by one of the eight symmetries of the square, drawn evenly and separately for each.

    Nadir images have no preferred direction, so labels stay true; spectra are only moved, never changed.

    Parameters
    ----------
    patches
        ``(N, bands, P, P)``.
    generator
        Source of the draws; the same state gives the same result. Draws are made on its device.

    Returns
    -------
    Tensor
        ``(N, bands, P, P)``, a new tensor in ``torch.channels_last`` order.

    Raises
    ------
    ConfigError
        When the patches are not square.
    """
    if patches.ndim != 4 or patches.shape[2] != patches.shape[3]:
        raise ConfigError(f"Only square patches (N, bands, P, P) can be turned; got {tuple(patches.shape)}.")
    count, bands, width, _ = patches.shape
    grid = torch.arange(width * width).view(width, width)
    turns = [torch.rot90(side, k).reshape(-1) for side in (grid, grid.flip(1)) for k in range(4)]
    sources = torch.stack(turns).to(patches.device)  # (8, P * P): where each pixel of the result comes from
    draws = torch.randint(8, (count,), generator=generator, device=generator.device).to(patches.device)
    first = torch.arange(count, device=patches.device)[:, None] * (width * width)
    spectra = patches.permute(0, 2, 3, 1).reshape(-1, bands)  # a view of what PatchCutter returns
    turned = spectra.index_select(0, (sources[draws] + first).view(-1))
    return turned.view(count, width, width, bands).permute(0, 3, 1, 2)
