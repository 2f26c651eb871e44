"""Reading points and polygons with their attributes: GeoPackage, shapefile, GeoJSON and others, by pyogrio.

GDAL gets bytes that are prepared by `hsi.datasets.labels.vector_sources`. GeoJSON is read here, since GDAL
would fetch its coordinate system from an address. Needs the optional extra ``geo``.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import compress
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hsi.datasets.labels.class_field import choose_field
from hsi.datasets.labels.vector_sources import MOST_BYTES, SOURCES, WGS84, Source
from hsi.errors import FileFormatError, HsiError, install_command, near_miss
from hsi.io.size_limits import check_length
from hsi.io.text import check_nesting, read_json


@dataclass(frozen=True)
class Features:
    """Shapes with their attributes.

    Attributes
    ----------
    shapes
        (N,) shapely geometries; features without one are left out.
    columns
        Attribute -> its N values, None where a feature has none.
    crs
        Coordinate system as text for GDAL, "" if not known; None: that of the cube.
    default_crs
        Whether `crs` is only what the format says where a file says nothing.
    in_pixels
        Whether x and y are columns and rows, (0, 0) the outer corner of the first pixel.
    colors
        "#rrggbb" by class name.
    notes
        One sentence each for what was assumed or left out.
    """

    shapes: NDArray[Any]
    columns: Mapping[str, Sequence[Any]]
    crs: str | None
    default_crs: bool = False
    in_pixels: bool = False
    colors: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def load_shapely(path: Path) -> ModuleType:
    """Return the module shapely; FileFormatError says how to install it where it is missing."""
    try:
        import shapely
    except ImportError:
        raise FileFormatError(
            f"To read {path}, shapely is needed; install it with: {install_command('geo')}"
        ) from None
    module: ModuleType = shapely
    return module


def read_features(
    path: Path, kind: str, layer: str | None = None, class_field: str | None = None
) -> Features:
    """Read the points and polygons of a file.

    Parameters
    ----------
    path, kind
        The file, and its kind as from `hsi.datasets.formats.recognise.recognise`.
    layer
        Name of the layer, in any letter case. Default: the only one with points or polygons and with an
        attribute that could hold the class.
    class_field
        Attribute that such a layer must have; see `hsi.datasets.labels.class_field.read_classes`.

    Raises
    ------
    SceneNotFoundError, FileFormatError
        When the file is damaged, a part of it or the layer is missing, several layers fit, or pyogrio or
        shapely is not installed.
    """
    load_shapely(path)
    check_length(path, MOST_BYTES)
    if kind == "geojson":
        return _read_geojson(path)
    source = _guarded(path, lambda: SOURCES[kind](path))
    return _read_layers(path, source, layer, class_field)


def _guarded(path: Path, read: Callable[[], Any]) -> Any:
    try:
        return read()
    except HsiError:
        raise
    except Exception as error:  # damaged bytes make the readers raise almost any type
        cause = " ".join(str(error).split())[:160] or type(error).__name__
        raise FileFormatError(
            f"{path} is truncated or damaged ({cause}); copy or write all its parts again."
        ) from None


def _read_geojson(path: Path) -> Features:
    shapely = load_shapely(path)
    try:
        table = _read_json_or_lines(path)
        found = table["features"] if table["type"] == "FeatureCollection" else [table]
        found = [one for one in found if one.get("geometry")]
        crs = table.get("crs")
        name = WGS84 if crs is None else str(crs["properties"].get("name", ""))
        rows = [one.get("properties") or {} for one in found]
        for key, ones in (("geometry", (one["geometry"] for one in found)), ("properties", rows)):
            if not all(isinstance(one, dict) for one in ones):
                raise ValueError(f"a feature whose {key} is no object")
        texts = np.array([json.dumps(one["geometry"]) for one in found], dtype=object)
        shapes = shapely.from_geojson(texts, on_invalid="ignore")
    except HsiError:
        raise
    except Exception as error:  # shapely raises its own types
        cause = " ".join(str(error).split())[:160] or type(error).__name__
        raise FileFormatError(
            f"{path} is not a GeoJSON file that can be read ({cause}); write it again."
        ) from None
    names = dict.fromkeys(name for row in rows for name in row)
    columns = {name: [row.get(name) for row in rows] for name in names}
    return _without_broken(Features(shapes, columns, name, default_crs=crs is None))


def _without_broken(features: Features) -> Features:
    """Return features without those whose shape could not be read."""
    there = [shape is not None for shape in features.shapes]
    if all(there):
        return features
    return replace(
        features,
        shapes=features.shapes[np.array(there, bool)],
        columns={name: [*compress(values, there)] for name, values in features.columns.items()},
        notes=(
            *features.notes,
            f"{there.count(False)} features have no shape that can be read; they are left out.",
        ),
    )


def _read_json_or_lines(path: Path) -> dict[str, Any]:
    """Return a GeoJSON object; a sequence of features, one a line (RFC 8142), as a collection."""
    try:
        return dict(read_json(path, most=MOST_BYTES))
    except ValueError:
        lines = path.read_text(encoding="utf-8-sig").replace("\x1e", "").splitlines()
        lines = [line for line in lines if line.strip()]
        if len(lines) < 2 or not all(line.rstrip().endswith("}") for line in lines):
            raise
        features = [json.loads(line, parse_constant=_no_number) for line in lines]
        check_nesting(features)
        return {"type": "FeatureCollection", "features": features}


def _no_number(word: str) -> float:
    raise ValueError(f"{word} is no number in JSON")


def _read_layers(path: Path, source: Source, layer: str | None, class_field: str | None) -> Features:
    try:
        import pyogrio
    except ImportError:
        raise FileFormatError(
            f"To read {path}, pyogrio is needed; install it with: {install_command('geo')}"
        ) from None

    def listed() -> dict[str, int]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what does not prevent reading
            return {
                # Bytes have no name, so that GDAL cannot name the layer by it, as it does for files.
                path.stem if str(name).startswith("pyogrio_") else str(name): number
                for number, (name, kind) in enumerate(pyogrio.list_layers(source.content))
                if kind is not None and (source.layers is None or name in source.layers)
            }

    numbers: dict[str, int] = _guarded(path, listed)
    names = [*numbers]
    if not names:
        raise FileFormatError(f"{path} holds no layer with points or polygons.")
    if layer is not None:
        chosen = [name for name in names if name == layer] or [
            name for name in names if name.casefold() == layer.casefold()
        ]
        if not chosen and not (len(names) == 1 and layer.casefold() == path.stem.casefold()):
            raise FileFormatError(
                f"{path} has no layer '{layer}'.{near_miss(layer, names)} It has: {', '.join(names)}."
            )
        names = chosen[:1] or names
    if len(names) > _MOST_LAYERS:
        raise FileFormatError(f"{path} has {len(names):,} layers; name one with --layer, or merge them.")
    _guarded(path, partial(_check_driver, source, numbers[names[0]]))
    layers = {name: _guarded(path, partial(_read_layer, source, numbers[name])) for name in names}
    drawn = {name: one for name, one in layers.items() if has_area_or_points(one.shapes)} or layers
    if len(drawn) > 1 and source.folders:
        return _joined(drawn)
    if len(drawn) > 1:
        fitting = {name: one for name, one in drawn.items() if _has_class(path, one, class_field)}
        if len(fitting) != 1:
            raise FileFormatError(
                f"{path} has {len(drawn)} layers that could hold the labels: {', '.join(drawn)}; name one "
                "with --layer (layer in a scene.toml)."
            )
        drawn = fitting
    ((name, only),) = drawn.items()
    notes = only.notes + ((f"The labels are those of the layer '{name}'.",) if len(names) > 1 else ())
    return replace(only, notes=notes)


def _has_class(path: Path, features: Features, class_field: str | None) -> bool:
    try:
        choose_field(path, features.columns, class_field)
    except FileFormatError:
        return False
    return True


def _joined(layers: Mapping[str, Features]) -> Features:
    """Return the folders of a document as one layer, with the name of the folder as an attribute."""
    first = next(iter(layers.values()))
    names = dict.fromkeys(name for one in layers.values() for name in one.columns)
    columns: dict[str, list[Any]] = {
        name: [v for one in layers.values() for v in one.columns.get(name, [None] * len(one.shapes))]
        for name in names
    }
    columns["folder"] = [name for name, one in layers.items() for _ in one.shapes]
    return replace(first, shapes=np.concatenate([one.shapes for one in layers.values()]), columns=columns)


def has_area_or_points(shapes: NDArray[Any]) -> bool:
    """Whether one of some geometries, taken apart, is a point or a polygon, and not empty."""
    import shapely

    parts = shapely.get_parts(shapely.get_parts(shapely.get_parts(shapes)))  # collections of collections
    return bool((np.isin(shapely.get_type_id(parts), (0, 3)) & ~shapely.is_empty(parts)).any())


_MOST_LAYERS = 1000  # GDAL reads the whole file for each


def _check_driver(source: Source, number: int) -> None:
    """Raise ValueError where GDAL takes the bytes for another format."""
    import pyogrio

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        info = pyogrio.read_info(source.content, layer=number, encoding=source.encoding, **source.options)
    if info["driver"] not in source.drivers:
        raise ValueError(f"it was taken for {info['driver']}")


def _read_layer(source: Source, number: int) -> Features:
    import pyogrio.raw
    import shapely

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        meta, _, geometry, values = pyogrio.raw.read(
            source.content, layer=number, encoding=source.encoding, force_2d=True, **source.options
        )
        shapes = shapely.from_wkb(geometry, on_invalid="ignore")
    columns = {
        str(field): [_plain(value) for value in np.asarray(column).tolist()]
        for field, column in zip(meta["fields"], values, strict=True)
    }
    crs = source.crs if source.crs is not None else str(meta["crs"] or "")
    return _without_broken(Features(shapes, columns, crs, default_crs=source.default_crs, notes=source.notes))


def _plain(value: Any) -> Any:
    """Return a value of a table, None for the not-a-number that stands for a missing one."""
    return None if isinstance(value, float) and value != value else value
