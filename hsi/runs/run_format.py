"""The version of what a run folder holds: old runs keep opening, newer ones are refused by name."""

from __future__ import annotations

from pathlib import Path

from hsi.datasets.json_files import read_json
from hsi.errors import FileFormatError, RunError

RUN_FORMAT = 1
"""Counted up when a folder changes so that older versions of hsi would misread it."""


def check_format(folder: Path) -> None:
    """Refuse a run whose ``environment.json`` names a newer format.

    A file that is missing, damaged or without a number says nothing against the run here: what relies on it
    complains itself.

    Raises
    ------
    RunError
        When the format is newer than `RUN_FORMAT`.
    """
    try:
        found = read_json(folder / "environment.json")
    except (OSError, ValueError, FileFormatError):
        return
    number = found.get("run_format") if isinstance(found, dict) else None
    if isinstance(number, int) and number > RUN_FORMAT:
        by = found.get("hsi")
        maker = f"hsi {by}" if isinstance(by, str) else "a newer hsi"
        raise RunError(
            f"The run '{folder}' has format {number}, written by {maker}; this hsi reads up to {RUN_FORMAT}: "
            "install a newer one."
        )
