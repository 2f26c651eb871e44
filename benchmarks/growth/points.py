"""Measured points of growth, and their CSV file: one row per point, with the machine and the versions.

Units are in the names of the columns (MB are 2^20 bytes); an unknown value is empty.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import msgspec

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
        Amount of work, in `unit`.
    unit
        "MACs" (multiply-adds), "pixels", or "pixels a process".
    seconds_min, seconds_median, repeats
        Over the repeats.
    peak_memory_mb
        Growth of the process's peak memory in one repeat; of several processes, the whole memory of the
        first. None where it is unknown.
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


MACHINE_COLUMNS = (
    "device", "processor", "cores", "threads", "precision", "python", "torch", "hsi", "load_before", "date",
)  # fmt: skip
"""Columns from `hsi.bench.setting.describe_machine`."""
COLUMNS = (*(field.name for field in fields(Point)), *MACHINE_COLUMNS, "quick")


@dataclass(frozen=True)
class GrowthFile:
    """Points, the machine that they were measured on, and whether with the quick sizes."""

    points: tuple[Point, ...]
    machine: dict[str, Any]
    quick: bool


def points_csv(growth: GrowthFile) -> str:
    """Return the CSV text, with a header."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, restval="", lineterminator="\n")
    writer.writeheader()
    about = {name: growth.machine[name] for name in MACHINE_COLUMNS} | {"quick": str(growth.quick).lower()}
    for point in growth.points:
        row = {name: _cell(value) for name, value in asdict(point).items()}
        writer.writerow({**row, **{name: "" if value is None else value for name, value in about.items()}})
    return text.getvalue()


def read_points(path: Path) -> GrowthFile:
    """Read a file of `points_csv`.

    Raises
    ------
    FileFormatError
        When the file cannot be read, lacks a column or has no rows, or a value is not a number.
    """
    rows = read_rows(path, COLUMNS, "python -m benchmarks.growth")
    if not rows:
        raise FileFormatError(f"'{path}' has no rows; write it again with 'python -m benchmarks.growth'.")
    try:
        points = tuple(_point(row) for row in rows)
        machine: dict[str, Any] = {name: rows[0][name] for name in MACHINE_COLUMNS}
        machine |= {"cores": int(machine["cores"]), "threads": int(machine["threads"])}
        machine["load_before"] = float(machine["load_before"]) if machine["load_before"] else None
    except (TypeError, ValueError) as error:
        raise FileFormatError(f"'{path}' is damaged ({error}); measure again.") from None
    return GrowthFile(points, machine, rows[0]["quick"] == "true")


def _point(row: dict[str, str]) -> Point:
    values = {field.name: row[field.name] or None for field in fields(Point)}
    try:
        point = msgspec.convert(values, Point, strict=False)
    except msgspec.ValidationError as error:
        raise ValueError(error) from None
    for number in (point.value, point.work, point.seconds_min, point.seconds_median):
        if not (math.isfinite(number) and number > 0):
            raise ValueError(f"{number} is not a size, work or time")
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
