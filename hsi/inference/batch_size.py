"""The batch size with which a scene is mapped, measured for each network and machine.

A batch too large spills out of a processor's cache: STNet classified 221 patches/s in batches of 64 and 135
in batches of 256 (one core of an AMD EPYC). A batch too small leaves a GPU idle.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from hsi.inference.predict import BATCH, out_of_memory
from hsi.inference.tiles import CELL
from hsi.io.measurements import measured_once
from hsi.models.device import autocast, device_name, seconds_of
from hsi.models.protocols import DensePrefix

MIN_PIXELS = 32_000
"""Smaller scenes are not worth the measurement, of about a thousand patches."""

MIN_GAIN = 1.1
"""A batch size other than `BATCH` must be so many times as fast, so that noise changes nothing."""

MEASURED_PATCHES = 128


def choose_batch_size(
    model: nn.Module,
    shape: tuple[int, int],
    pixels: int,
    device: torch.device,
    precision: torch.dtype,
    facts: Mapping[str, Any],
) -> int:
    """Return how many patches to classify together; it changes logits by rounding only.

    For a scene of few `pixels`, and for a model with a dense prefix, nothing is measured and `BATCH`
    returned.

    Parameters
    ----------
    model
        In evaluation mode, on `device`.
    shape
        Features and patch width P of its input.
    facts
        What the model is, for the cache of measurements; see `hsi.io.measurements`.
    """
    weightless = next(model.parameters(), None) is None
    if pixels < MIN_PIXELS or isinstance(model, DensePrefix) or weightless:
        return BATCH
    features, patch = shape

    def patches_per_second(size: int) -> float:
        patches = torch.randn(size, patch, patch, features, device=device).permute(0, 3, 1, 2)
        passes = max(1, MEASURED_PATCHES // size)

        def classify() -> None:
            for _ in range(passes):
                model(patches).float().cpu()

        try:
            with torch.inference_mode(), autocast(device, precision):
                model(patches)
                return passes * size / seconds_of(classify, device, tries=1)
        except (RuntimeError, MemoryError) as error:
            if not out_of_memory(error):
                raise
            return 0.0

    def measure() -> dict[str, float]:
        return {str(size): patches_per_second(size) for size in _sizes(device)}

    known = {**facts, "what": "patches at once", "input": shape, "precision": str(precision)}
    speeds = measured_once(known, device_name(device), measure) or {}
    best = max(speeds, key=lambda size: speeds[size])
    return int(best) if speeds[best] > MIN_GAIN * speeds[str(BATCH)] else BATCH


def _sizes(device: torch.device) -> tuple[int, ...]:
    # No batch is larger than a cell of the scene.
    return (32, 64, 128, BATCH) if device.type == "cpu" else (BATCH, 512, CELL * CELL)
