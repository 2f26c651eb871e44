"""Text files: TOML, JSON and CSV read with bounds and one clear sentence for each mistake.

Nesting depth, size and whole numbers are limited, since files may be hostile; control characters that would
steer a terminal or a page are shown as escapes (`plain`).
"""

from __future__ import annotations

import csv
import io
import json
import math
import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from hsi.errors import ConfigError, FileFormatError, SceneNotFoundError, near_miss
from hsi.io.size_limits import MOST_TEXT, check_length

# Both sets of control characters but for the line feed, and what turns text's direction or hides in it.
_STEERING = re.compile(
    "[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]"
)


def plain(text: str) -> str:
    """Return a text without control characters; each is shown as Python would write it."""
    return _STEERING.sub(_shown, text)


def _shown(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"


_DEEPEST = 50  # far more than any honest file; what works with such values recurses
_WHOLE = 1 << 63  # TOML's and most other readers' whole numbers have 64 bits


def check_nesting(value: Any) -> None:
    """Raise ValueError where tables and lists are nested too deeply, or a whole number has over 64 bits."""
    level = [value]
    for _ in range(_DEEPEST):
        deeper: list[Any] = []
        for one in level:
            if isinstance(one, Mapping):
                deeper.extend(one.values())
            elif isinstance(one, list):
                deeper.extend(one)
            elif isinstance(one, int) and not -_WHOLE <= one < _WHOLE:
                raise ValueError("a whole number has more than 64 bits")
        level = deeper
        if not level:
            return
    raise ValueError("it is nested too deeply")


if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


MOST_BYTES = 1 << 18  # a description with some thousand wavelengths has a tenth of it
# The parser takes time that grows with the square of the number of parts of a key.
_LONG_KEY = re.compile(
    r"""(?:(?:(?<![\w-])[\w-]{1,100}|"(?:[^"\\\n]|\\.){0,100}"|'[^'\n]{0,100}')[ \t]*\.[ \t]*){20}"""
)


def parse_toml(text: str) -> dict[str, Any]:
    """Return the table that a TOML text describes.

    Raises
    ------
    ValueError
        When it is not TOML (the message has the line), is nested too deeply, or has a whole number that is
        larger than TOML's.
    """
    if _LONG_KEY.search(text):
        raise ValueError("a key has too many parts")
    try:
        table = tomllib.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    check_nesting(table)
    return table


def read_toml(path: Path) -> dict[str, Any]:
    """Return the table in a TOML file.

    Raises
    ------
    SceneNotFoundError
        When there is no such file.
    FileFormatError
        When it cannot be read or is not TOML; the message has the line.
    """
    try:
        check_length(path, MOST_BYTES)
        return parse_toml(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise SceneNotFoundError(f"There is no file {path}; check the path.") from None
    except OSError as error:
        raise FileFormatError(
            f"{path} cannot be read ({error.strerror or error}); check its permissions."
        ) from None
    except UnicodeDecodeError:
        raise FileFormatError(
            f"{path} is not a text file in UTF-8; a scene description is a TOML file."
        ) from None
    except ValueError as error:
        raise FileFormatError(f"{path} is not valid TOML: {error}; mend that line.") from None


def refuse_unknown_keys(table: Mapping[str, Any], known: Iterable[str], where: str) -> None:
    """Raise ConfigError for the first key of `table` that is not in `known`, naming the nearest one."""
    names = list(known)
    for key in table:
        if key not in names:
            raise ConfigError(
                f"{where} has an unknown key '{key[:100]}'.{near_miss(key[:100], names)} "
                f"Known: {', '.join(names)}."
            )


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


def csv_text(columns: Iterable[str], rows: Iterable[Mapping[str, Any]]) -> str:
    """Return a CSV table with a header; what a row lacks is empty, what is in no column is left out."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(columns), restval="", extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


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


def decode_text(content: bytes) -> str:
    """Return the text, in UTF-8, UTF-16 with a mark, or Windows-1252, with line ends as in Python."""
    encodings = ("utf-16",) if content.startswith((b"\xff\xfe", b"\xfe\xff")) else ("utf-8-sig", "cp1252")
    for encoding in encodings:
        try:
            text = content.decode(encoding)
            break
        except UnicodeDecodeError:
            continue
    else:
        text = content.decode("latin-1")
    return text.replace("\r\n", "\n").replace("\r", "\n")
