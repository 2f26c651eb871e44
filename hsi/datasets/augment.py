"""Random augmentation of preprocessed patches ``(N, features, P, P)``.

Each function returns a new tensor and draws on its generator's device. Pixels of zeros are padding and stay
so.
"""

from __future__ import annotations

import torch
from torch import Tensor

from hsi.errors import ConfigError


def flip_rotate(patches: Tensor, generator: torch.Generator) -> Tensor:
    """Apply one of the eight symmetries of the square, drawn uniformly for each patch.

    Nadir images have no preferred direction, so labels stay true. The result is in ``torch.channels_last``
    order. Raises ConfigError unless the patches are square.
    """
    if patches.ndim != 4 or patches.shape[2] != patches.shape[3]:
        raise ConfigError(
            f"Only square patches (N, features, P, P) can be rotated; got {tuple(patches.shape)}."
        )
    count, features, width, _ = patches.shape
    grid = torch.arange(width * width).view(width, width)
    symmetries = [torch.rot90(side, k).reshape(-1) for side in (grid, grid.flip(1)) for k in range(4)]
    sources = torch.stack(symmetries).to(patches.device)  # (8, P * P): source of each pixel of the result
    draws = torch.randint(8, (count,), generator=generator, device=generator.device).to(patches.device)
    first = torch.arange(count, device=patches.device)[:, None] * (width * width)
    spectra = patches.permute(0, 2, 3, 1).reshape(-1, features)  # a view of what PatchCutter returns
    moved = spectra.index_select(0, (sources[draws] + first).view(-1))
    return moved.view(count, width, width, features).permute(0, 3, 1, 2)


def drop_pixels(patches: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """Set random pixels of each patch to zero, as padding is, but never the centre.

    A rate is drawn uniformly from 0 to `share` for each patch; each pixel is dropped with that probability.
    It keeps a network from memorising neighbourhoods, as the random occlusion of blocks does (Haut et al.,
    Hyperspectral image classification using random occlusion data augmentation, 2019).
    """
    count, _, rows, cols = patches.shape
    rate = share * torch.rand(count, 1, 1, generator=generator, device=generator.device)
    dropped = torch.rand(count, rows, cols, generator=generator, device=generator.device) < rate
    dropped[:, rows // 2, cols // 2] = False
    return patches.masked_fill(dropped.to(patches.device)[:, None], 0.0)


def shift_spectra(patches: Tensor, shifts: Tensor, generator: torch.Generator) -> Tensor:
    """Add to all spectra of a patch the same random combination of `shifts`, with normal weights.

    `shifts` are ``(K, features)``, on the patches' device. With the differences between fields of one class,
    a patch looks as if it lay in another field of its class.
    """
    draws = torch.randn(len(patches), len(shifts), generator=generator, device=generator.device)
    shift = draws.to(shifts) @ shifts
    data = (patches != 0).any(dim=1, keepdim=True)
    return torch.where(data, patches + shift[:, :, None, None], patches)
