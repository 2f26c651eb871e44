"""All random changes that a run makes to its training patches, as one step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from hsi.config import Config
from hsi.datasets.augment import drop_pixels, flip_rotate, shift_spectra

Change = Callable[[Tensor, torch.Generator], Tensor]
PLACES = {"symmetry": 1, "jitter": 2, "bands": 3, "pixels": 4, "fields": 5}
"""How far the seed of each change lies from the run's own, which the order of pixels has."""


class Augmentation:
    """Changes training patches by what a config asks for: symmetries, jitter, shift, lost bands, lost pixels.

    Parameters
    ----------
    config
        The run's options.
    differences
        ``(fields, bands)`` by which `shift_spectra` changes patches, or None: not at all.

    Attributes
    ----------
    generators
        The source of draws of each change, by name. They are separate, so that switching one change on leaves
        the draws of the others as they were; their states belong into a checkpoint.
    """

    def __init__(self, config: Config, differences: Tensor | None = None) -> None:
        changes: dict[str, tuple[bool, Change]] = {
            "symmetry": (config.augment, flip_rotate),
            "fields": (differences is not None, _with(shift_spectra, differences)),
            "pixels": (config.pixel_drop > 0, _with(drop_pixels, config.pixel_drop)),
        }
        self._changes = {name: change for name, (wanted, change) in changes.items() if wanted}
        self.generators = {
            name: torch.Generator().manual_seed(config.seed + place)
            for name, place in PLACES.items()
            if name in self._changes
        }

    def __call__(self, patches: Tensor) -> Tensor:
        """``(N, bands, P, P)`` to the same shape; without any change asked for, the very same tensor."""
        for name, change in self._changes.items():
            patches = change(patches, self.generators[name])
        return patches


def _with(change: Callable[[Tensor, Any, torch.Generator], Tensor], amount: float | Tensor | None) -> Change:
    return lambda patches, generator: change(patches, amount, generator)
