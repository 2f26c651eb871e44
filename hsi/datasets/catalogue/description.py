"""``scene.toml``, the description of a user's own scene.

.. code-block:: toml

    name = "salinas-a"                     # short name; default: the name of the cube file
    title = "Salinas A"
    sensor = "AVIRIS"
    cube = { file = "SalinasA_corrected.mat", key = "salinasA_corrected" }   # or just "cube.npy"
    labels = { file = "SalinasA_gt.mat", key = "salinasA_gt" }
    wavelengths_nm = [400.0, 409.8]        # one a band of the file
    drop_bands = [104, 105]                # of the file, counted from 0; default: those it marks as bad
    bands = "400-1300nm,no-water"          # bands of the file to use, or "0-99,120"; see hsi.datasets.bands
    wavelengths_file = "centres.csv"       # or a text file, a table, or an ENVI header that has them
    no_data = -9999                        # nan also covers infinite values; such pixels lose their label
    exclude = ["cloud"]                    # masks of a product whose pixels count as without data
    crs = "EPSG:32616"                     # of the cube, where its file says none or a wrong one
    labels_crs = "EPSG:4326"               # of points and polygons, likewise
    unlabelled = [255]                     # integers that mean "no label" beside 0
    class_zero = false                     # true: code 0 is a class
    all_touched = false                    # true: polygons label every pixel that they touch
    align = false                          # true: resample a label image that is shifted within a pixel
    wrapped_negatives = false              # true: 16-bit values just below 65536 are small negatives
    synthetic = false                      # true for generated data; it is shown as such

    [classes]                              # code in the label file = name
    1 = "Broccoli green weeds 1"
    10 = "Corn senesced green weeds"

    [colors]                               # optional; others come from the default palette
    1 = "#2fb344"

Only ``cube`` is required, and ``labels`` to train on it; files with metadata have the rest. Labels may be
points or polygons (``labels = { file = "fields.gpkg", layer = "2024", class_field = "crop" }``). With
``test_labels``, and perhaps ``val_labels``, in files of their own, the files make the split. A product may be
taken in its sensor's geometry (``cube = { file = "EMIT_L2A_RFL.nc", raw = true }``).

Paths are relative to the ``scene.toml``; a file that is not there is looked for under the data root
(``--data-root``, ``HSI_DATA``, the download cache), in any letter case and folder, so that a description can
be shared without its data. A ``key`` is needed only where a file holds several arrays that fit.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from hsi.datasets.assemble import SceneFacts
from hsi.datasets.catalogue.locate import data_roots, find_file, user_path
from hsi.datasets.formats.facts import is_crs
from hsi.datasets.formats.readers import ArraySource
from hsi.datasets.labels.read_labels import LabelOptions
from hsi.datasets.scene import is_color
from hsi.errors import ConfigError, HsiError, SceneNotFoundError
from hsi.io.text import read_toml, refuse_unknown_keys


@dataclass(frozen=True)
class SceneDescription:
    """The contents of a ``scene.toml``; `labels` as in `hsi.datasets.assemble.load_files`."""

    cube: ArraySource
    labels: ArraySource | Mapping[str, ArraySource] | None
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
    if "cube" not in table:
        raise ConfigError(f'{path} does not name the file of the cube; add cube = {{ file = "..." }}.')
    if "labels" not in table and (lone := {"test_labels", "val_labels"} & table.keys()):
        raise ConfigError(
            f"{path} has {sorted(lone)[0]} without labels, which are those to train on; add them."
        )
    values = {key: _KINDS[key](value, f"{path}: '{key}'") for key, value in table.items()}
    values["labels"], files = _label_files(values, path, data_root)
    cube = _resolve(values.pop("cube"), path, data_root)
    if "wavelengths_file" in values:
        named = ArraySource(Path(values["wavelengths_file"]))
        values["wavelengths_file"] = _resolve(named, path, data_root).file
    values["class_names"] = values.pop("classes", {})
    return SceneDescription(cube, files, SceneFacts(**values))


def makes_own_split(dataset: object) -> bool:
    """Return whether a scene is a ``scene.toml`` whose label files make its split; False for broken ones."""
    if not isinstance(dataset, str):
        return False
    try:
        path = user_path(dataset)
        path = path / "scene.toml" if path.is_dir() else path
        return path.suffix.lower() == ".toml" and path.is_file() and "test_labels" in read_toml(path)
    except (HsiError, OSError, ValueError):  # told where it is loaded
        return False


def _label_files(
    values: dict[str, Any], path: Path, data_root: str | Path | None
) -> tuple[LabelOptions, ArraySource | dict[str, ArraySource] | None]:
    """Take from `values` how labels are read, and the files that hold them."""
    given = {field.name: values.pop(field.name) for field in fields(LabelOptions) if field.name in values}
    keys = {"train": "labels", "val": "val_labels", "test": "test_labels"}
    files = {
        subset: _resolve(values.pop(key), path, data_root) for subset, key in keys.items() if key in values
    }
    whole = next(iter(files.values()), None)
    return LabelOptions(**given), files if len(files) > 1 else whole


def _resolve(source: ArraySource, description: Path, data_root: str | Path | None) -> ArraySource:
    """Resolve the path of a file: as named, beside the description, or under a data root."""
    named = user_path(source.file)
    beside = user_path(description.parent / named)  # may be too long only now
    if named.is_absolute() or beside.exists():
        return replace(source, file=beside)
    found = find_file(named, data_root)
    if found is None:
        roots = " or ".join(str(root) for root in data_roots(data_root))
        raise SceneNotFoundError(
            f"There is no file {beside}, nor a '{named}' under {roots}; "
            "put it there, or name its folder with --data-root or HSI_DATA."
        )
    return replace(source, file=found)


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


def _crs(value: Any, where: str) -> str:
    if not is_crs(_text(value, where)):
        raise ConfigError(
            f"{where}: {value[:60]!r} is no coordinate system; name one by its code, as EPSG:32616."
        )
    return str(value)


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
            if not code.isdecimal() or len(code) > _LONGEST_CODE:
                raise ConfigError(
                    f"{where}: '{code[:40]}' is no class; use the whole numbers of the label file."
                )
        return {int(code): item(one, f"{where}, class {code}") for code, one in value.items()}

    return check


def _array_source(
    *names: str, other: tuple[str, ...] = (), plain: bool = True
) -> Callable[[Any, str], ArraySource]:
    """Return a check of a file and the name of the array in it, which is under one of the keys `names`.

    `other` are more keys that the table may have: "raw", "layer". For `plain`, see `ArraySource`.
    """

    def check(value: Any, where: str) -> ArraySource:
        if isinstance(value, str):
            return ArraySource(Path(_text(value, where)), plain=plain)
        if not isinstance(value, Mapping):
            raise ConfigError(
                f'{where} must be a file name or {{ file = "...", key = "..." }}, not {value!r}.'
            )
        refuse_unknown_keys(value, ("file", *names, *other), where)
        if "file" not in value:
            raise ConfigError(f'{where} lacks the file; write {{ file = "..." }}.')
        given = [name for name in names if name in value]
        if len(given) > 1:
            raise ConfigError(f"{where} has both {' and '.join(given)}; give the one that suits the file.")
        key = _text(value[given[0]], f"{where}, {given[0]}") if given else None
        layer = _text(value["layer"], f"{where}, layer") if "layer" in value else None
        raw = _flag(value.get("raw", False), f"{where}, raw")
        return ArraySource(Path(_text(value["file"], f"{where}, file")), key, raw, plain, layer)

    return check


_LONGEST_NAME = 100
_LONGEST_CODE = 18  # digits of a 64-bit number

_KINDS: dict[str, Callable[[Any, str], Any]] = {
    "name": _name,
    "title": _text,
    "sensor": _text,
    "cube": _array_source("key", other=("raw",), plain=False),
    "labels": _array_source("key", "class_field", other=("layer",)),
    "test_labels": _array_source("key", "class_field", other=("layer",)),
    "val_labels": _array_source("key", "class_field", other=("layer",)),
    "wavelengths_nm": _list(_wavelength),
    "wavelengths_file": _text,
    "drop_bands": _list(_band),
    "bands": _text,
    "no_data": _number,
    "exclude": _list(_text),
    "crs": _crs,
    "labels_crs": _crs,
    "unlabelled": _list(_integer),
    "class_zero": _flag,
    "all_touched": _flag,
    "align": _flag,
    "wrapped_negatives": _flag,
    "synthetic": _flag,
    "classes": _by_code(_text),
    "colors": _by_code(_color),
}
