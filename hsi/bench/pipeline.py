"""The input pipeline alone: how many patches a second are cut from a scene."""

from __future__ import annotations

from typing import Any

import torch

from hsi.bench.networks import speed
from hsi.bench.scale import Scale
from hsi.bench.setting import Setting
from hsi.bench.timing import interleave, summary
from hsi.datasets.patches import PatchCutter

SIDE = 145
"""Rows and columns of the scene, as of Indian Pines."""

BATCHES = 20
"""Batches that are cut in one repeat."""


def measure_pipeline(scale: Scale, setting: Setting) -> dict[str, Any]:
    """Cut batches round random pixels of a random cube, on the device where networks run."""
    device = setting.apply()
    generator = torch.Generator().manual_seed(0)
    cube = torch.randn(SIDE, SIDE, scale.bands, generator=generator)
    cutter = PatchCutter(cube, scale.patch, device=device)
    batches = torch.randint(0, SIDE * SIDE, (BATCHES, scale.batch), generator=generator)

    def cut() -> None:
        for pixels in batches:
            cutter(pixels)

    cut()
    taken = interleave({"cut": cut}, device, rounds=scale.rounds, seconds=min(1.0, scale.seconds))
    seconds = summary(taken["cut"])
    return {
        "batch": scale.batch,
        "scene": [SIDE, SIDE, scale.bands],
        "seconds": seconds,
        **speed(seconds, BATCHES * scale.batch),
    }
