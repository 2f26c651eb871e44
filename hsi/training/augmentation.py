"""All random changes that a run makes to its training patches, as one step."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from hsi.datasets.augment import flip_rotate
from hsi.datasets.augment_pixels import drop_pixels
from hsi.datasets.augment_spectra import drop_bands, jitter_spectra
from hsi.runs.config import Config

Change = Callable[[Tensor, torch.Generator], Tensor]


class Augmentation:
    """Changes training patches by what a config asks for: symmetries, jitter, lost bands, lost pixels.

    Attributes
    ----------
    generators
        The source of draws of each change, by name. They are separate, so that switching one change on leaves
        the draws of the others as they were; their states belong into a checkpoint.
    """

    def __init__(self, config: Config) -> None:
        changes: dict[str, tuple[bool, Change]] = {
            "symmetry": (config.augment, flip_rotate),
            "jitter": (config.spectral_jitter > 0, _with(jitter_spectra, config.spectral_jitter)),
            "bands": (config.band_drop > 0, _with(drop_bands, config.band_drop)),
            "pixels": (config.pixel_drop > 0, _with(drop_pixels, config.pixel_drop)),
        }
        self._changes = {name: change for name, (wanted, change) in changes.items() if wanted}
        self.generators = {
            name: torch.Generator().manual_seed(config.seed + place)
            for place, name in enumerate(changes, start=1)  # the order of pixels has the seed itself
            if name in self._changes
        }

    def __call__(self, patches: Tensor) -> Tensor:
        """``(N, bands, P, P)`` to the same shape; without any change asked for, the very same tensor."""
        for name, change in self._changes.items():
            patches = change(patches, self.generators[name])
        return patches


def _with(change: Callable[[Tensor, float, torch.Generator], Tensor], strength: float) -> Change:
    return lambda patches, generator: change(patches, strength, generator)
