"""What the steps of an epoch add up to, and whether every number of them is finite.

Each step leaves three numbers on its device: loss, right answers, norm of the gradient. A GPU is asked for
them only every `LOOK_EVERY` steps, since each question makes the CPU wait for it; the numbers of all steps
since then come with it, so the first bad batch is named as well as if every step had been looked at. Nothing
is saved between two looks, so no checkpoint holds weights from behind a bad batch.

What the epochs of a training came to: as a file, which was best, whether patience ran out.

Why a training had to stop, in one sentence each that says what to do.
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


class EpochMetrics:
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
        self, batches: Sequence[NDArray[np.int64]], every: int, scaled: bool, callback: Callback
    ) -> None:
        self.sizes = [len(batch) for batch in batches]
        self.every, self.scaled, self.callback = every, scaled, callback
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
            self.callback.on_step(loss)

    def _check(self, loss: float, gradient: float) -> None:
        if not math.isfinite(loss):
            raise NotFiniteError("loss", loss, self.seen)
        overflow = not math.isfinite(gradient)
        self.in_a_row = self.in_a_row + 1 if overflow else 0
        if overflow and (not self.scaled or self.in_a_row >= OVERFLOWS_IN_A_ROW):
            raise NotFiniteError("gradient", gradient, self.seen)
        self.overflows += overflow


def sync_interval(device: torch.device) -> int:
    """Return the steps between two looks: none are saved on a CPU, which has nothing to wait for."""
    return 1 if device.type == "cpu" else LOOK_EVERY


def gradient_norm(parameters: Iterable[Tensor]) -> Tensor:
    """Return the Euclidean norm of all gradients as one vector, on their device.

    It is finite when every entry is, unless one is beyond 1e19, which no training comes back from either.
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
    """Return the history that a checkpoint holds, checked.

    Raises
    ------
    ValueError
        When it is none.
    """
    history = []
    for place, row in enumerate(rows if isinstance(rows, list) else [None]):
        numbers = {"overflows": 0, **row} if isinstance(row, dict) else {}  # older runs did not count
        if numbers.keys() != EpochRow.__annotations__.keys() or numbers["epoch"] != place:
            raise ValueError("its history is none")
        if not all(type(value) in (int, float) for value in numbers.values()):
            raise ValueError("its history holds something that is no number")
        history.append(cast(EpochRow, numbers))
    return history


def quality(row: EpochRow) -> tuple[float, float]:
    """Return what "best" compares: validation OA, then lower validation loss."""
    return row["val_oa"], -row["val_loss"]


def out_of_patience(history: Sequence[EpochRow], patience: int) -> bool:
    """Tell whether the last `patience` epochs were no better than one before them; 0 waits for ever."""
    if not patience or len(history) <= patience:
        return False
    qualities = [quality(row) for row in history]
    return len(history) - 1 - qualities.index(max(qualities)) >= patience


SHOWN = 3  # pixels of a bad batch that are named


def not_finite(
    what: str,
    value: float,
    epoch: int,
    folder: Path,
    config: Config,
    mixed: bool,
    batch: str = "",
) -> TrainingError:
    """Return the error for a number that is NaN or infinite.

    Parameters
    ----------
    what, value
        "loss", and what it became.
    epoch
        From 0.
    folder, config
        The run.
    mixed
        Whether it computes in less than float32.
    batch
        Where in the epoch it happened, from `name_batch`.
    """
    kept = (
        f"the last good checkpoint, of epoch {epoch}, is in '{folder / 'checkpoint'}'"
        if epoch
        else "there is no checkpoint yet"
    )
    precision = " or --precision float32" if mixed else ""
    return TrainingError(
        f"The {what} became {value} in epoch {epoch + 1}{batch}; {kept}; "
        f"train anew with an --lr below {config.lr:g}{precision}."
    )


def name_batch(number: int, batches: list[NDArray[np.int64]], cols: int, bad_patches: bool) -> str:
    """Return the words for one batch of an epoch: its number, from 1, and where its pixels lie.

    Parameters
    ----------
    number
        Its place in `batches`, from 0.
    batches
        Pixels (row-major flat indices) of each.
    cols
        Columns of the scene.
    bad_patches
        Whether its patches hold values that are not finite.
    """
    pixels = batches[number]
    places = ", ".join(f"({pixel // cols}, {pixel % cols})" for pixel in pixels[:SHOWN].tolist())
    more = f" and {len(pixels) - SHOWN} more" if len(pixels) > SHOWN else ""
    cause = ", whose patches hold values that are not finite" if bad_patches else ""
    return f", batch {number + 1} of {len(batches)} (row and column of its pixels: {places}{more}){cause}"


def no_memory(epoch: int, config: Config, smallest: int) -> TrainingError:
    """Return the error for memory that ran out; `smallest` is the smallest piece of a batch there can be."""
    where = f"Memory ran out in epoch {epoch + 1}"
    if config.fit_memory:
        return TrainingError(
            f"{where}, even with pieces of {smallest} patches; choose a smaller --patch, or fewer bands with "
            "--pca or --select-bands."
        )
    half = f" or a smaller batch, such as --batch {config.batch // 2}" if config.batch >= 4 else ""
    return TrainingError(
        f"{where} with batches of {config.batch} patches; use --batch-size auto, which takes the same batch "
        f"in pieces that fit,{half}{',' if half else ''} or a smaller --patch."
    )
