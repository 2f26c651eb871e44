"""A scene of one's own, described in a ``scene.toml``; no code is needed.

.. code-block:: toml

    name = "salinas-a"                     # short name; default: the name of the cube file
    title = "Salinas A"
    sensor = "AVIRIS"
    cube = { file = "SalinasA_corrected.mat", key = "salinasA_corrected" }   # or just "cube.npy"
    labels = { file = "SalinasA_gt.mat", key = "salinasA_gt" }
    wavelengths_nm = [400.0, 409.8]        # one a band of the file
    drop_bands = [104, 105]                # of the file, counted from 0; default: those it marks as bad
    bands = "400-1300nm,no-water"          # bands of the file to use, or "0-99,120"; see hsi.datasets.bands
    no_data = -9999                        # nan also covers infinite values; such pixels lose their label
    unlabelled = [255]                     # integers that mean "no label" beside 0
    wrapped_negatives = false              # true: 16-bit values just below 65536 are small negatives
    synthetic = false                      # true for generated data; it is shown as such

    [classes]                              # code in the label file = name
    1 = "Broccoli green weeds 1"
    10 = "Corn senesced green weeds"

    [colors]                               # optional; others come from the default palette
    1 = "#2fb344"

Only ``cube`` and ``labels`` are needed; ENVI and GeoTIFF files say the rest themselves. Labels may be points
or polygons (``labels = { file = "fields.geojson", class_field = "crop" }``).

Paths are relative to the ``scene.toml``; a file that is not there is looked for under the data root
(``--data-root``, ``HSI_DATA``, the download cache), in any letter case and folder, so that a description can
be shared without its data. A ``key`` is needed only where a file holds several arrays that could be meant.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hsi.datasets.assemble import SceneFacts
from hsi.datasets.locate import data_roots, find_file, user_path
from hsi.datasets.own_files import ArraySource
from hsi.datasets.palette import is_color
from hsi.datasets.toml_files import read_toml, refuse_unknown_keys
from hsi.errors import ConfigError, SceneNotFoundError


@dataclass(frozen=True)
class SceneDescription:
    """What a ``scene.toml`` says."""

    cube: ArraySource
    labels: ArraySource
    facts: SceneFacts


def read_description(path: Path, data_root: str | Path | None = None) -> SceneDescription:
    """Read a ``scene.toml`` (the format stands at the top of this module).

    Parameters
    ----------
    path
        The ``scene.toml``.
    data_root
        Where its files are looked for if they are not beside it; see `hsi.datasets.locate.data_roots`.

    Raises
    ------
    SceneNotFoundError, FileFormatError
        When there is no such file, or it is not TOML; or when a file that it names is nowhere.
    ConfigError
        For an unknown key, a missing one, or a value of the wrong kind; the message names it.
    """
    table = read_toml(path)
    refuse_unknown_keys(table, _KINDS, str(path))
    for key in ("cube", "labels"):
        if key not in table:
            raise ConfigError(f'{path} does not name the file of the {key}; add {key} = {{ file = "..." }}.')
    values = {key: _KINDS[key](value, f"{path}: '{key}'") for key, value in table.items()}
    cube, labels = (_found(values.pop(part), path, data_root) for part in ("cube", "labels"))
    values["class_names"] = values.pop("classes", {})
    values.setdefault("name", cube.file.stem)
    return SceneDescription(cube, labels, SceneFacts(**values))


def _found(source: ArraySource, description: Path, data_root: str | Path | None) -> ArraySource:
    """Settle where a file is: as named, beside the description, or under a data root."""
    named = user_path(source.file)
    beside = user_path(description.parent / named)  # which may be too long only now
    if named.is_absolute() or beside.exists():
        return ArraySource(beside, source.key)
    found = find_file(named, data_root)
    if found is None:
        roots = " or ".join(str(root) for root in data_roots(data_root))
        raise SceneNotFoundError(
            f"There is no file {beside}, nor a '{named}' under {roots}; "
            "put it there, or name its folder with --data-root or HSI_DATA."
        )
    return ArraySource(found, source.key)


def _text(value: Any, where: str) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ConfigError(f"{where} must be a text in quotes, not {value!r}.")
    return value


def _name(value: Any, where: str) -> str:
    name = _text(value, where)
    if any(character in name for character in '/\\:*?"<>|') or name.startswith("."):
        raise ConfigError(
            f'{where} becomes part of file names; leave out / \\ : * ? " < > | and a leading dot.'
        )
    if not name.isprintable() or len(name) > _LONGEST_NAME:
        raise ConfigError(
            f"{where} becomes part of file names; use at most {_LONGEST_NAME} letters and no line breaks."
        )
    return name


def _flag(value: Any, where: str) -> bool:
    if not isinstance(value, bool):
        raise ConfigError(f"{where} must be true or false, not {value!r}.")
    return value


def _number(value: Any, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ConfigError(f"{where} must be a number, not {value!r}.")
    return float(value)


def _integer(value: Any, where: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise ConfigError(f"{where} must be a whole number, not {value!r}.")
    return value


def _band(value: Any, where: str) -> int:
    if _integer(value, where) < 0:
        raise ConfigError(f"{where}: bands are counted from 0, so {value} is none.")
    return int(value)


def _wavelength(value: Any, where: str) -> float:
    number = _number(value, where)
    if not math.isfinite(number) or number <= 0:
        raise ConfigError(f"{where}: {value} is no wavelength in nanometres.")
    return number


def _color(value: Any, where: str) -> str:
    if not is_color(value):
        raise ConfigError(f'{where} must be a colour such as "#2fb344", not {value!r}.')
    return str(value).lower()


def _list(item: Callable[[Any, str], Any]) -> Callable[[Any, str], tuple[Any, ...]]:
    def check(value: Any, where: str) -> tuple[Any, ...]:
        values = value if isinstance(value, list) else [value]
        return tuple(item(one, where) for one in values)

    return check


def _by_code(item: Callable[[Any, str], Any]) -> Callable[[Any, str], dict[int, Any]]:
    def check(value: Any, where: str) -> dict[int, Any]:
        if not isinstance(value, Mapping):
            raise ConfigError(f'{where} must be a table with one line a class, such as 1 = "...".')
        for code in value:
            if not code.isdecimal() or len(code) > _LONGEST_CODE or int(code) == 0:
                raise ConfigError(
                    f"{where}: '{code[:40]}' is no class; use the whole numbers (from 1) of the label file."
                )
        return {int(code): item(one, f"{where}, class {code}") for code, one in value.items()}

    return check


def _array_source(*names: str) -> Callable[[Any, str], ArraySource]:
    """Return a check of a file and what is meant in it, which may be called any one of `names`."""

    def check(value: Any, where: str) -> ArraySource:
        if isinstance(value, str):
            return ArraySource(Path(_text(value, where)))
        if not isinstance(value, Mapping):
            raise ConfigError(
                f'{where} must be a file name or {{ file = "...", key = "..." }}, not {value!r}.'
            )
        refuse_unknown_keys(value, ("file", *names), where)
        if "file" not in value:
            raise ConfigError(f'{where} lacks the file; write {{ file = "..." }}.')
        given = [name for name in names if name in value]
        if len(given) > 1:
            raise ConfigError(f"{where} has both {' and '.join(given)}; give the one that suits the file.")
        key = _text(value[given[0]], f"{where}, {given[0]}") if given else None
        return ArraySource(Path(_text(value["file"], f"{where}, file")), key)

    return check


_LONGEST_NAME = 100
_LONGEST_CODE = 18  # digits of a 64-bit number

_KINDS: dict[str, Callable[[Any, str], Any]] = {
    "name": _name,
    "title": _text,
    "sensor": _text,
    "cube": _array_source("key"),
    "labels": _array_source("key", "class_field"),
    "wavelengths_nm": _list(_wavelength),
    "drop_bands": _list(_band),
    "bands": _text,
    "no_data": _number,
    "unlabelled": _list(_integer),
    "wrapped_negatives": _flag,
    "synthetic": _flag,
    "classes": _by_code(_text),
    "colors": _by_code(_color),
}
