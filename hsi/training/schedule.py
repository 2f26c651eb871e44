"""The learning rate of each epoch, in closed form."""

from __future__ import annotations

import math


def learning_rate(schedule: str, peak: float, epoch: int, epochs: int) -> float:
    """Return the learning rate of a 0-based epoch.

    "wave"
        ``peak (1 + cos(pi max(epoch - 1, 0) / 15)) / 2``: what the released code's scheduler, made anew each
        epoch, amounts to: a cosine wave of period 30 epochs that is 0 at epochs 16, 46 and 76.
    "cosine"
        ``peak (1 + cos(pi epoch / epochs)) / 2``: once from peak to almost 0 (our decision).
    "constant"
        ``peak``.
    """
    if schedule == "wave":
        return peak * (1 + math.cos(math.pi * max(epoch - 1, 0) / 15)) / 2
    if schedule == "cosine":
        return peak * (1 + math.cos(math.pi * epoch / epochs)) / 2
    return peak
