"""Reading an interpreted sample: points with the true class, and the design that they were drawn by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hsi.areas.area_estimates import OTHER
from hsi.areas.sample_files import DESIGN_COLUMNS, REFERENCE, design_path
from hsi.datasets.formats.rasters import load_rasterio
from hsi.datasets.formats.recognise import SHAPES, recognise
from hsi.datasets.labels.rasterize import place_shapes, read_shapes
from hsi.errors import FileFormatError, InputError, near_miss
from hsi.io.text import read_rows


@dataclass(frozen=True)
class ReferenceSample:
    """Sample units with the class that an interpreter gave them.

    Attributes
    ----------
    rows, cols
        ``(n,)`` places of the pixels, from 0, all on the scene.
    reference
        ``(n,)`` classes 1..C, and C + 1 for ground that is none of them.
    strata
        ``(n,)`` stratum that each was drawn from, or None where the file has no design.
    stratum_pixels, stratum_names
        Of the design; empty without one.
    notes
        One sentence each for what was left out or assumed.
    """

    rows: NDArray[np.int64]
    cols: NDArray[np.int64]
    reference: NDArray[np.int64]
    strata: NDArray[np.int64] | None = None
    stratum_pixels: Mapping[int, int] = field(default_factory=dict)
    stratum_names: Mapping[int, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def read_sample(
    path: str | Path,
    class_names: Sequence[str],
    shape: tuple[int, int],
    georeference: Mapping[str, Any] | None,
    *,
    class_field: str = REFERENCE,
    layer: str | None = None,
    labels_crs: str | None = None,
    design: str | Path | None = None,
) -> ReferenceSample:
    """Read an interpreted sample: points with the class that the interpreter saw.

    The class is a name, in any letter case, or a number from 1 in the order of `class_names`; ``other`` is
    ground that is none of them. A unit of a design keeps the pixel that was drawn, wherever its point is now.

    Parameters
    ----------
    path
        A GeoPackage, shapefile, GeoJSON, CSV or another file of points; see `hsi.datasets.labels.rasterize`.
    shape, georeference
        (rows, cols) of the scene, and its georeference as in `hsi.Scene`.
    class_field
        Attribute with the class, in any letter case.
    layer, labels_crs
        Layer of a file with several; coordinate system in place of the one in the file.
    design
        The design file; default: ``NAME-design.csv`` beside the points, if it is there.

    Raises
    ------
    SceneNotFoundError, FileFormatError, SceneError
        For a file that is missing, damaged, or without a place on the scene.
    InputError
        For shapes that are no points, a missing attribute, classes that are not known, or no point left.
    """
    path = Path(path)
    kind = recognise(path)
    if kind not in SHAPES:
        raise InputError(f"'{path}' is no file of points; give a GeoPackage, shapefile, GeoJSON or CSV.")
    features = read_shapes(path, shape, georeference, layer, class_field)
    columns = {name.casefold(): values for name, values in features.columns.items()}
    if class_field.casefold() not in columns:
        raise InputError(
            f"{path} has no attribute '{class_field}'.{near_miss(class_field, features.columns)} It has: "
            f"{', '.join(features.columns) or 'none'}; name the one with the class with --class-field."
        )
    rows, cols, notes = _places(path, features, columns, shape, georeference, labels_crs)
    found = _design(path, design)
    there, drawn = np.ones(len(rows), bool), None
    if found is not None:
        drawn = found.rows_of(_integers(columns.get("id")), rows, cols)
        there = drawn >= 0
        moved = there & ((rows != found.rows[drawn]) | (cols != found.cols[drawn]))
        if moved.sum() > there.sum() / 2:
            raise InputError(
                f"{_some(moved)} in {path} do not lie where {found.path} has them; "
                "name the design that they were drawn by with --design, or move that file away."
            )
        if moved.any():
            notes.append(f"{_some(moved)} do not lie in the pixel that was drawn; they count for that one.")
        if not there.all():
            notes.append(
                f"{_some(~there)} are not in {found.path.name}; they are no part of the random sample and "
                "are left out."
            )
        rows, cols = np.where(there, found.rows[drawn], rows), np.where(there, found.cols[drawn], cols)
    notes = [*features.notes, *notes]
    inside = (rows >= 0) & (rows < shape[0]) & (cols >= 0) & (cols < shape[1])
    if (there & ~inside).any():
        notes.append(f"{_some(there & ~inside)} lie outside the scene; they are left out.")
    reference = _classes(path, columns[class_field.casefold()], class_names, class_field)
    empty = there & inside & (reference == 0)
    if empty.any():
        notes.append(
            f"{_some(empty)} have no '{class_field}'; they are left out, as if they had been "
            "missed by chance."
        )
    kept = there & inside & (reference > 0)
    kept &= _single(rows, cols, reference, kept, notes)
    if not kept.any():
        raise InputError(
            f"No point of {path} lies on the scene and has a '{class_field}'; fill it in with class names."
        )
    extra: dict[str, Any] = {}
    if found is not None and drawn is not None:
        extra = {
            "strata": found.strata[drawn[kept]],
            "stratum_pixels": found.pixels,
            "stratum_names": found.names,
        }
    return ReferenceSample(rows[kept], cols[kept], reference[kept], notes=tuple(notes), **extra)


def _some(which: NDArray[np.bool_], what: str = "points") -> str:
    """Return how many of how many."""
    return f"{int(which.sum())} of {len(which)} {what}"


@dataclass(frozen=True)
class _Design:
    """The rows of a design file."""

    path: Path
    ids: NDArray[np.int64]
    rows: NDArray[np.int64]
    cols: NDArray[np.int64]
    strata: NDArray[np.int64]
    pixels: dict[int, int]
    names: dict[int, str]

    def rows_of(
        self, ids: NDArray[np.int64] | None, rows: NDArray[np.int64], cols: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        """Return the line of each point, by its id, else by its pixel; -1 where there is none."""
        if ids is not None and np.isin(ids, self.ids).any():
            line = {number: at for at, number in enumerate(self.ids.tolist())}
            return np.array([line.get(number, -1) for number in ids.tolist()], np.int64)
        own, wanted = (
            zip(one.tolist(), two.tolist(), strict=True)
            for one, two in ((self.rows, self.cols), (rows, cols))
        )
        at_pixel = {pixel: at for at, pixel in enumerate(own)}
        return np.array([at_pixel.get(pixel, -1) for pixel in wanted], np.int64)


def _design(path: Path, given: str | Path | None) -> _Design | None:
    beside = design_path(path) if given is None else Path(given)
    if given is None and not beside.is_file():
        return None
    table = read_rows(beside, DESIGN_COLUMNS, "hsi sample")
    try:
        ids, rows, cols, strata, pixels = (
            np.array([int(row[name]) for row in table], np.int64)
            for name in ("id", "row", "col", "stratum", "pixels")
        )
    except (ValueError, OverflowError):
        raise FileFormatError(
            f"{beside} holds something else than whole numbers; draw the sample anew."
        ) from None
    names = {int(row["stratum"]): row["name"] for row in table}
    sizes = dict(zip(strata.tolist(), pixels.tolist(), strict=True))
    if (
        not sizes
        or min(sizes.values()) < 1
        or any(sizes[one] != n for one, n in zip(strata.tolist(), pixels.tolist(), strict=True))
    ):
        raise FileFormatError(f"{beside} gives a stratum two sizes, or none; draw the sample anew.")
    return _Design(beside, ids, rows, cols, strata, sizes, names)


def _integers(values: Sequence[Any] | None) -> NDArray[np.int64] | None:
    """Return whole numbers, -1 for anything else; None where there are none."""
    if values is None:
        return None
    numbers = []
    for value in values:
        try:
            number = int(float(value))
        except (TypeError, ValueError, OverflowError):
            number = -1
        numbers.append(number if 0 <= number < 2**53 else -1)
    return np.array(numbers, np.int64)


def _places(
    path: Path,
    features: Any,
    columns: Mapping[str, Sequence[Any]],
    shape: tuple[int, int],
    georeference: Mapping[str, Any] | None,
    labels_crs: str | None,
) -> tuple[NDArray[np.int64], NDArray[np.int64], list[str]]:
    """Return row and column of each point, -1 off any grid, and notes."""
    import shapely

    if georeference is None and not features.in_pixels and {"row", "col"} <= columns.keys():
        rows, cols = _integers(columns["row"]), _integers(columns["col"])
        if rows is not None and cols is not None:
            return rows, cols, [f"The pixels are those of 'row' and 'col' in {path.name}, counted from 0."]
    placed, notes = place_shapes(load_rasterio(path), path, features, georeference, labels_crs)
    shapes = placed.shapes
    single = (shapely.get_num_geometries(shapes) == 1) & np.isin(shapely.get_type_id(shapes), (0, 4))
    if not single.all():
        raise InputError(
            f"{_some(~single, 'shapes')} in {path} are no single points; a sample has one point a unit."
        )
    xy = np.floor(np.clip(shapely.get_coordinates(shapes), -1, max(shape) + 1)).astype(np.int64)
    return xy[:, 1], xy[:, 0], notes


def _classes(
    path: Path, values: Sequence[Any], class_names: Sequence[str], class_field: str
) -> NDArray[np.int64]:
    """Return the class of each unit, 0 where it has none."""
    known = {_key(name): number for number, name in enumerate(class_names, start=1)}
    known.setdefault(OTHER, len(class_names) + 1)
    for number in range(1, len(class_names) + 1):
        known.setdefault(str(number), number)
    found, strange = [], []
    for value in values:
        text = "" if value is None else _key(f"{value:g}" if isinstance(value, float) else str(value))
        found.append(known.get(text, 0))
        if text and text not in known:
            strange.append(str(value).strip())
    if strange:
        shown = ", ".join(f"'{one[:40]}'" for one in dict.fromkeys(strange))
        raise InputError(
            f"{len(strange)} points in {path} have a '{class_field}' that is no class of the map: "
            f"{shown[:200]}.{near_miss(strange[0], class_names)} Known: {', '.join(class_names)}, their "
            f"numbers from 1, and '{OTHER}' for ground that is none of them."
        )
    return np.array(found, np.int64)


def _key(text: str) -> str:
    return " ".join(text.split()).casefold()


def _single(
    rows: NDArray[np.int64],
    cols: NDArray[np.int64],
    reference: NDArray[np.int64],
    among: NDArray[np.bool_],
    notes: list[str],
) -> NDArray[np.bool_]:
    """Return which units stay where several lie in one pixel: one where they agree, else none."""
    first: dict[tuple[int, int], int] = {}
    kept, torn = among.copy(), set()
    for at in np.flatnonzero(among).tolist():
        pixel = int(rows[at]), int(cols[at])
        earlier = first.setdefault(pixel, at)
        if earlier != at:
            kept[at] = False
            if reference[at] != reference[earlier]:
                torn.add(earlier)
    kept[[*torn]] = False
    gone = among & ~kept
    if gone.any():
        torn_apart = f", or not at all where its points disagree ({len(torn)} pixels)" if torn else ""
        notes.append(
            f"{_some(gone)} are left out, since they share a pixel with another: each pixel counts once"
            f"{torn_apart}."
        )
    return kept
