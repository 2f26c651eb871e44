"""The CSV of an experiment as cells: the runs of one model on one scene under one protocol."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from hsi.io.text import read_rows
from hsi.scoring.scores import mean_and_std
from hsi.sweep.results import COLUMNS

Row = dict[str, str]
SPLIT = ("scheme", "guard", "split_mask", "seed", "fold", "train_pixels", "test_pixels")
"""Columns that identify a split: models may set split options of their own."""
WORK = ("train_seconds", "test_seconds")
LATER = ("smoothing", "oa_unsmoothed", "aa_unsmoothed", "calibration_error_before", "calibration_error")
"""Columns that tables of earlier versions lack; they are empty there."""


@dataclass(frozen=True)
class Cell:
    """The runs of one model on one scene under one protocol; each row is one run, as text."""

    scene: str
    protocol: str
    label: str
    rows: tuple[Row, ...]

    @property
    def kind(self) -> str:
        """``network``, ``baseline`` or ``classical``."""
        return self.rows[0]["kind"]

    def values(self, column: str) -> list[float]:
        """Return the numbers of a column, NaN where a run has none."""
        return [number(row[column]) for row in self.rows]

    def mean_and_std(self, column: str) -> tuple[float, float | None]:
        """Return mean and sample standard deviation (n - 1) of a column over the runs."""
        return mean_and_std(self.values(column))

    def mean(self, column: str) -> float:
        """Return the mean of a column over the runs."""
        return mean_and_std(self.values(column))[0]

    def median(self, column: str) -> float:
        """Return the median of a column over the runs."""
        return statistics.median(self.values(column))

    def by_split(self, column: str) -> dict[tuple[str, ...], float]:
        """Return a column by split: the values of `SPLIT`, the numbers of training and test pixels last."""
        return {tuple(row[name] for name in SPLIT): number(row[column]) for row in self.rows}


def read_cells(path: Path) -> list[Cell]:
    """Read the CSV that `hsi sweep` writes, in the order of its rows.

    Raises
    ------
    FileFormatError
        When it cannot be read, or has other columns.
    """
    cells: dict[tuple[str, str, str], list[Row]] = {}
    for row in read_rows(path, [name for name in COLUMNS if name not in LATER], "hsi sweep"):
        known = {**dict.fromkeys(LATER, ""), **row}
        cells.setdefault((row["scene"], row["protocol"], row["label"]), []).append(known)
    return [Cell(*key, tuple(members)) for key, members in cells.items()]


def conditions(cells: Sequence[Cell]) -> str:
    """Say how many runs there are, how long they took by the median of each cell, and what they ran on."""
    rows = [row for cell in cells for row in cell.rows]

    def all_of(column: str) -> str:
        return ", ".join(sorted({row[column] for row in rows if row[column]}))

    hours = sum(len(cell.rows) * cell.median(part) for cell in cells for part in WORK) / 3600
    where = all_of("cpu") if {row["device"] for row in rows} == {"cpu"} else all_of("device")
    count = len({row["git_revision"].removesuffix("+changes") for row in rows if row["git_revision"]})
    revisions = f" at {count} states of its code" if count > 1 else ""
    synthetic = " Generated scenes are among them." if any(row["synthetic"] == "true" for row in rows) else ""
    return (
        f"Runs: {len(rows)}, {hours:.1f} hours of training and testing one after another, on {where} "
        f"(threads of a run: {all_of('threads')}), hsi {all_of('hsi')}{revisions}, torch {all_of('torch')}, "
        f"scikit-learn {all_of('scikit_learn')}, Python {all_of('python')}.{synthetic}"
    )


def best(cells: Iterable[Cell], kinds: Sequence[str], column: str = "oa") -> Cell | None:
    """Return the cell of these kinds with the highest mean of a column, or None.

    Only cells with the most runs count: the mean of fewer may be a lucky seed, and cannot be tested.
    """
    candidates = [cell for cell in cells if cell.kind in kinds]
    most = max((len(cell.rows) for cell in candidates), default=0)
    return max(
        (cell for cell in candidates if len(cell.rows) == most),
        key=lambda cell: cell.mean(column),
        default=None,
    )


def spread(cell: Cell, column: str) -> str:
    """Return mean and sample standard deviation of a score over the runs, x100; empty if undefined."""
    mean, std = cell.mean_and_std(column)
    if mean != mean:  # kappa, where the test pixels of a run are of one class
        return ""
    return f"{100 * mean:.2f}" if std is None else f"{100 * mean:.2f} ± {100 * std:.2f}"


def p_value(p: float) -> str:
    """Return a p value with three digits; empty if NaN."""
    if p != p:
        return ""
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def number(text: str) -> float:
    """Return the number in a cell of a CSV, NaN where it is empty."""
    return float(text) if text else math.nan
