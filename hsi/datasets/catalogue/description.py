"""``scene.toml``, the description of a user's own scene: reading one, and writing one for given files.

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

Only ``cube`` and ``labels`` are required; ENVI and GeoTIFF files have the rest in their metadata. Labels may
be points or polygons (``labels = { file = "fields.geojson", class_field = "crop" }``).

Paths are relative to the ``scene.toml``; a file that is not there is looked for under the data root
(``--data-root``, ``HSI_DATA``, the download cache), in any letter case and folder, so that a description can
be shared without its data. A ``key`` is needed only where a file holds several arrays that fit.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hsi.datasets.assemble import ArraySource, SceneFacts, load_files
from hsi.datasets.catalogue.locate import data_roots, find_file, user_path
from hsi.datasets.checks import Anomalies, find_anomalies
from hsi.datasets.formats.readers import read_array, read_facts
from hsi.datasets.formats.recognise import SHAPES
from hsi.datasets.scene import Scene, is_color
from hsi.errors import ConfigError, SceneNotFoundError
from hsi.io.text import read_toml, refuse_unknown_keys


@dataclass(frozen=True)
class SceneDescription:
    """The contents of a ``scene.toml``."""

    cube: ArraySource
    labels: ArraySource
    facts: SceneFacts


def read_description(path: Path, data_root: str | Path | None = None) -> SceneDescription:
    """Read a ``scene.toml`` (format: see the top of this module).

    Parameters
    ----------
    path
        The ``scene.toml``.
    data_root
        Folder to search for files that are not beside it; see `hsi.datasets.catalogue.locate.data_roots`.

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
    cube, labels = (_resolve(values.pop(key), path, data_root) for key in ("cube", "labels"))
    values["class_names"] = values.pop("classes", {})
    values.setdefault("name", cube.file.stem)
    return SceneDescription(cube, labels, SceneFacts(**values))


def _resolve(source: ArraySource, description: Path, data_root: str | Path | None) -> ArraySource:
    """Resolve the path of a file: as named, beside the description, or under a data root."""
    named = user_path(source.file)
    beside = user_path(description.parent / named)  # may be too long only now
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
    """Return a check of a file and the name of the array in it, which is under one of the keys `names`."""

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


@dataclass(frozen=True)
class NewDescription:
    """The text of a ``scene.toml``, the scene that it describes, and what looked odd in its cube."""

    text: str
    scene: Scene
    anomalies: Anomalies
    notes: tuple[str, ...]


def describe_files(cube: ArraySource, labels: ArraySource, out: Path) -> NewDescription:
    """Inspect a cube and its labels and return their ``scene.toml``; nothing is written.

    Parameters
    ----------
    out
        The ``scene.toml`` to be; paths in the text are relative to its folder.

    Raises
    ------
    SceneNotFoundError, FileFormatError, SceneError
        When the two do not make a scene.
    """
    values = read_array(cube.file, ndim=3, key=cube.key, option="cube_key", kind=cube.kind)
    file_no_data = read_facts(cube.file, cube.kind).no_data
    found = find_anomalies(values)
    no_data = math.nan if found.not_finite and file_no_data is None else None
    facts = SceneFacts(name=_short_name(cube.file), no_data=no_data)
    scene = load_files(cube, labels, facts, options=("cube_key", "labels_key"))
    notes = []
    if found.not_finite:
        notes.append(
            f"{found.not_finite} pixels hold values that are no numbers; they count as without data."
        )
    guess = found.no_data
    if file_no_data is None and no_data is None and guess is not None:
        notes.append(
            f"{found.filled[guess]} pixels hold {guess:g} in every band; if that means no data, take the # "
            f"from 'no_data = {guess:g}'."
        )
    return NewDescription(
        _toml_text(cube, labels, out, facts, scene, guess), scene, found, (*scene.notes, *notes)
    )


def _toml_text(
    cube: ArraySource, labels: ArraySource, out: Path, facts: SceneFacts, scene: Scene, guess: float | None
) -> str:
    wavelengths = scene.wavelengths_nm
    no_data = "nan" if guess is None or math.isnan(guess) else f"{guess:g}"
    lines = [
        "# These lines are explained in hsi.datasets.catalogue.description. A line after a # is ignored.",
        f"name = {_quoted(facts.name)}                 # short name, in file names and tables",
        f"title = {_quoted(facts.name)}                # full name",
        f"{'' if scene.sensor else '# '}sensor = {_quoted(scene.sensor or 'AVIRIS')}",
        f"# {scene.rows} x {scene.cols} pixels, {scene.bands} bands, {scene.cube.dtype}",
        f"cube = {_source(cube, out, 'key')}",
        f"labels = {_source(labels, out, 'class_field' if labels.kind in SHAPES else 'key')}",
        "",
        f"# wavelengths_nm = [400.0, 410.0]  # one a band of the file; {_wavelengths(scene)}"
        if wavelengths is None
        else f"# The wavelengths are read from the file: {_wavelengths(scene)}.",
        "# drop_bands = []             # bands to leave out, from 0; default: those that the file calls bad",
        '# bands = "400-1300nm,no-water"',
        f"{'' if facts.no_data is not None else '# '}no_data = {no_data}"
        "                # marks pixels without data; default: what the file says",
        "# unlabelled = [255]          # integers that mean no label, beside 0",
        "# wrapped_negatives = true    # 16-bit values just below 65536 are small negatives",
        "",
        "[classes]                     # code in the label file = name",
        *(
            f"{code} = {_quoted(name)}  # {count} pixels"
            for code, name, count in zip(scene.label_codes, scene.class_names, scene.counts, strict=True)
        ),
        "",
        "[colors]",
        *(f'{code} = "{color}"' for code, color in zip(scene.label_codes, scene.colors, strict=True)),
    ]
    return "\n".join(re.sub(r" {3,}#", "  #", line) for line in lines) + "\n"


def _wavelengths(scene: Scene) -> str:
    if scene.wavelengths_nm is None:
        return "the file has none"
    return f"{scene.wavelengths_nm.min():g} to {scene.wavelengths_nm.max():g} nm"


def _source(source: ArraySource, out: Path, key: str) -> str:
    try:
        path = Path(os.path.relpath(source.file.resolve(), out.resolve().parent)).as_posix()
    except ValueError:  # on Windows, another drive
        path = source.file.resolve().as_posix()
    named = "" if source.key is None else f", {key} = {_quoted(source.key)}"
    return f"{{ file = {_quoted(path)}{named} }}"


def _short_name(path: Path) -> str:
    """Return the name of a file without characters that file names must not have."""
    return re.sub(r'[/\\:*?"<>|\s]+', "-", path.stem).strip(".-") or "scene"


def _quoted(text: str) -> str:
    """Return a TOML string; JSON's escapes are the same but for the delete character."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
