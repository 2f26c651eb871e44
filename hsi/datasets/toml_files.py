"""Reading a TOML file, and checking what is in it, with one clear sentence for each mistake."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from hsi.datasets.nesting import check_nesting
from hsi.datasets.size_limits import check_length
from hsi.errors import ConfigError, FileFormatError, SceneNotFoundError, near_miss

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
