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
# A model may set split options of its own, and other schemes can come to as many pixels.
SPLIT = ("scheme", "guard", "split_mask", "seed", "fold", "train_pixels", "test_pixels")


@dataclass(frozen=True)
class Cell:
    """The runs of one model on one scene under one protocol.

    Attributes
    ----------
    scene, protocol, label
        As in the experiment file.
    rows
        One for each run, as text.
    """

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
        """Return a column by what fixes the split of a run: `SPLIT`, the training and test pixels last."""
        return {tuple(row[name] for name in SPLIT): number(row[column]) for row in self.rows}


def read_cells(path: Path) -> list[Cell]:
    """Read the CSV that `hsi sweep` writes, in the order of its rows.

    Raises
    ------
    FileFormatError
        When it cannot be read, or has other columns.
    """
    cells: dict[tuple[str, str, str], list[Row]] = {}
    for row in read_rows(path, COLUMNS, "hsi sweep"):
        cells.setdefault((row["scene"], row["protocol"], row["label"]), []).append(row)
    return [Cell(*key, tuple(members)) for key, members in cells.items()]


def best(cells: Iterable[Cell], kinds: Sequence[str], column: str = "oa") -> Cell | None:
    """Return the cell of these kinds with the highest mean of a column, or None.

    Only those with the most runs stand for it: the mean of fewer may be a lucky seed, and has no test.
    """
    able = [cell for cell in cells if cell.kind in kinds]
    most = max((len(cell.rows) for cell in able), default=0)
    return max(
        (cell for cell in able if len(cell.rows) == most), key=lambda cell: cell.mean(column), default=None
    )


def number(text: str) -> float:
    """Return the number in a cell of a CSV, NaN where it is empty."""
    return float(text) if text else math.nan
