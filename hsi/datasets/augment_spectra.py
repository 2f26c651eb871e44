"""Random changes of patches' spectra: another light or sensor state, another field, and missing bands.

Each works on patches ``(N, bands, P, P)`` as a network gets them (standardised, components or not) and draws
from its generator on the generator's device. Pixels that hold only zeros are padding and stay so.
"""

from __future__ import annotations

import torch
from torch import Tensor


def jitter_spectra(patches: Tensor, strength: float, generator: torch.Generator) -> Tensor:
    """Turn each spectrum x of a patch into ``(1 + s a) x + s b``.

    s is the strength, a one standard normal number for each patch, and b one for each patch and band, so that
    a patch keeps its texture while its level changes, as between two flights or two fields of one crop. Our
    decision; related to the virtual samples under changed radiation of Chen et al. (Deep feature extraction
    and classification of hyperspectral images based on convolutional neural networks, 2016).

    Parameters
    ----------
    patches
        ``(N, bands, P, P)``; its values are not changed.
    strength
        In units of the features: standard deviations of a band, where each band was standardised.

    Returns
    -------
    Tensor
        ``(N, bands, P, P)``, new.
    """
    count, bands = patches.shape[:2]
    gain = torch.randn(count, 1, 1, 1, generator=generator, device=generator.device)
    shift = torch.randn(count, bands, 1, 1, generator=generator, device=generator.device)
    gain, shift = (1 + strength * gain).to(patches.device), (strength * shift).to(patches.device)
    seen = (patches != 0).any(dim=1, keepdim=True)
    return torch.where(seen, patches * gain + shift, patches)


def shift_spectra(patches: Tensor, differences: Tensor, generator: torch.Generator) -> Tensor:
    """Add to all spectra of a patch one sum of `differences`, each times a standard normal number.

    With the differences between fields of one class (`hsi.training.field_differences`), a patch looks as if
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


def drop_bands(patches: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """Set one run of adjacent bands to zero, the mean of a standardised band, in all pixels of each patch.

    The run's length is drawn evenly from 0 to ``share * bands`` (rounded, but 1 band at least and never
    all), then its place evenly from where it fits: the frequency masking of Park et al. (SpecAugment, arXiv
    1904.08779). Single bands could be told from their neighbours.

    Parameters
    ----------
    patches
        ``(N, bands, P, P)``; its values are not changed.
    share
        The longest run, as a fraction of the bands, from 0 to below 1.

    Returns
    -------
    Tensor
        ``(N, bands, P, P)``, new.
    """
    count, bands = patches.shape[:2]
    longest = min(bands - 1, max(1, round(share * bands)))
    draws = torch.rand(2, count, 1, generator=generator, device=generator.device)
    length = (draws[0] * (longest + 1)).long().clamp_(max=longest)
    first = (draws[1] * (bands - length + 1)).long().minimum(bands - length)
    band = torch.arange(bands, device=generator.device)
    gone = (band >= first) & (band < first + length)
    return patches.masked_fill(gone.to(patches.device)[:, :, None, None], 0.0)
