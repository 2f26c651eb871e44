"""Tables in CSV files that this toolkit wrote before."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path

from hsi.errors import FileFormatError


def read_rows(path: Path, columns: Iterable[str], command: str) -> list[dict[str, str]]:
    """Return the rows of a CSV file, by column, in their order.

    Parameters
    ----------
    path
        The file.
    columns
        Those that must be there; others may be.
    command
        What writes such a file, for the error.

    Raises
    ------
    FileFormatError
        When the file cannot be read, or lacks a column.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file)
            known, rows = reader.fieldnames or (), list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise FileFormatError(f"'{path}' cannot be read: {error}.") from None
    missing = [name for name in columns if name not in known]
    if missing:
        raise FileFormatError(f"'{path}' lacks the column '{missing[0]}'; write it anew with '{command}'.")
    return rows
