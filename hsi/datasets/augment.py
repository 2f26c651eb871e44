"""Random flips and turns of patches in the image plane.

Random loss of a patch's pixels, as at the borders of areas and of the scene.

Random changes of patches' spectra: another light or sensor state, another field, and missing bands.

Each works on patches ``(N, bands, P, P)`` as a network gets them (standardised, components or not) and draws
from its generator on the generator's device. Pixels that hold only zeros are padding and stay so.
"""

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


def drop_pixels(patches: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """Set a random part of each patch's pixels to zero, as padding is; the centre always stays.

    For each patch a rate is drawn evenly from 0 to `share`; then each pixel but the centre is dropped with
    that probability, separately. A network cannot learn a neighbourhood by heart then, and must use the
    spectrum that it is asked about; patches with few losses keep the statistics near those of whole ones. Our
    decision; related to the random erasing of blocks (Haut et al., Hyperspectral image classification using
    random occlusion data augmentation, 2019).

    Parameters
    ----------
    patches
        ``(N, bands, P, P)``, P odd; its values are not changed.
    share
        The highest rate, from 0 to below 1.

    Returns
    -------
    Tensor
        ``(N, bands, P, P)``, new.
    """
    count, _, rows, cols = patches.shape
    rate = share * torch.rand(count, 1, 1, generator=generator, device=generator.device)
    gone = torch.rand(count, rows, cols, generator=generator, device=generator.device) < rate
    gone[:, rows // 2, cols // 2] = False
    return patches.masked_fill(gone.to(patches.device)[:, None], 0.0)


def shift_spectra(patches: Tensor, differences: Tensor, generator: torch.Generator) -> Tensor:
    """Add to all spectra of a patch one sum of `differences`, each times a standard normal number.

    With the differences between fields of one class (`hsi.training.context`), a patch looks as if
    it lay on another field of its class, in the directions and by the amounts that such fields differ in.
    Our decision.

    Parameters
    ----------
    patches
        ``(N, bands, P, P)``; its values are not changed.
    differences
        ``(fields, bands)`` in the units of the patches, on their device.

    Returns
    -------
    Tensor
        ``(N, bands, P, P)``, new.
    """
    draws = torch.randn(len(patches), len(differences), generator=generator, device=generator.device)
    shift = draws.to(differences) @ differences
    seen = (patches != 0).any(dim=1, keepdim=True)
    return torch.where(seen, patches + shift[:, :, None, None], patches)
