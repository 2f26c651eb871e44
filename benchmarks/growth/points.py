"""Measured points of growth, and their file: a CSV with one row a point.

A row holds what was measured and what it was measured on, so that rows of several machines can be put
together. Seconds and megabytes (2^20 bytes) say so in their names; a value that is not known is empty.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from hsi.errors import FileFormatError
from hsi.io.text import read_rows


@dataclass(frozen=True)
class Point:
    """One size of one series.

    Attributes
    ----------
    axis, series
        What grows, and what was measured.
    value
        The size: bands, patch width (pixels), pixels, or processes.
    work
        What had to be done, in `unit`.
    unit
        "MACs" (multiply-adds), "pixels", or "pixels a process".
    seconds_min, seconds_median
        Of the repeats.
    repeats
        How many there were.
    peak_memory_mb
        Growth of the peak memory of the process while it was done once; of several processes, the whole
        memory of the first. None where the system does not tell.
    """

    axis: str
    series: str
    value: int
    work: float
    unit: str
    seconds_min: float
    seconds_median: float
    repeats: int
    peak_memory_mb: float | None


PLACE = (
    "device", "processor", "cores", "threads", "precision", "python", "torch", "hsi", "load_before", "date",
)  # fmt: skip
"""Fields of `hsi.bench.setting.describe_machine` that each row holds."""
COLUMNS = (*(field.name for field in fields(Point)), *PLACE, "quick")


@dataclass(frozen=True)
class GrowthFile:
    """What a file holds: its points, what they were measured on, and whether with the quick sizes."""

    points: tuple[Point, ...]
    machine: dict[str, Any]
    quick: bool


def points_csv(growth: GrowthFile) -> str:
    """Return the table, with a header."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, restval="", lineterminator="\n")
    writer.writeheader()
    about = {name: growth.machine[name] for name in PLACE} | {"quick": str(growth.quick).lower()}
    for point in growth.points:
        row = {name: _cell(value) for name, value in asdict(point).items()}
        writer.writerow({**row, **{name: "" if value is None else value for name, value in about.items()}})
    return text.getvalue()


def read_points(path: Path) -> GrowthFile:
    """Read what `points_csv` made.

    Raises
    ------
    FileFormatError
        When the file cannot be read, lacks a column or a row, or holds something that is no number.
    """
    rows = read_rows(path, COLUMNS, "hsi bench --growth")
    if not rows:
        raise FileFormatError(f"'{path}' lacks any row; write it anew with 'hsi bench --growth'.")
    try:
        points = tuple(_point(row) for row in rows)
        machine: dict[str, Any] = {name: rows[0][name] for name in PLACE}
        machine |= {"cores": int(machine["cores"]), "threads": int(machine["threads"])}
        machine["load_before"] = float(machine["load_before"]) if machine["load_before"] else None
    except (TypeError, ValueError) as error:
        raise FileFormatError(f"'{path}' is damaged ({error}); measure again.") from None
    return GrowthFile(points, machine, rows[0]["quick"] == "true")


def _point(row: dict[str, str]) -> Point:
    point = Point(
        axis=row["axis"],
        series=row["series"],
        value=int(row["value"]),
        work=float(row["work"]),
        unit=row["unit"],
        seconds_min=float(row["seconds_min"]),
        seconds_median=float(row["seconds_median"]),
        repeats=int(row["repeats"]),
        peak_memory_mb=float(row["peak_memory_mb"]) if row["peak_memory_mb"] else None,
    )
    for number in (point.value, point.work, point.seconds_min, point.seconds_median):
        if not (math.isfinite(number) and number > 0):
            raise ValueError(f"{number} is no size, work or time")
    return point


def _cell(value: object) -> object:
    if isinstance(value, float):
        return f"{value:.5g}" if value < 1e5 else f"{value:.0f}"
    return "" if value is None else value


def series_of(points: Sequence[Point]) -> dict[tuple[str, str], list[Point]]:
    """Return the points of each series by its axis and name, smallest first."""
    found: dict[tuple[str, str], list[Point]] = {}
    for point in sorted(points, key=lambda point: point.value):
        found.setdefault((point.axis, point.series), []).append(point)
    order = list(dict.fromkeys((point.axis, point.series) for point in points))
    return {key: found[key] for key in order}
