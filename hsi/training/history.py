"""What the epochs of a training came to: as a file, which was best, whether patience ran out."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import Any, cast

from hsi.training.watcher import EpochRow


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
