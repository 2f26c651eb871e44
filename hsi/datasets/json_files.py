"""Reading JSON that others wrote: never too deep, and without numbers that are none."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from hsi.datasets.nesting import check_nesting
from hsi.datasets.size_limits import MOST_TEXT, check_length


def read_json(path: Path, *, most: int = MOST_TEXT) -> Any:
    """Return what a JSON file holds (UTF-8, with or without byte order mark).

    Raises
    ------
    OSError
        When it is missing or cannot be read.
    ValueError
        When it is no JSON (RFC 8259): NaN and infinite numbers are none. Also when it is nested too deeply.
    FileFormatError
        When it is longer than `most` bytes.
    """
    check_length(path, most)
    try:
        found = json.loads(
            path.read_text(encoding="utf-8-sig"), parse_constant=_no_number, parse_float=_finite
        )
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    check_nesting(found)
    return found


def _no_number(word: str) -> float:
    raise ValueError(f"{word} is no number in JSON")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"the number {text[:20]} is too large")
    return number
