"""The numbers of steps and epochs: sums, history, kept epoch, patience, and the errors that stop a training.

Each step leaves three numbers on its device: loss, right answers, gradient norm. A GPU is read only every
`SYNC_INTERVAL` steps, since each read makes the CPU wait for it; the numbers of all steps since then come
with it, so the first bad batch is named all the same. Checkpoints are written only after a read.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hsi.config import Config
from hsi.errors import TrainingError
from hsi.training.callbacks import Callback, EpochRow

SYNC_INTERVAL = 16
"""Steps between two reads of a GPU's numbers."""

MAX_OVERFLOWS = 32
"""Overflows in float16 in a row after which training stops: the loss scale halves each time, from 65536."""


class NotFiniteError(ArithmeticError):
    """The "loss" or "gradient" (`what`) of a batch (its index in the epoch) is NaN or infinite."""

    def __init__(self, what: str, value: float, batch: int) -> None:
        super().__init__(f"{what} is {value} in batch {batch}")
        self.what, self.value, self.batch = what, value, batch


@dataclass(frozen=True)
class EpochTotals:
    """Mean loss and OA (fraction) of an epoch, and its steps that were skipped after an overflow."""

    loss: float
    oa: float
    overflows: int


class EpochMetrics:
    """Sums up the steps of one epoch; notifies `callback` of each step.

    The numbers are read every `interval` steps. If the loss is `scaled`, gradients may overflow; such a step
    was skipped, and is counted.
    """

    def __init__(
        self, batches: Sequence[NDArray[np.int64]], interval: int, scaled: bool, callback: Callback
    ) -> None:
        self.sizes = [len(batch) for batch in batches]
        self.interval, self.scaled, self.callback = interval, scaled, callback
        self.pending: list[Tensor] = []
        self.steps = self.right = self.overflows = self.overflows_in_a_row = 0
        self.loss = 0.0

    def add(self, loss: Tensor, right: Tensor, gradient: Tensor) -> None:
        """Add one step: mean loss, number of right answers, norm of the gradient.

        Raises
        ------
        NotFiniteError
            For the first batch so far with a loss or gradient that is not finite.
        """
        self.pending.append(torch.stack((loss, right.to(loss.dtype), gradient.to(loss.dtype))))
        if len(self.pending) >= self.interval:
            self._read()

    def totals(self) -> EpochTotals:
        """Return mean loss, OA and overflows of the epoch; raises as `add`."""
        self._read()
        pixels = sum(self.sizes[: self.steps])
        return EpochTotals(self.loss / pixels, self.right / pixels, self.overflows)

    def _read(self) -> None:
        if not self.pending:
            return
        steps = torch.stack(self.pending).tolist()  # the one place that waits for a GPU
        self.pending = []
        for loss, right, gradient in steps:
            self._check(loss, gradient)
            self.loss += loss * self.sizes[self.steps]
            self.right += int(right)
            self.steps += 1
            self.callback.on_step(loss)

    def _check(self, loss: float, gradient: float) -> None:
        if not math.isfinite(loss):
            raise NotFiniteError("loss", loss, self.steps)
        overflow = not math.isfinite(gradient)
        self.overflows_in_a_row = self.overflows_in_a_row + 1 if overflow else 0
        if overflow and (not self.scaled or self.overflows_in_a_row >= MAX_OVERFLOWS):
            raise NotFiniteError("gradient", gradient, self.steps)
        self.overflows += overflow


def sync_interval(device: torch.device) -> int:
    """Return the steps between two reads: 1 on a CPU, which has nothing to wait for."""
    return 1 if device.type == "cpu" else SYNC_INTERVAL


def gradient_norm(parameters: Iterable[Tensor]) -> Tensor:
    """Return the Euclidean norm of all gradients as one vector, on their device.

    It is finite when every entry is, unless one is beyond 1e19, which no training recovers from either.
    """
    return torch.nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None])


def history_csv(history: Sequence[EpochRow]) -> str:
    """Return the history as CSV, one row an epoch."""
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(EpochRow.__annotations__), lineterminator="\n")
    writer.writeheader()
    writer.writerows(history)
    return text.getvalue()


def history_of(rows: Any) -> list[EpochRow]:
    """Check and return the history that a checkpoint holds.

    Raises
    ------
    ValueError
        When it is not one.
    """
    history = []
    for index, row in enumerate(rows if isinstance(rows, list) else [None]):
        numbers = {"overflows": 0, **row} if isinstance(row, dict) else {}  # older runs did not count
        if numbers.keys() != EpochRow.__annotations__.keys() or numbers["epoch"] != index:
            raise ValueError("its history is not one row an epoch")
        if not all(type(value) in (int, float) for value in numbers.values()):
            raise ValueError("its history holds something that is not a number")
        history.append(cast(EpochRow, numbers))
    return history


def quality(row: EpochRow) -> tuple[float, float]:
    """Return what "best" compares: validation OA, then lower validation loss."""
    return row["val_oa"], -row["val_loss"]


def is_kept(history: Sequence[EpochRow], config: Config) -> bool:
    """Whether a training keeps the weights of the last epoch of `history` in place of earlier ones.

    Where the learning rate falls to 0, the epoch that it ends with is kept: on unseen land the last epochs
    differ little, and the validation OA of a region or two picks among all by chance, the first ones too
    (measured in experiments/RESULTS.md). Where the rate does not end at 0, or `patience` may stop training
    before it does, the epoch with the best validation OA so far is kept, of several the one with the lowest
    validation loss.
    """
    if config.schedule == "cosine" and not config.patience:
        return True
    return all(quality(history[-1]) > quality(earlier) for earlier in history[:-1])


def out_of_patience(history: Sequence[EpochRow], patience: int) -> bool:
    """Whether the last `patience` epochs were no better than one before them; never with patience 0."""
    if not patience or len(history) <= patience:
        return False
    qualities = [quality(row) for row in history]
    return len(history) - 1 - qualities.index(max(qualities)) >= patience


def not_finite_error(
    what: str, value: float, epoch: int, checkpoints: Path, config: Config, mixed: bool, batch: str = ""
) -> TrainingError:
    """Return the error for a NaN or infinite number; `mixed` if computed in less than float32."""
    kept = f"the last good checkpoint, of epoch {epoch}, is in '{checkpoints}'"
    precision = " or --precision float32" if mixed else ""
    return TrainingError(
        f"The {what} became {value} in epoch {epoch + 1}{batch}; "
        f"{kept if epoch else 'there is no checkpoint yet'}; train anew with an --lr below "
        f"{config.lr:g}{precision}."
    )


NAMED_PIXELS = 3  # of a bad batch


def name_batch(index: int, batches: list[NDArray[np.int64]], cols: int, bad_patches: bool) -> str:
    """Describe a batch of an epoch: its number, from 1, and its pixels in a scene of `cols` columns."""
    pixels = batches[index]
    places = ", ".join(f"({pixel // cols}, {pixel % cols})" for pixel in pixels[:NAMED_PIXELS].tolist())
    more = f" and {len(pixels) - NAMED_PIXELS} more" if len(pixels) > NAMED_PIXELS else ""
    cause = ", whose patches hold values that are not finite" if bad_patches else ""
    return f", batch {index + 1} of {len(batches)} (row and column of its pixels: {places}{more}){cause}"


def memory_error(epoch: int, config: Config, micro_batch: int) -> TrainingError:
    """Return the error for memory that ran out with micro-batches of `micro_batch` patches."""
    where = f"Memory ran out in epoch {epoch + 1}"
    if config.fit_memory:
        return TrainingError(
            f"{where}, even with micro-batches of {micro_batch} patches; choose a smaller --patch, or fewer "
            "bands with --pca or --select-bands."
        )
    half = f" or a smaller batch, such as --batch {config.batch // 2}," if config.batch >= 4 else ""
    return TrainingError(
        f"{where} with batches of {config.batch} patches; use --batch-size auto, which splits the same batch "
        f"into micro-batches that fit,{half} or a smaller --patch."
    )
