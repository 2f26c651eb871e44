"""Reading a TOML file, and checking what is in it, with one clear sentence for each mistake."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from hsi.errors import ConfigError, FileFormatError, SceneNotFoundError, near_miss

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


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
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
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
    except tomllib.TOMLDecodeError as error:
        raise FileFormatError(f"{path} is not valid TOML: {error}; mend that line.") from None


def refuse_unknown_keys(table: Mapping[str, Any], known: Iterable[str], where: str) -> None:
    """Raise ConfigError for the first key of `table` that is not in `known`, naming the nearest one."""
    names = list(known)
    for key in table:
        if key not in names:
            raise ConfigError(
                f"{where} has an unknown key '{key}'.{near_miss(key, names)} Known: {', '.join(names)}."
            )
