"""What the steps of an epoch add up to, and whether every number of them is finite.

Each step leaves three numbers on its device: loss, right answers, norm of the gradient. A GPU is asked for
them only every `LOOK_EVERY` steps, since each question makes the CPU wait for it; the numbers of all steps
since then come with it, so the first bad batch is named as well as if every step had been looked at. Nothing
is saved between two looks, so no checkpoint holds weights from behind a bad batch.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hsi.training.watcher import Watcher

LOOK_EVERY = 16
"""Steps between two looks at a GPU's numbers: our decision."""

OVERFLOWS_IN_A_ROW = 32
"""So many gradients in a row that overflow in float16 cannot be a matter of scale, which halves each time
from 65536: our decision."""


class NotFiniteError(ArithmeticError):
    """A loss or a gradient of a batch is NaN or infinite.

    Attributes
    ----------
    what
        "loss" or "gradient".
    value
        NaN or an infinity.
    batch
        Place of the batch in its epoch, from 0.
    """

    def __init__(self, what: str, value: float, batch: int) -> None:
        super().__init__(f"{what} is {value} in batch {batch}")
        self.what, self.value, self.batch = what, value, batch


@dataclass(frozen=True)
class Totals:
    """Mean loss and OA (fraction) of an epoch, and its steps that were left out after an overflow."""

    loss: float
    oa: float
    overflows: int


class Tally:
    """Adds up one epoch.

    Parameters
    ----------
    batches
        The batches of the epoch.
    every
        Look at the numbers after so many steps.
    scaled
        The loss is scaled up, so that a gradient may overflow; its step is left out then, and counted.
    watcher
        Told of each step once its loss was looked at.
    """

    def __init__(
        self, batches: Sequence[NDArray[np.int64]], every: int, scaled: bool, watcher: Watcher
    ) -> None:
        self.sizes = [len(batch) for batch in batches]
        self.every, self.scaled, self.watcher = every, scaled, watcher
        self.waiting: list[Tensor] = []
        self.seen = self.right = self.overflows = self.in_a_row = 0
        self.loss = 0.0

    def add(self, loss: Tensor, right: Tensor, gradient: Tensor) -> None:
        """Take in one step: mean loss, number of right answers, norm of the gradient.

        Raises
        ------
        NotFiniteError
            For the first batch, up to now, with a loss or gradient that is not finite.
        """
        self.waiting.append(torch.stack((loss, right.to(loss.dtype), gradient.to(loss.dtype))))
        if len(self.waiting) >= self.every:
            self._look()

    def totals(self) -> Totals:
        """Return what the epoch came to.

        Raises
        ------
        NotFiniteError
            As `add`.
        """
        self._look()
        pixels = sum(self.sizes[: self.seen])
        return Totals(self.loss / pixels, self.right / pixels, self.overflows)

    def _look(self) -> None:
        if not self.waiting:
            return
        steps = torch.stack(self.waiting).tolist()  # the one place that waits for a GPU
        self.waiting = []
        for loss, right, gradient in steps:
            self._check(loss, gradient)
            self.loss += loss * self.sizes[self.seen]
            self.right += int(right)
            self.seen += 1
            self.watcher.step(loss)

    def _check(self, loss: float, gradient: float) -> None:
        if not math.isfinite(loss):
            raise NotFiniteError("loss", loss, self.seen)
        overflow = not math.isfinite(gradient)
        self.in_a_row = self.in_a_row + 1 if overflow else 0
        if overflow and (not self.scaled or self.in_a_row >= OVERFLOWS_IN_A_ROW):
            raise NotFiniteError("gradient", gradient, self.seen)
        self.overflows += overflow


def look_every(device: torch.device) -> int:
    """Return the steps between two looks: none are saved on a CPU, which has nothing to wait for."""
    return 1 if device.type == "cpu" else LOOK_EVERY


def gradient_norm(parameters: Iterable[Tensor]) -> Tensor:
    """Return the Euclidean norm of all gradients as one vector, on their device.

    It is finite when every entry is, unless one is beyond 1e19, which no training comes back from either.
    """
    return torch.nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None])
