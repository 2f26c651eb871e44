"""Rasterising points and polygons to a label map on a scene's grid.

A pixel gets the class of the polygon that contains its centre, or of the point inside it. A pixel with
features of two classes stays unlabelled. Lines give no label. Needs the optional extra ``geo``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hsi.datasets.formats.facts import is_crs
from hsi.datasets.formats.rasters import load_rasterio
from hsi.datasets.formats.recognise import recognise
from hsi.datasets.labels.class_field import ShapeClasses, read_classes
from hsi.datasets.labels.label_map import MOST_CLASSES
from hsi.datasets.labels.label_points import read_points
from hsi.datasets.labels.roi_files import read_roi_text, read_roi_xml
from hsi.datasets.labels.vectors import Features, has_area_or_points, load_shapely, read_features
from hsi.errors import FileFormatError, SceneError

NO_CODE = -(2**31)
"""Stands for unlabelled where 0 is a class; no file's code, since these have nine digits at most."""


@dataclass(frozen=True)
class DrawnLabels:
    """Labels that were drawn, on the grid of a cube.

    Attributes
    ----------
    labels
        (rows, cols) int64 with the codes of the file; `unlabelled` where there is none.
    class_names, colors
        Code -> name, "#rrggbb", where the file has them.
    notes
        One sentence each for what was assumed or left out.
    unlabelled
        0, or `NO_CODE` where 0 is a class.
    """

    labels: NDArray[np.int64]
    class_names: dict[int, str]
    notes: tuple[str, ...]
    colors: dict[int, str] = field(default_factory=dict)
    unlabelled: int = 0


def draw_labels(
    path: Path,
    size: tuple[int, int],
    georeference: Mapping[str, Any] | None,
    class_field: str | None = None,
    *,
    layer: str | None = None,
    labels_crs: str | None = None,
    all_touched: bool = False,
    class_zero: bool = False,
) -> DrawnLabels:
    """Read points and polygons and rasterise them.

    Parameters
    ----------
    path
        A GeoPackage, GeoJSON, TopoJSON, FlatGeobuf, KML, KMZ, GML, GPX or MapInfo file, the ``.shp`` of a
        shapefile, a table of points (CSV), or ENVI regions of interest as text or XML.
    size, georeference
        (rows, cols) of the scene, and its georeference as in `hsi.datasets.formats.facts.FileFacts`.
    class_field
        Name of the attribute that holds the class, in any letter case. Default: the only one that fits, usual
        names such as ``class`` first; see `hsi.datasets.labels.class_field.read_classes`.
    layer
        Layer of a file with several. Default: the only one that fits.
    labels_crs
        Coordinate system of the file as ``EPSG:n``, WKT or PROJ string, instead of the one that it names.
    all_touched
        Whether a polygon labels every pixel that it touches, and not only those whose centre it contains.
    class_zero
        Whether code 0 is a class. Otherwise it means unlabelled, which a note says where it occurs.

    Raises
    ------
    SceneNotFoundError, FileFormatError
        For a damaged file, one without coordinate system, or a layer or attribute that is missing or not
        clear.
    SceneError
        When the scene is not georeferenced, or nothing lies on it.
    """
    rasterio = load_rasterio(path)
    load_shapely(path)
    if labels_crs is not None and not is_crs(labels_crs):
        raise SceneError(
            f"'{labels_crs[:60]}' is no coordinate system; name one by its code, such as --labels-crs "
            "EPSG:32616."
        )
    features = read_shapes(path, size, georeference, layer, class_field)
    if not has_area_or_points(features.shapes):
        raise FileFormatError(f"{path} holds no point and no polygon.")
    classes = read_classes(path, features.columns, class_field)
    if len({*classes.codes}) > MOST_CLASSES:
        raise FileFormatError(
            f"{path} has {len({*classes.codes})} classes; does that attribute hold the class? Name another "
            "with --class-field."
        )
    features, placing = place_shapes(rasterio, path, features, georeference, labels_crs)
    drawing = _Drawing(size, all_touched, class_zero)
    mending = drawing.add(rasterio, path, features.shapes, classes.codes)
    if drawing.outside == drawing.features > 0:
        raise SceneError(
            f"None of the {drawing.features} features in {path} lies on the cube; check the order of x and "
            "y, and both coordinate systems (--labels-crs and --crs replace those in the files)."
        )
    notes = [*features.notes, *classes.notes, *placing, *mending, *drawing.notes(path, classes)]
    number = {name: code for code, name in classes.names.items()}
    colors = {number[name]: color for name, color in features.colors.items() if name in number}
    return DrawnLabels(drawing.finished(), classes.names, tuple(notes), colors, drawing.unlabelled)


def read_shapes(
    path: Path,
    size: tuple[int, int],
    georeference: Mapping[str, Any] | None,
    layer: str | None = None,
    class_field: str | None = None,
) -> Features:
    """Read the points and polygons of any file; arguments and errors as in `draw_labels`."""
    kind = recognise(path)
    if kind == "points":
        return read_points(path, size, None if georeference is None else str(georeference["crs"]))
    if kind == "roi_text":
        return read_roi_text(path, size)
    if kind == "roi_xml":
        return read_roi_xml(path)
    return read_features(path, kind, layer, class_field)


def place_shapes(
    rasterio: Any,
    path: Path,
    features: Features,
    georeference: Mapping[str, Any] | None,
    labels_crs: str | None,
) -> tuple[Features, list[str]]:
    """Return features in pixel coordinates (x = column, y = row, from the outer corner), and notes.

    `rasterio` is the module; other arguments and errors as in `draw_labels`.
    """
    import shapely

    if features.in_pixels:
        if labels_crs is not None:
            return features, [f"{path.name} gives pixels, not coordinates; --labels-crs has no effect."]
        return features, []
    target = None if georeference is None else str(georeference["crs"])
    source = labels_crs or (target if features.crs is None else features.crs)
    if georeference is None or (not target and source != target):
        raise SceneError(
            f"{path} holds coordinates, but the cube has no coordinate system to place them; "
            + (
                "use a georeferenced cube (GeoTIFF, or ENVI with map info), or give a label image."
                if georeference is None
                else "name that of the cube with --crs EPSG:... (crs in a scene.toml)."
            )
        )
    if source == "" and target:
        beside = f" (in {path.stem}.prj beside it)" if path.suffix.lower() == ".shp" else ""
        raise FileFormatError(
            f"{path} does not name its coordinate system{beside}; give it with --labels-crs EPSG:... "
            f"(labels_crs in a scene.toml), {_short(target)} if it is that of the cube."
        )
    notes = []
    if labels_crs and features.crs and not features.default_crs and features.crs != labels_crs:
        notes.append(
            f"The coordinates in {path.name} are taken for {labels_crs}, and not for {_short(features.crs)}."
        )
    xy, owner = shapely.get_coordinates(features.shapes, return_index=True)
    if not np.isfinite(xy).all():
        raise FileFormatError(f"{path} holds a coordinate that is no finite number; write it again.")
    if source != target:
        assert source is not None, "only without a cube's coordinate system, which was refused"
        assert target is not None, "it was refused"
        xy = _to_cube(rasterio, path, xy, source, target, features.default_crs and not labels_crs)
    a, b, x, d, e, y = georeference["transform"]
    pixels = np.linalg.solve([[a, b], [d, e]], (xy - [x, y]).T).T
    finite = np.isfinite(pixels)
    shapes = shapely.set_coordinates(features.shapes.copy(), np.where(finite, pixels, -1.0))
    shapes[owner[~finite.all(axis=1)]] = shapely.Point(-1, -1)  # too far off for the cube's system
    return replace(features, shapes=shapes), notes


def _short(crs: str) -> str:
    """Return a coordinate system by its code or the name in its WKT."""
    return crs if len(crs) <= 20 or '"' not in crs else crs.split('"')[1][:60]


def _to_cube(
    rasterio: Any, path: Path, xy: NDArray[Any], source: str, target: str, by_default: bool
) -> NDArray[np.float64]:
    """Return coordinates (N, 2) in the system of the cube."""
    for text in (source, target):
        if not is_crs(text):
            raise FileFormatError(
                f"{path} cannot be brought to the cube's coordinates: '{text[:60]}' is no coordinate system; "
                "name one by its code, such as EPSG:32616."
            )
    try:
        with rasterio.Env():  # silences GDAL's own messages
            start, end = (rasterio.crs.CRS.from_user_input(text) for text in (source, target))
            far = np.abs(xy).max(axis=0)
            if start.is_geographic and (far > [360.1, 90.1]).any():
                raise _NoDegreesError
            moved = np.array(rasterio.warp.transform(start, end, xy[:, 0], xy[:, 1])).T
    except _NoDegreesError:
        first = ", ".join(f"{value:.0f}" for value in xy[0])
        why = (
            "GeoJSON without a 'crs' means longitude and latitude"
            if by_default and source == "OGC:CRS84"
            else f"{_short(source)} means longitude and latitude"
        )
        raise FileFormatError(
            f"The coordinates in {path} look like metres ({first}), but {why}; name their system with "
            f"--labels-crs EPSG:... (labels_crs in a scene.toml), {_short(target)} if it is that of the cube."
        ) from None
    except Exception as error:  # GDAL and PROJ raise almost any type
        cause = " ".join(str(error).split())[:160] or type(error).__name__
        raise FileFormatError(f"{path} cannot be brought to the cube's coordinates: {cause}.") from None
    return moved


class _NoDegreesError(Exception):
    """Coordinates that are no degrees in a system of degrees."""


_POINT, _POLYGON = 0, 3  # type numbers of shapely


class _Drawing:
    """A label map to which features are added; x and y are in pixels."""

    def __init__(self, size: tuple[int, int], all_touched: bool, class_zero: bool) -> None:
        self.unlabelled = NO_CODE if class_zero else 0
        self.features = self.outside = 0  # points and polygons, and those off the grid
        self._all_touched = all_touched
        self._labels = np.full(size, NO_CODE, np.int64)
        self._contested = np.zeros(size, bool)
        self._zeros = np.zeros(size, bool)
        self._class_zero = class_zero
        self._polygons = 0
        self._without_centre: list[int] = []

    def add(self, rasterio: Any, path: Path, shapes: NDArray[Any], codes: Sequence[int | None]) -> list[str]:
        """Draw features, and return notes of those that are no plain points and polygons."""
        import shapely

        single = (shapely.get_type_id(shapes) == _POINT) & ~shapely.is_empty(shapes)
        self._add_points(
            shapely.get_coordinates(shapes[single]), [c for c, one in zip(codes, single, strict=True) if one]
        )
        crossing = lines = empty = 0
        for shape, code in zip(
            shapes[~single], (c for c, one in zip(codes, single, strict=True) if not one), strict=True
        ):
            parts = shapely.get_parts(
                shapely.get_parts(shapely.get_parts([shape]))
            )  # collections of collections
            kinds = shapely.get_type_id(parts)
            polygons = [part for part in parts[kinds == _POLYGON] if not part.is_empty]
            points = shapely.get_coordinates(parts[kinds == _POINT])
            if not polygons and not len(points):
                has_line = bool(np.isin(kinds, (1, 2)).any())
                lines, empty = lines + has_line, empty + (not has_line)
                continue
            crossing += not all(polygon.is_valid for polygon in polygons)
            try:
                self._add(rasterio, polygons, points, code)
            except Exception as error:  # GDAL raises almost any type
                raise FileFormatError(f"{path} holds a shape that cannot be drawn: {error}.") from None
        counts = (
            (crossing, "polygons cross themselves; what an odd number of rings surrounds is taken as inside"),
            (lines, "features are lines; they give no label"),
            (empty, "features are empty; they give no label"),
        )
        return [f"{count} {what}." for count, what in counts if count]

    def _add_points(self, xy: NDArray[np.float64], codes: Sequence[int | None]) -> None:
        cols, rows = np.floor(xy).T
        inside = (rows >= 0) & (rows < self._labels.shape[0]) & (cols >= 0) & (cols < self._labels.shape[1])
        self.features += len(inside)
        self.outside += int((~inside).sum())
        of_point = np.array([NO_CODE if code is None else code for code in codes], np.int64)
        for number in np.unique(of_point):
            mine = inside & (of_point == number)
            covered = np.zeros(self._labels.shape, bool)
            covered[rows[mine].astype(np.int64), cols[mine].astype(np.int64)] = True
            self._claim((slice(None), slice(None)), covered, None if number == NO_CODE else int(number))

    def _add(
        self, rasterio: Any, polygons: Sequence[Any], points: NDArray[np.float64], code: int | None
    ) -> None:
        """Draw one feature; the code None is no class."""
        on_grid = False
        drawn = 0
        size = np.array(self._labels.shape)
        for polygon in polygons:
            left, top, right, bottom = polygon.bounds
            first = np.clip(np.floor([top, left]), 0, size).astype(int)
            last = np.clip(np.ceil([bottom, right]), 0, size).astype(int)
            if (first >= last).any():
                continue
            on_grid = True
            window = (slice(first[0], last[0]), slice(first[1], last[1]))
            covered = rasterio.features.rasterize(
                [_near(polygon, self._labels.shape)],
                out_shape=tuple(last - first),
                transform=rasterio.Affine.translation(first[1], first[0]),
                all_touched=self._all_touched,
                dtype="uint8",
            )
            drawn += self._claim(window, covered > 0, code)
        for col, row in np.floor(points):
            if 0 <= row < size[0] and 0 <= col < size[1]:
                on_grid = True
                window = (slice(int(row), int(row) + 1), slice(int(col), int(col) + 1))
                drawn += self._claim(window, np.ones((1, 1), bool), code)
        self.features += 1
        self.outside += not on_grid
        if polygons and on_grid:
            self._polygons += 1
            if not drawn and code is not None:
                self._without_centre.append(code)

    def _claim(self, window: tuple[slice, slice], covered: NDArray[np.bool_], code: int | None) -> int:
        """Give pixels of a window to a class, and return how many there are."""
        if code == 0 and not self._class_zero:
            self._zeros[window] |= covered
        elif code is not None:
            labels = self._labels[window]
            self._contested[window] |= covered & (labels != NO_CODE) & (labels != code)
            labels[covered & (labels == NO_CODE)] = code
        return int(covered.sum())

    def finished(self) -> NDArray[np.int64]:
        """Return the label map."""
        return np.where(self._contested | (self._labels == NO_CODE), self.unlabelled, self._labels)

    def notes(self, path: Path, classes: ShapeClasses) -> list[str]:
        """Return a sentence for each thing that gave no label."""
        notes = []
        if self.outside:
            notes.append(f"{self.outside} of {self.features} features in {path.name} lie outside the scene.")
        if self._contested.any():
            notes.append(
                f"{self._contested.sum()} pixels lie in features of two classes; they are unlabelled."
            )
        zeros = int(self._zeros.sum())
        if zeros or (0 in classes.codes and not self._class_zero):
            notes.append(
                f"Code 0 covers {zeros} pixels and is taken as unlabelled; --class-zero (class_zero in a "
                "scene.toml) makes it a class."
            )
        if self._without_centre:
            labels = self.finished()
            gone = [code for code in sorted({*self._without_centre}) if not (labels == code).any()]
            words = f" ({_listed(gone, classes.names)})" if gone else ""
            verb = "hold" if len(self._without_centre) != 1 else "holds"
            notes.append(
                f"{len(self._without_centre)} of {self._polygons} polygons {verb} no pixel centre{words}; "
                "--all-touched (all_touched in a scene.toml) takes every pixel that a polygon touches."
            )
        return notes


_FAR = 1e6  # pixels; GDAL follows an edge pixel by pixel, which would take it forever


def _near(polygon: Any, size: Sequence[int]) -> Any:
    """Return a polygon, cut at some distance from the grid where it reaches much further."""
    import shapely

    if max(map(abs, polygon.bounds)) <= _FAR + max(size):
        return polygon
    rows, cols = size
    return shapely.clip_by_rect(polygon, -_FAR, -_FAR, cols + _FAR, rows + _FAR)


def _listed(codes: Sequence[int], names: Mapping[int, str]) -> str:
    shown = ", ".join(names.get(code, str(code)) for code in codes[:8]) + (", ..." if len(codes) > 8 else "")
    return f"{'class' if len(codes) == 1 else 'classes'} {shown} {'has' if len(codes) == 1 else 'have'} none"
