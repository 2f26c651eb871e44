"""The random changes of training patches that a run's options ask for, applied as one transform."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from hsi.config import Config
from hsi.datasets.augment import drop_pixels, flip_rotate, shift_spectra

SEED_OFFSETS = {"symmetry": 1, "jitter": 2, "bands": 3, "pixels": 4, "fields": 5}
"""Seed of each change, from the run's own, which is that of the order of pixels. A checkpoint names them."""


class Augmentation:
    """Flips and rotations, spectral shifts, and dropped pixels, each if the options ask for it.

    `shifts` ``(fields, features)`` are those of `shift_spectra`, or None. Each change has a random generator
    of its own, so switching one on leaves the draws of the others as they were; their states belong into a
    checkpoint.
    """

    def __init__(self, config: Config, shifts: Tensor | None = None) -> None:
        self._changes: dict[str, Callable[[Tensor, torch.Generator], Tensor]] = {}
        if config.augment:
            self._changes["symmetry"] = flip_rotate
        if shifts is not None:
            self._changes["fields"] = lambda patches, generator: shift_spectra(patches, shifts, generator)
        if config.pixel_drop > 0:
            self._changes["pixels"] = lambda patches, generator: drop_pixels(
                patches, config.pixel_drop, generator
            )
        self.generators = {
            name: torch.Generator().manual_seed(config.seed + offset)
            for name, offset in SEED_OFFSETS.items()
            if name in self._changes
        }

    def __call__(self, patches: Tensor) -> Tensor:
        """``(N, features, P, P)`` to the same shape; the very same tensor if no change is asked for."""
        for name, change in self._changes.items():
            patches = change(patches, self.generators[name])
        return patches
