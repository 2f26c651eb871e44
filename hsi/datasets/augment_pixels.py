"""Random loss of a patch's pixels, as at the borders of areas and of the scene."""

from __future__ import annotations

import torch
from torch import Tensor


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
