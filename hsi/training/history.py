"""What the epochs of a training came to: as a file, which was best, whether patience ran out."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from hsi.training.watcher import EpochRow


def history_csv(history: Sequence[EpochRow]) -> str:
    """Return the history as CSV, one row an epoch."""
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(EpochRow.__annotations__), lineterminator="\n")
    writer.writeheader()
    writer.writerows(history)
    return text.getvalue()


def quality(row: EpochRow) -> tuple[float, float]:
    """Return what "best" compares: validation OA, then lower validation loss."""
    return row["val_oa"], -row["val_loss"]


def out_of_patience(history: Sequence[EpochRow], patience: int) -> bool:
    """Tell whether the last `patience` epochs were no better than one before them; 0 waits for ever."""
    if not patience or len(history) <= patience:
        return False
    qualities = [quality(row) for row in history]
    return len(history) - 1 - qualities.index(max(qualities)) >= patience
