"""Cubes and labels with the troubles that files have in practice: one row a trouble, read or refused.

`python -m tests.datasets.test_files_as_they_come` prints the rows as a table.
"""

from __future__ import annotations

import gzip
import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io
import scipy.sparse

from hsi.datasets.assemble import SceneFacts, load_files, unlabelled_scene
from hsi.datasets.formats.readers import ArraySource, open_cube
from hsi.datasets.labels.read_labels import LabelOptions
from hsi.datasets.scene import Scene
from hsi.errors import InputError

rasterio = pytest.importorskip("rasterio")
pyogrio = pytest.importorskip("pyogrio")
shapely = pytest.importorskip("shapely")

ROWS, COLS, BANDS = 14, 11, 5
NM = [450.0, 550.0, 650.0, 750.0, 850.0]
LEFT, TOP, PIXEL = 300_000.0, 5_200_000.0, 20.0
CRS = "EPSG:32633"
CUBE = np.random.default_rng(7).integers(200, 3000, (ROWS, COLS, BANDS)).astype("<u2")
GT = np.zeros((ROWS, COLS), np.uint8)
GT[:5], GT[5:9], GT[11:, 6:] = 1, 2, 3
COUNTS = [int((code == GT).sum()) for code in (1, 2, 3)]
NAMES = ("none", "wheat", "barley", "oak")
RED_GREEN_BLUE = np.array([[0, 0, 0], [200, 30, 30], [30, 200, 30], [30, 30, 200]], np.uint8)


@dataclass(frozen=True)
class Case:
    """A file with a trouble: how to make it, and what reading it must give.

    `make` writes into a folder and returns cube and labels (None: described without). `notes` and `refused`
    are parts of sentences.
    """

    name: str
    make: Callable[[Path], tuple[Path, Path | None]]
    notes: tuple[str, ...] = ()
    refused: str = ""
    nm: tuple[float, ...] | None = None
    bands: tuple[int, ...] = tuple(range(BANDS))
    counts: list[int] | None = None
    names: tuple[str, ...] | None = None
    cube_key: str | None = None
    labels_key: str | None = None
    options: LabelOptions = field(default_factory=LabelOptions)
    facts: dict[str, Any] | None = None
    silent: bool = False


def envi(
    folder: Path,
    text: str = "",
    *,
    array: np.ndarray = CUBE,
    code: int = 12,
    encoding: str = "utf-8",
    without: str = "",
    data: str = "c.dat",
    pack: Callable[[bytes], bytes] = bytes,
) -> Path:
    """Write c.hdr with some more lines, and its data, band by band."""
    fields = {
        "samples": COLS, "lines": ROWS, "bands": array.shape[2], "header offset": 0,
        "file type": "ENVI Standard", "data type": code, "interleave": "bsq", "byte order": 0,
    }  # fmt: skip
    fields.pop(without, None)
    lines = "".join(f"{name} = {value}\n" for name, value in fields.items())
    (folder / "c.hdr").write_bytes(f"ENVI\n{lines}{text}\n".encode(encoding))
    (folder / data).write_bytes(pack(np.ascontiguousarray(array.transpose(2, 0, 1)).tobytes()))
    return folder / "c.hdr"


def tiff(
    path: Path,
    array: np.ndarray,
    *,
    crs: str | None = CRS,
    at: tuple[float, float, float] = (LEFT, TOP, PIXEL),
    tags: list[dict[str, str]] | None = None,
    descriptions: list[str] | None = None,
    **options: Any,
) -> Path:
    """Write a GeoTIFF."""
    array = np.atleast_3d(array)
    place = rasterio.Affine(at[2], 0, at[0], 0, -at[2], at[1])
    shape = {"height": array.shape[0], "width": array.shape[1], "count": array.shape[2], "dtype": array.dtype}
    with rasterio.open(path, "w", driver="GTiff", crs=crs, transform=place, **shape, **options) as file:
        file.write(array.transpose(2, 0, 1))
        for band in range(array.shape[2]):
            if tags:
                file.update_tags(band + 1, **tags[band])
            if descriptions:
                file.set_band_description(band + 1, descriptions[band])
    return path


def npy(path: Path, array: np.ndarray) -> Path:
    np.save(path, array)
    return path


def truth(folder: Path) -> Path:
    return npy(folder / "truth.npy", GT)


def placed(folder: Path) -> Path:
    """Write the cube with its place, for labels that have one."""
    return tiff(folder / "placed.tif", CUBE)


def boxes(*names: Any, size: int = 3) -> list[tuple[Any, Any]]:
    """Return squares of `size` x `size` pixels, side by side, and their classes."""
    found = []
    for number, name in enumerate(names):
        left, top = LEFT + number * 4 * PIXEL, TOP - PIXEL
        found.append((shapely.box(left, top - size * PIXEL, left + size * PIXEL, top), name))
    return found


def vector(
    path: Path, shapes: list[tuple[Any, Any]], crs: str | None = CRS, kind: str = "Polygon", **options: Any
) -> Path:
    wkb = np.array([shapely.to_wkb(shape) for shape, _ in shapes], dtype=object)
    values = [value for _, value in shapes]
    column = np.array(values, dtype=object if isinstance(values[0], str) else np.int64)
    pyogrio.raw.write(
        path, geometry=wkb, field_data=[column], fields=["class"], geometry_type=kind, crs=crs, **options
    )
    return path


def geojson(path: Path, shapes: list[tuple[Any, Any]], crs: str | None = CRS) -> Path:
    named = {"crs": {"type": "name", "properties": {"name": crs}}} if crs else {}
    features = [
        {"type": "Feature", "properties": {"class": name}, "geometry": shapely.geometry.mapping(shape)}
        for shape, name in shapes
    ]
    path.write_text(json.dumps({"type": "FeatureCollection", **named, "features": features}))
    return path


def text(path: Path, content: str, encoding: str = "utf-8") -> Path:
    path.write_bytes(content.encode(encoding))
    return path


def picture(path: Path, mode: str) -> Path:
    from PIL import Image

    if mode == "rgb":
        Image.fromarray(RED_GREEN_BLUE[GT]).save(path)
        return path
    image = Image.fromarray(GT)
    if mode == "palette":
        image = image.convert("P")
        image.putpalette(RED_GREEN_BLUE.ravel().tolist())
    image.save(path)
    return path


def matlab(path: Path, **arrays: Any) -> Path:
    scipy.io.savemat(path, arrays)
    return path


def cube_case(name: str, make: Callable[[Path], Path], **wanted: Any) -> Case:
    return Case(name, lambda folder: (make(folder), truth(folder)), **wanted)


def label_case(name: str, make: Callable[[Path], Path], placed_cube: bool = False, **wanted: Any) -> Case:
    def both(folder: Path) -> tuple[Path, Path]:
        return placed(folder) if placed_cube else npy(folder / "cube.npy", CUBE), make(folder)

    wanted.setdefault("counts", COUNTS)
    return Case(name, both, **wanted)


LISTED = "{" + ", ".join(map(str, NM)) + "}"
SIGNED = CUBE.astype("<i2")
NONE_IN_4 = np.where(np.arange(BANDS) == 4, -9999, SIGNED).astype("<i2")
TAGS = [
    {"bbl": str(int(band not in (1, 2))), "wavelength": str(nm), "wavelength_units": "nm"}
    for band, nm in enumerate(NM)
]
ALL = tuple(NM)

HEADERS = [
    cube_case("header without byte order", lambda f: envi(f, without="byte order"), notes=("byte order",)),
    cube_case(
        "header in Windows-1252",
        lambda f: envi(f, "wavelength = {0.45,0.55,0.65,0.75,0.85}\nwavelength units = \xb5m", encoding="cp1252"),
        nm=ALL,
    ),
    cube_case("lists in square brackets", lambda f: envi(f, f"wavelength = {LISTED.replace('{', '[').replace('}', ']')}"), nm=ALL),
    cube_case("key in the plural", lambda f: envi(f, f"wavelengths = {LISTED}"), nm=ALL),
    cube_case(
        "wavelengths in band names",
        lambda f: envi(f, "band names = {" + ", ".join(f"Band {i} ({nm / 1000} um)" for i, nm in enumerate(NM, 1)) + "}"),
        nm=ALL,
        notes=("names of the bands",),
    ),
    cube_case("band names that only count", lambda f: envi(f, "band names = {Band 1, Band 2, Band 3, Band 4, Band 5}")),
    cube_case("data with an odd suffix", lambda f: envi(f, data="c.frame")),
    cube_case("data packed by gzip", lambda f: envi(f, "file compression = 1", pack=gzip.compress)),
    cube_case(
        "data longer than the header says",
        lambda f: envi(f, pack=lambda raw: raw + bytes(77)),
        notes=(f"{CUBE.nbytes + 77:,}", f"{CUBE.nbytes:,}"),
    ),
    cube_case(
        "data shorter than the header says",
        lambda f: envi(f, pack=lambda raw: raw[:-7]),
        refused=f"{CUBE.nbytes - 7:,}",
    ),
    cube_case(
        "a band without data",
        lambda f: envi(f, "data ignore value = -9999", array=NONE_IN_4, code=2),
        bands=(0, 1, 2, 3),
        notes=("Left out, counted from 0: band 4",),
    ),
    cube_case("bands out of order", lambda f: envi(f, "wavelength = {450,550,850,840,900}\nwavelength units = nm"), nm=(450, 550, 850, 840, 900)),
    cube_case("two bands at one wavelength", lambda f: envi(f, "wavelength = {450,550,850,850,900}\nwavelength units = nm"), nm=(450, 550, 850, 850, 900)),
    cube_case(
        "a spectral library",
        lambda f: envi(f, "file type = ENVI Spectral Library", without="file type", data="c.sli"),
        refused="spectral library",
    ),
]  # fmt: skip
RASTERS = [
    cube_case(
        "bands without data in a GeoTIFF",
        lambda f: tiff(f / "d.tif", NONE_IN_4, nodata=-9999),
        bands=(0, 1, 2, 3),
        notes=("band 4",),
    ),
    cube_case("band tags", lambda f: tiff(f / "t.tif", CUBE, tags=TAGS), bands=(0, 3, 4), nm=(450, 750, 850), notes=("1-2",)),
    cube_case(
        "wavelengths in band descriptions",
        lambda f: tiff(f / "t.tif", CUBE, descriptions=[f"b{i} ({nm:.0f})" for i, nm in enumerate(NM)]),
        nm=ALL,
        notes=("wavelength",),
    ),
    cube_case(
        "a header beside a GeoTIFF",
        lambda f: (text(f / "t.hdr", f"ENVI\nwavelength = {LISTED}\nwavelength units = nm\nbbl = {{1,1,0,1,1}}\n"), tiff(f / "t.tif", CUBE))[1],
        nm=(450, 550, 750, 850),
        bands=(0, 1, 3, 4),
        notes=("t.hdr",),
    ),
    cube_case(
        "an alpha band",
        lambda f: tiff(f / "t.tif", np.concatenate([CUBE, np.full((ROWS, COLS, 1), 65535, "u2")], axis=2)),
        notes=("5",),
    ),
    Case(
        "no coordinate system",
        lambda f: (tiff(f / "t.tif", CUBE, crs=None), vector(f / "v.gpkg", boxes("wheat", "oak"))),
        refused="--crs",
    ),
    Case(
        "no coordinate system, given",
        lambda f: (tiff(f / "t.tif", CUBE, crs=None), vector(f / "v.gpkg", boxes("wheat", "oak"))),
        facts={"crs": CRS},
        counts=[9, 9],
        names=("oak", "wheat"),
    ),
]  # fmt: skip
CODES = [
    label_case("255 is nothing", lambda f: npy(f / "l.npy", np.where(GT == 0, 255, GT).astype(np.uint8)), notes=("255",)),
    label_case(
        "255 is nothing, said",
        lambda f: npy(f / "l.npy", np.where(GT == 0, 255, GT).astype(np.uint8)),
        options=LabelOptions(unlabelled=(255,)),
    ),
    label_case("-1 is nothing", lambda f: npy(f / "l.npy", np.where(GT == 0, -1, GT.astype(int))), notes=("-1",)),
    label_case("NaN is nothing", lambda f: npy(f / "l.npy", np.where(GT == 0, np.nan, GT))),
    label_case(
        "codes from 0",
        lambda f: npy(f / "l.npy", np.where(GT == 0, 255, GT.astype(int) - 1)),
        counts=COUNTS[1:],
        notes=(f"ode 0 covers {COUNTS[0]} pixels", "--class-zero"),
    ),
    label_case(
        "codes from 0, said",
        lambda f: npy(f / "l.npy", np.where(GT == 0, 255, GT.astype(int) - 1)),
        options=LabelOptions(class_zero=True),
    ),
    label_case("an ordinary map gets no note", lambda f: npy(f / "l.npy", GT), silent=True),
    label_case("one axis too many", lambda f: npy(f / "l.npy", GT[..., None])),
    label_case("one-hot", lambda f: npy(f / "l.npy", np.stack([code == GT for code in (1, 2, 3)], -1).astype(np.uint8)), notes=("one",)),
    label_case("sparse", lambda f: matlab(f / "l.mat", ground=scipy.sparse.csc_matrix(GT.astype(float)))),
    label_case("a grey picture", lambda f: picture(f / "l.png", "grey")),
    label_case("a picture with a palette", lambda f: picture(f / "l.bmp", "palette")),
    label_case("a picture in colours", lambda f: picture(f / "l.png", "rgb"), names=("#1e1ec8", "#1ec81e", "#c81e1e"), counts=COUNTS[::-1]),
]  # fmt: skip
GRIDS = [
    label_case("a finer grid", lambda f: tiff(f / "l.tif", np.kron(GT, np.ones((4, 4), np.uint8)), at=(LEFT, TOP, PIXEL / 4)), True, notes=("class that covers at least half",)),
    label_case(
        "a wider extent",
        lambda f: tiff(f / "l.tif", np.pad(GT, ((3, 1), (2, 4))), at=(LEFT - 2 * PIXEL, TOP + 3 * PIXEL, PIXEL)),
        True,
        notes=("is cut to the cube",),
    ),
    label_case(
        "half a pixel off",
        lambda f: tiff(f / "l.tif", GT, at=(LEFT - PIXEL / 2, TOP + PIXEL / 2, PIXEL)),
        True,
        refused="--align",
    ),
    label_case(
        "an attribute table",
        lambda f: (
            tiff(f / "l.tif", GT),
            text(
                f / "l.tif.aux.xml",
                '<PAMDataset><PAMRasterBand band="1"><GDALRasterAttributeTable><FieldDefn index="0"><Name>Value'
                '</Name><Type>0</Type><Usage>5</Usage></FieldDefn><FieldDefn index="1"><Name>Kind</Name><Type>2'
                "</Type><Usage>2</Usage></FieldDefn>"
                + "".join(f'<Row index="{i}"><F>{i}</F><F>{name}</F></Row>' for i, name in enumerate(NAMES))
                + "</GDALRasterAttributeTable></PAMRasterBand></PAMDataset>",
            ),
        )[0],
        True,
        names=NAMES[1:],
    ),
]  # fmt: skip
MATLAB = [
    Case(
        "a cube in a struct",
        lambda f: (matlab(f / "c.mat", scene={"Data": CUBE, "more": {"wavelength": np.array(NM)}}), truth(f)),
        cube_key="scene.Data",
        nm=ALL,
    ),
    Case("a table of pixels", lambda f: (matlab(f / "c.mat", X=CUBE.reshape(-1, BANDS), y=GT.reshape(-1, 1)), truth(f)), refused="table of pixels"),
    Case(
        "a flattened cube",
        lambda f: (matlab(f / "c.mat", Y=CUBE.reshape(-1, BANDS, order="F").T, nRow=ROWS, nCol=COLS), truth(f)),
        notes=("14 rows and 11 columns",),
    ),
    Case("wavelengths in a .mat", lambda f: (matlab(f / "c.mat", cube=CUBE, wavelength=np.array(NM)), truth(f)), nm=ALL),
    Case(
        "wavelengths in a file",
        lambda f: (npy(f / "c.npy", CUBE), truth(f)),
        facts={"wavelengths_file": "nm.csv"},
        nm=ALL,
    ),
]  # fmt: skip
DRAWN = [9, 9]
VECTORS = [
    *(
        label_case(f"polygons in {suffix}", lambda f, s=suffix: vector(f / f"v{s}", boxes("oak", "wheat")), True, counts=DRAWN, names=("oak", "wheat"))
        for suffix in (".gpkg", ".fgb", ".shp")
    ),
    label_case("polygons in GeoJSON", lambda f: geojson(f / "v.geojson", boxes("oak", "wheat")), True, counts=DRAWN, names=("oak", "wheat")),
    label_case(
        "points in a CSV",
        lambda f: text(f / "p.csv", "x,y,class\n" + "".join(f"{LEFT + (c + 0.5) * PIXEL},{TOP - (r + 0.5) * PIXEL},{n}\n" for r, c, n in ((0, 0, "oak"), (0, 1, "oak"), (5, 5, "wheat")))),
        True,
        counts=[2, 1],
        names=("oak", "wheat"),
    ),
    label_case(
        "an ENVI ROI file",
        lambda f: text(
            f / "r.txt",
            f"; ENVI Output of ROIs (5.1)\n; Number of ROIs: 2\n; File Dimension: {COLS} x {ROWS}\n;\n; ROI name: oak\n"
            "; ROI rgb value: {10, 200, 10}\n; ROI npts: 2\n;\n; ROI name: wheat\n; ROI rgb value: {200, 10, 10}\n; ROI npts: 1\n"
            ";  ID    X    Y\n   1   11   14\n   2    1    1\n\n   1    4    4\n",
        ),
        counts=[2, 1],
        names=("oak", "wheat"),
    ),
    label_case("a shapefile in Windows-1252", lambda f: vector(f / "v.shp", boxes("R\xfcben", "oak"), encoding="cp1252"), True, counts=DRAWN, names=("oak", "R\xfcben")),
    label_case("a shapefile without .prj", lambda f: vector(f / "v.shp", boxes("oak", "wheat"), None), True, refused="--labels-crs"),
    label_case("a shapefile without .prj, said", lambda f: vector(f / "v.shp", boxes("oak", "wheat"), None), True, counts=DRAWN, options=LabelOptions(labels_crs=CRS)),
    label_case("GeoJSON in metres", lambda f: geojson(f / "v.geojson", boxes("oak", "wheat"), None), True, refused="look like metres"),
    label_case("code 0 in polygons", lambda f: geojson(f / "v.geojson", boxes(0, 1, 2)), True, counts=[9, 9], notes=("ode 0 covers 9 pixels", "--class-zero")),
    label_case("code 0 in polygons, said", lambda f: geojson(f / "v.geojson", boxes(0, 1, 2)), True, counts=[9, 9, 9], options=LabelOptions(class_zero=True)),
    label_case(
        "polygons without a pixel centre",
        lambda f: vector(f / "v.gpkg", [*boxes("oak", "wheat"), *((shapely.box(LEFT + i * PIXEL - 3, TOP - 200, LEFT + i * PIXEL + 3, TOP - 196), "tree") for i in (2, 4, 6))]),
        True,
        counts=DRAWN,
        notes=("3 of 5 polygons hold no pixel centre", "tree", "--all-touched"),
    ),
    label_case(
        "polygons without a pixel centre, touched",
        lambda f: vector(f / "v.gpkg", [(shapely.box(LEFT + i * PIXEL - 3, TOP - 205, LEFT + i * PIXEL + 3, TOP - 203), n) for i, n in ((2, "tree"), (5, "oak"))]),
        True,
        counts=[2, 2],
        options=LabelOptions(all_touched=True),
    ),
    label_case("a class spelt twice", lambda f: vector(f / "v.gpkg", boxes("Oak", "oak ")), True, counts=DRAWN, notes=('differ only in case',)),
]  # fmt: skip
CASES = [*HEADERS, *RASTERS, *CODES, *GRIDS, *MATLAB, *VECTORS]


def load(case: Case, folder: Path) -> Scene:
    """Make the files of a case and read them."""
    cube, labels = case.make(folder)
    facts = SceneFacts("case", labels=case.options)
    for name, value in (case.facts or {}).items():
        if name == "wavelengths_file":
            value = text(
                folder / value,
                "band;wavelength (nm)\n" + "".join(f"{i};{nm}\n" for i, nm in enumerate(NM, 1)),
            )
        facts = replace(facts, **{name: value})
    source = ArraySource(cube, case.cube_key)
    if labels is None:
        return unlabelled_scene(open_cube(cube, case.cube_key, source.kind), source, facts)
    options = ("cube_key", "labels_key")
    return load_files(source, ArraySource(labels, case.labels_key), facts, options=options)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_it_is_read_or_refused_in_one_sentence(case, tmp_path):
    if case.refused:
        with pytest.raises(InputError) as told:
            load(case, tmp_path)
        assert case.refused in str(told.value)
        assert "\n" not in str(told.value)
        return
    scene = load(case, tmp_path)
    assert scene.band_choice.numbers == case.bands
    np.testing.assert_array_equal(scene.cube, CUBE[:, :, case.bands])
    assert scene.counts == tuple(COUNTS if case.counts is None else case.counts)
    if case.nm is None:
        assert scene.wavelengths_nm is None
    else:
        np.testing.assert_allclose(scene.wavelengths_nm, case.nm)
    if case.names is not None:
        assert scene.class_names == case.names
    for words in case.notes:
        assert any(words in note for note in scene.notes), scene.notes
    if case.silent:
        assert scene.notes == ()


def _line(case: Case) -> str:
    """Return what reading a case gives, in one line."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            scene = load(case, Path(folder))
        except InputError as error:
            return "refused: " + str(error).replace(folder + "/", "")
        nm = "no wavelengths"
        if scene.wavelengths_nm is not None:
            nm = f"{scene.wavelengths_nm.min():g} to {scene.wavelengths_nm.max():g} nm"
        said = " ".join(scene.notes).replace(folder + "/", "")
        return f"{scene.bands} bands, {nm}, {'/'.join(map(str, scene.counts))} pixels. {said}".strip()


if __name__ == "__main__":
    for one in CASES:
        print(f"| {one.name} | {_line(one)} |")
