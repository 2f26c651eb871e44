"""Files of a sample: the points for an interpreter, and the design that is kept from them.

Who interprets must not know what the map says, so the points carry no class. Which stratum each was drawn
from, and how many pixels that has, stands in ``NAME-design.csv`` beside them.
"""

from __future__ import annotations

import csv
import io
import warnings
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hsi.areas.area_estimates import NOT_RECOGNISED
from hsi.areas.sample_design import SampleDesign
from hsi.errors import ConfigError, install_command
from hsi.io.files import written_together

REFERENCE = "reference"
"""The attribute that the interpreter fills in."""
FORMATS = (".gpkg", ".csv")
DESIGN_COLUMNS = ("id", "row", "col", "stratum", "name", "pixels")


def design_path(path: Path) -> Path:
    """Return where the design of a sample lies.

    >>> design_path(Path("field/points.gpkg")).as_posix()
    'field/points-design.csv'
    """
    return path.with_name(f"{path.stem}-design.csv")


def check_sample_path(path: Path) -> None:
    """Refuse a file that a sample cannot be written to.

    Raises
    ------
    ConfigError
        For another suffix, a missing folder, or packages of the extra ``geo`` that are not installed.
    """
    if path.suffix.lower() not in FORMATS:
        raise ConfigError(f"A sample is written as {' or '.join(FORMATS)}, which '{path}' does not end with.")
    if not path.parent.is_dir():
        raise ConfigError(f"The folder '{path.parent}' for the sample does not exist.")
    missing = [name for name in ("pyogrio", "shapely") if find_spec(name) is None]
    if path.suffix.lower() == ".gpkg" and missing:
        raise ConfigError(
            f"A GeoPackage needs pyogrio and shapely: {install_command('geo')}, or write --out NAME.csv."
        )


def write_sample(
    path: Path,
    sample: SampleDesign,
    class_names: Sequence[str],
    georeference: Mapping[str, Any] | None,
) -> tuple[Path, Path]:
    """Write the points of a sample, and its design beside them; return both paths.

    Parameters
    ----------
    path
        ``NAME.gpkg`` (a layer "sample") or ``NAME.csv``: ``id``, ``row`` and ``col`` from 0, an empty
        ``reference``, and the centre of the pixel in the scene's coordinates. Without a georeference the
        points of a GeoPackage have x = column and y = -row, as a GIS shows such an image.
    georeference
        As in `hsi.Scene`, or None.

    Raises
    ------
    ConfigError
        For another suffix, a missing folder, or pyogrio and shapely not installed.
    StorageError
        When the disk is full or read-only.
    """
    path = Path(path)
    check_sample_path(path)
    centre = np.stack([sample.cols + 0.5, sample.rows + 0.5])
    if georeference is None:
        x, y = centre[0], -centre[1]
    else:
        a, b, left, d, e, top = georeference["transform"]
        x, y = left + a * centre[0] + b * centre[1], top + d * centre[0] + e * centre[1]
    ids = np.arange(1, len(sample) + 1)
    beside = design_path(path)
    names = dict(enumerate([*class_names, NOT_RECOGNISED], start=1))
    design = _csv(
        DESIGN_COLUMNS,
        [
            [n, row, col, stratum, names[stratum], sample.stratum_pixels[stratum]]
            for n, row, col, stratum in zip(
                ids.tolist(), sample.rows.tolist(), sample.cols.tolist(), sample.strata.tolist(), strict=True
            )
        ],
    )
    with written_together([path, beside]) as (points, second):
        second.write_text(design, encoding="utf-8", newline="")
        if path.suffix.lower() == ".csv":
            columns = ["id", "row", "col", *([] if georeference is None else ["x", "y"]), REFERENCE]
            places = [sample.rows, sample.cols, *([] if georeference is None else [x, y])]
            rows = [
                [*values, ""] for values in zip(ids.tolist(), *(one.tolist() for one in places), strict=True)
            ]
            points.write_text(_csv(columns, rows), encoding="utf-8", newline="")
        else:
            _write_geopackage(points, ids, sample, x, y, str((georeference or {}).get("crs") or ""))
    return path, beside


def _csv(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    return text.getvalue()


def _write_geopackage(
    path: Path, ids: NDArray[Any], sample: SampleDesign, x: NDArray[Any], y: NDArray[Any], crs: str
) -> None:
    import pyogrio.raw
    import shapely

    # A name that does not end in .gpkg is one that GDAL warns of, so it writes into memory.
    content = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "'crs' was not provided")  # many benchmark scenes have none
        pyogrio.raw.write(
            content,
            shapely.to_wkb(shapely.points(x, y)),
            [ids, sample.rows, sample.cols, np.full(len(ids), "", dtype=object)],
            ["id", "row", "col", REFERENCE],
            layer="sample",
            driver="GPKG",
            geometry_type="Point",
            crs=crs or None,
        )
    path.write_bytes(content.getvalue())
