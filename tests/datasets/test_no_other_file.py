"""A file that names an address or a file elsewhere: reading it asks no server and opens no such file.

The kernel tells which files of a watched folder are opened, by Python or by a library below it (inotify).
"""

from __future__ import annotations

import contextlib
import ctypes
import io
import json
import os
import re
import shutil
import sqlite3
import struct
import subprocess
import sys
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyogrio
import pytest
import rasterio
import shapely
from PIL import Image

from hsi.datasets import load_scene
from hsi.datasets.formats.band_tables import read_wavelengths
from hsi.datasets.formats.readers import files_of, list_arrays, read_facts
from hsi.datasets.libraries.spectral_library import read_spectral_library
from hsi.datasets.load import load_unlabelled
from hsi.errors import HsiError
from torture import fuzz_images, fuzz_products
from torture.fuzz_seeds import COLS, GEOREFERENCE, ROWS, npy_bytes
from torture.fuzz_worker import plain, write_files

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="inotify is a part of Linux")

_OPENED, _OF_FOLDER, _NONBLOCK = 0x20, 0x40000000, 0o4000  # sys/inotify.h
LABELS = (np.arange(ROWS * COLS).reshape(ROWS, COLS) // 7 % 3).astype(np.uint8)
CUBE = fuzz_products.pattern(ROWS, COLS, 6)


@dataclass
class Elsewhere:
    """A folder and an address that must not be opened, and the folder of a scene."""

    folder: Path
    scene: Path
    url: str = ""
    log: Path = Path()
    watch: int = -1

    def asked(self) -> list[str]:
        """Return what the server was asked for."""
        return self.log.read_text().split()

    def opened(self) -> list[str]:
        """Return the files of the folder that were opened since the last call."""
        try:
            events = os.read(self.watch, 1 << 16)
        except BlockingIOError:
            return []
        names, at = [], 0
        while at < len(events):
            _, mask, _, length = struct.unpack_from("iIII", events, at)
            if mask & _OPENED and not mask & _OF_FOLDER:
                names.append(events[at + 16 : at + 16 + length].rstrip(b"\0").decode())
            at += 16 + length
        return names

    def fill(self, text: str) -> str:
        """Put the address, and the path of a file, into a text."""
        return text.replace("ADDRESS", self.url).replace("FOLDER", str(self.folder))

    def put(self, name: str, content: str | bytes) -> Path:
        """Write a file of the scene."""
        path = self.scene / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)  # it may be a link
        path.write_bytes(content if isinstance(content, bytes) else self.fill(content).encode())
        return path

    def check(self, *paths: Path) -> None:
        """Read files in all the ways that a user can, and look at what was opened."""
        self.opened()
        for path in paths:
            _use(path)
        assert (self.opened(), self.asked()) == ([], [])


def _use(path: Path) -> int:
    """Read a file in all the ways that a user can; return how many went well."""
    labels, cube = path.parent / "labels.npy", path.parent / "cube.tif"

    def window(raw: bool) -> None:
        scene = load_unlabelled(path, raw=raw)
        np.asarray(scene.cube[1:4, 2:5])
        np.asarray(scene.cube)

    done = 0
    for read in (
        lambda: window(False),
        lambda: window(True),
        lambda: list_arrays(path),
        lambda: read_facts(path),
        lambda: files_of(path),
        lambda: load_scene(path, labels=labels),
        lambda: load_scene(path, labels=path),
        lambda: load_scene(cube, labels=path),
        lambda: read_wavelengths(path),
        lambda: read_spectral_library(path),
    ):
        with contextlib.suppress(HsiError), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            read()
            done += 1
    return done


# In a process of its own: GDAL keeps the lock of Python while it waits for an answer.
_SERVER = """
import http.server, sys

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        with open(sys.argv[1], "a") as log:
            print(self.path, file=log)
        self.send_response(404)
        self.end_headers()

    do_HEAD = do_POST = do_GET

    def log_message(self, *_):
        return

server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(server.server_address[1], flush=True)
server.serve_forever()
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """Return the address of a server, and the file with the paths that it is asked for."""
    log = tmp_path_factory.mktemp("server") / "asked.txt"
    command = [sys.executable, "-c", _SERVER, str(log)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        yield f"http://127.0.0.1:{int(running.stdout.readline())}", log
        running.terminate()


@pytest.fixture
def elsewhere(tmp_path: Path, server: tuple[str, Path]) -> Iterator[Elsewhere]:
    """Return a watched folder with files of many kinds, a server that counts, and a scene's folder."""
    there = Elsewhere(tmp_path / "elsewhere", tmp_path / "scene")
    there.folder.mkdir()
    there.scene.mkdir()
    (there.scene / "labels.npy").write_bytes(npy_bytes(LABELS))
    (there.scene / "cube.tif").write_bytes(fuzz_products.tiff(CUBE))
    (there.folder / "a.tif").write_bytes(fuzz_products.tiff(CUBE))
    (there.folder / "a.txt").write_text("EPSG:32616")
    (there.folder / "a.bin").write_bytes(bytes(1 << 16))
    (there.folder / "a.ige").write_bytes(b"ERDAS_IMG_EXTERNAL_RASTER\0" + bytes(1 << 16))
    (there.folder / "a.geojson").write_text('{"type": "FeatureCollection", "features": []}')
    with h5py.File(there.folder / "a.h5", "w") as file:
        file["x"] = CUBE

    there.url, there.log = server
    there.log.write_text("")
    system = ctypes.CDLL(None)
    there.watch = system.inotify_init1(_NONBLOCK)
    assert there.watch >= 0
    assert system.inotify_add_watch(there.watch, os.fsencode(there.folder), _OPENED) >= 0
    yield there
    os.close(there.watch)


def test_the_watch_sees_what_libraries_open(elsewhere: Elsewhere) -> None:
    assert elsewhere.opened() == []
    with rasterio.open(elsewhere.folder / "a.tif"):
        assert "a.tif" in elsewhere.opened()
    with h5py.File(elsewhere.folder / "a.h5"):
        assert "a.h5" in elsewhere.opened()
    os.listdir(elsewhere.folder)
    assert elsewhere.opened() == []
    with pytest.raises(rasterio.errors.RasterioIOError):
        rasterio.open(f"/vsicurl/{elsewhere.url}/x.tif")
    assert "/x.tif" in elsewhere.asked()


# HDF5: a dataset, or a group, that lies in another file.


def _products() -> dict[str, dict[str, bytes]]:
    found = {"plain": {"a.h5": fuzz_products.wavelengths_in_hdf5()[1]["a.h5"]}}
    for name in ("prisma", "emit", "tanager", "neon", "aviris_netcdf"):
        for number, files in enumerate(fuzz_products.PRODUCTS[name]()):
            if number % 2 and not (name == "emit" and len(files) < 2):
                found[f"{name} {number // 2}"] = files
    return {name: {file: plain(content) for file, content in files.items()} for name, files in found.items()}


HDF5 = _products()


def _nodes(content: bytes) -> list[str]:
    names: list[str] = []
    with h5py.File(io.BytesIO(content), "r") as file:
        file.visit(names.append)
    return names


def _move_out(path: Path, name: str, kind: str, folder: Path) -> bool:
    """Move a dataset or group into another file; return whether that kind of link can do it."""
    with h5py.File(path, "r+") as file:
        node = file[name]
        attributes = dict(node.attrs)
        if kind == "link":
            del file[name]
            file[name] = h5py.ExternalLink(str(folder / path.name), name)
            return True
        if not isinstance(node, h5py.Dataset) or node.dtype.kind not in "iuf" or not node.shape:
            return False
        shape, dtype = node.shape, node.dtype
        del file[name]
        if kind == "virtual":
            layout = h5py.VirtualLayout(shape, dtype)
            layout[...] = h5py.VirtualSource(str(folder / path.name), name, shape)
            made = file.create_virtual_dataset(name, layout)
        else:
            stored = [(str(folder / "a.bin"), 0, h5py.h5f.UNLIMITED)]
            made = file.create_dataset(name, shape, dtype, external=stored)
        for key, value in attributes.items():
            made.attrs[key] = value
    return True


@pytest.mark.parametrize("kind", ["link", "virtual", "external"])
@pytest.mark.parametrize("product", HDF5)
def test_a_part_of_hdf5_in_another_file(elsewhere: Elsewhere, product: str, kind: str) -> None:
    files = HDF5[product]
    for name, content in files.items():
        (elsewhere.folder / name).write_bytes(content)
    moved = 0
    for name, content in files.items():
        for node in _nodes(content):
            write_files(elsewhere.scene, {**files, "labels.npy": npy_bytes(LABELS)})
            path = elsewhere.scene / name
            if not _move_out(path, node, kind, elsewhere.folder):
                continue
            moved += 1
            elsewhere.opened()
            with h5py.File(path) as file, contextlib.suppress(TypeError):
                file[node][()]  # a group has no values
            assert elsewhere.opened(), "the file is not what it is meant to be"
            main = next(one for one in files if "_MASK_" not in one)
            elsewhere.check(elsewhere.scene / main)
    assert moved >= 3


@pytest.mark.parametrize(
    "system", ["ADDRESS/wkt", "FOLDER/a.txt", "/vsicurl/ADDRESS/wkt", "+init=FOLDER/a.txt:x"]
)
@pytest.mark.parametrize("product", [name for name in HDF5 if not name.startswith(("prisma", "tanager"))])
def test_a_coordinate_system_of_hdf5_that_is_a_path(elsewhere: Elsewhere, product: str, system: str) -> None:
    write_files(elsewhere.scene, {**HDF5[product], "labels.npy": npy_bytes(LABELS)})
    changed = 0
    for name in HDF5[product]:
        with h5py.File(elsewhere.scene / name, "r+") as file:
            for owner in (file, *map(file.get, _nodes(HDF5[product][name]))):
                for key in ("spatial_ref", "crs", "crs_wkt"):
                    if key in owner.attrs:
                        owner.attrs[key] = elsewhere.fill(system)
                        changed += 1
            for key in ("Map_Info", "EPSG Code"):
                place = f"SITE/Reflectance/Metadata/Coordinate_System/{key}"
                if place in file:
                    del file[place]
                    file[place] = elsewhere.fill(system)
                    changed += 1
    assert changed
    elsewhere.check(elsewhere.scene / next(iter(HDF5[product])))


# XML: document types, entities, inclusions, and what the formats themselves can name.

ENTITY = '<!DOCTYPE {root} [<!ENTITY e SYSTEM "{target}">]>'
OUTER = '<!DOCTYPE {root} SYSTEM "{target}">'
PARAMETER = '<!DOCTYPE {root} [<!ENTITY % p SYSTEM "{target}"> %p;]>'


def _xml_seeds() -> dict[str, tuple[dict[str, bytes], str]]:
    """Return, by name, files with an XML file among them, and the root of that."""
    from torture import fuzz_shapes

    def bytes_of(files: Any) -> dict[str, bytes]:
        return {name: plain(content) for name, content in files.items()}

    cube = CUBE.astype(np.uint16)
    vectors = fuzz_shapes.vector_files()
    return {
        "enmap": (bytes_of(fuzz_products.enmap_files()[0]), "level_X"),
        "desis": (bytes_of(fuzz_products.desis_files()[1]), "hsi_doc"),
        "roi": (bytes_of(fuzz_shapes.region_files()["a.xml"][0]), "RegionsOfInterest"),
        "kml": (bytes_of(vectors["a.kml"][0]), "kml"),
        "gml": (bytes_of(vectors["a.gml"][0]), "o:FeatureCollection"),
        "gpx": (bytes_of(vectors["a.gpx"][0]), "gpx"),
        "vrt": (bytes_of(fuzz_images.raster_files(cube, LABELS)["vrt"][0]), "VRTDataset"),
        "png": (bytes_of(fuzz_images.label_image_files(LABELS)["png"][3]), "PAMDataset"),
    }


@pytest.mark.parametrize("target", ["ADDRESS/e", "file://FOLDER/a.txt", "FOLDER/a.txt"])
@pytest.mark.parametrize("form", [ENTITY, OUTER, PARAMETER, "include"])
@pytest.mark.parametrize("kind", ["enmap", "desis", "roi", "kml", "gml", "gpx", "vrt", "png"])
def test_xml_that_names_another_file(elsewhere: Elsewhere, kind: str, form: str, target: str) -> None:
    files, root = _xml_seeds()[kind]
    name = next(one for one in files if files[one].lstrip().startswith(b"<"))
    text = files[name].decode()
    head, mark, rest = text.rpartition("?>") if text.startswith("<?xml") else ("", "", text)
    body, last, end = rest.rpartition("</")
    if form == "include":
        inclusion = f'<xi:include xmlns:xi="http://www.w3.org/2001/XInclude" href="{target}" parse="text"/>'
        changed = f"{head}{mark}{body}{inclusion}{last}{end}"
    else:
        use = "&e;" if form == ENTITY else ""
        changed = f"{head}{mark}{form.format(root=root, target=target)}{body}{use}{last}{end}"
    for other, content in files.items():
        elsewhere.put(other, changed if other == name else content)
    elsewhere.check(*(elsewhere.scene / one for one in files if not one.endswith((".pgw", ".aux.xml"))))


TILES = "<GDAL_WMS><Service name='TMS'><ServerUrl>ADDRESS/</ServerUrl></Service></GDAL_WMS>"
WMTS = "<GDAL_WMTS><GetCapabilitiesUrl>ADDRESS/wmts</GetCapabilitiesUrl></GDAL_WMTS>"
COVERAGE = "<WCS_GDAL><ServiceURL>ADDRESS/wcs?</ServiceURL><CoverageName>a</CoverageName></WCS_GDAL>"


def _vrt(source: str) -> str:
    band = (
        f'<SimpleSource><SourceFilename relativeToVRT="0">{source}</SourceFilename><SourceBand>1</SourceBand>'
        "</SimpleSource>"
    )
    bands = "".join(
        f'<VRTRasterBand dataType="Int16" band="{at}">{band}</VRTRasterBand>' for at in range(1, 7)
    )
    return f'<VRTDataset rasterXSize="{COLS}" rasterYSize="{ROWS}">{bands}</VRTDataset>'


@pytest.mark.parametrize(
    "image", [_vrt("FOLDER/a.tif"), _vrt("/vsicurl/ADDRESS/a.tif"), TILES, WMTS, COVERAGE, "link"]
)
@pytest.mark.parametrize("product", ["enmap", "desis"])
def test_an_image_of_a_product_that_is_no_image(elsewhere: Elsewhere, product: str, image: str) -> None:
    files = {name: plain(content) for name, content in fuzz_products.PRODUCTS[product]()[0].items()}
    rasters = [name for name in files if name.lower().endswith(".tif")]
    assert len(rasters) > 1
    for changed in rasters:
        for name, content in files.items():
            elsewhere.put(name, image if name == changed and image != "link" else content)
        if image == "link":
            (elsewhere.scene / changed).unlink()
            (elsewhere.scene / changed).symlink_to(elsewhere.folder / "gone.tif")
        xml = next(one for one in files if one.lower().endswith(".xml"))
        elsewhere.check(elsewhere.scene / xml, elsewhere.scene / changed)


@pytest.mark.parametrize("content", [_vrt("FOLDER/a.tif"), TILES, WMTS, COVERAGE])
@pytest.mark.parametrize(
    "name", ["a.tif.ovr", "a.tif.msk", "a.ovr", "a.aux", "a.rrd", "a.tif.aux.xml", "a_RPC.TXT"]
)
def test_files_beside_an_image_that_are_services(elsewhere: Elsewhere, name: str, content: str) -> None:
    path = elsewhere.put("a.tif", fuzz_products.tiff(CUBE))
    elsewhere.put(name, content)
    elsewhere.check(path)
    labels = elsewhere.put("a.tif", fuzz_products.tiff(LABELS[:, :, None]))
    elsewhere.check(labels)


@pytest.mark.parametrize("target", ["FOLDER/a.tif", "/vsicurl/ADDRESS/a.ovr", "ADDRESS/a.ovr"])
def test_the_tags_of_an_image(elsewhere: Elsewhere, target: str) -> None:
    path = elsewhere.scene / "a.tif"
    for domain in ("OVERVIEWS", None, "IMD", "xml:XMP", "RPC"):
        path.write_bytes(fuzz_products.tiff(CUBE))
        with rasterio.open(path, "r+") as file:
            for key in ("OVERVIEW_FILE", "MASK_FILE", "SOURCE_FILE", "wavelength_file"):
                file.update_tags(ns=domain, **{key: elsewhere.fill(target)})
        elsewhere.check(path)
    beside = f"<SourceFilename>{target}</SourceFilename><SRS>{target}</SRS>"
    elsewhere.put(
        "a.tif.aux.xml", f'<PAMDataset>{beside}<PAMRasterBand band="1">{beside}</PAMRasterBand></PAMDataset>'
    )
    elsewhere.check(path)


def test_an_address_in_the_gml_of_jpeg_2000(elsewhere: Elsewhere) -> None:
    path = elsewhere.scene / "a.jp2"
    with rasterio.open(
        path, "w", driver="JP2OpenJPEG", count=3, height=ROWS, width=COLS, dtype="uint16",
        crs=GEOREFERENCE["crs"], transform=rasterio.Affine(*GEOREFERENCE["transform"]), GeoJP2="NO",
    ) as file:  # fmt: skip
        file.write(CUBE[:, :, :3].transpose(2, 0, 1).astype(np.uint16))
    whole = path.read_bytes()
    official = re.search(rb'srsName="([^"]{24,})"', whole)
    assert official is not None
    for target in (f"{elsewhere.url}/x", "/vsicurl/" + elsewhere.url[:14]):
        new = target.encode()[: len(official[1])].ljust(len(official[1]), b"x")
        path.write_bytes(whole.replace(official[1], new))
        elsewhere.check(path)


@pytest.mark.parametrize("target", ["/FOLDER/a.ige", "/vsicurl/ADDRESS/a.ige", "/vsizip/FOLDER/a.zip/a.ige"])
def test_a_spill_file_of_an_erdas_image(elsewhere: Elsewhere, target: str) -> None:
    path = elsewhere.scene / ("a" * 120 + ".img")
    with rasterio.open(
        path, "w", driver="HFA", count=2, height=ROWS, width=COLS, dtype="int16", USE_SPILL="YES"
    ) as file:
        file.write(CUBE[:, :, :2].transpose(2, 0, 1))
    named = path.with_suffix(".ige").name.encode()
    whole = path.read_bytes()
    assert named in whole
    new = elsewhere.fill(target).encode()[: len(named)].ljust(len(named), b"\0")
    path.write_bytes(whole.replace(named, new))
    elsewhere.check(path)


# Texts that name a coordinate system, or another file.


@pytest.mark.parametrize("target", ["FOLDER/a.txt", "ADDRESS/x", "/vsicurl/ADDRESS/x", "{FOLDER/a.txt}"])
def test_headers_and_texts(elsewhere: Elsewhere, target: str) -> None:
    size = f"ENVI\nsamples = {COLS}\nlines = {ROWS}\nbands = 6\ndata type = 2\ninterleave = bip\n"
    for key in (
        "coordinate system string", "data file", "file name", "geo lookup table", "wavelength", "band names",
        "map info", "projection info", "reflectance scale factor", "spectra names", "class lookup", "parent",
    ):  # fmt: skip
        header = elsewhere.put("a.hdr", f"{size}{key} = {target}\n")
        elsewhere.put("a.img", CUBE.tobytes())
        elsewhere.check(header)
        library = elsewhere.put("b.hdr", f"{size}file type = ENVI Spectral Library\n{key} = {target}\n")
        elsewhere.check(library)
    table = f"wavelength,a\n500,{target}\n# file: {target}\n600,0.5\n700,0.6\n"
    grid = f"ncols {COLS}\nnrows {ROWS}\nxllcorner 0\nyllcorner 0\ncellsize 1\n" + "1 2 " * (ROWS * COLS // 2)
    elsewhere.put("c.prj", target)
    points = f"x,y,class,file\n500030,4479970,1,{target}\n500110,4479930,2,{target}\n"
    elsewhere.check(
        elsewhere.put("t.csv", table),
        elsewhere.put("c.asc", grid),
        elsewhere.put("p.csv", points),
        elsewhere.put("w.csv", f'wkt,class\n"{target}",1\n"POINT (500030 4479970)",2\n'),
        elsewhere.put("splib.txt", f" title, wavelengths in {target}\n" + "0.5\n" * 20),
        elsewhere.put("named.txt", target),
    )


def test_a_label_image_with_a_path_beside_it(elsewhere: Elsewhere) -> None:
    for target in ("FOLDER/a.txt", "ADDRESS/x"):
        path = elsewhere.scene / "a.png"
        Image.fromarray(LABELS).save(path)
        elsewhere.put("a.png.aux.xml", f"<PAMDataset><SRS>{target}</SRS></PAMDataset>")
        elsewhere.put("a.pgw", "20\n0\n0\n-20\n500010\n4479990\n")
        elsewhere.put("a.prj", target)
        elsewhere.check(path)


# Points and polygons.

SHAPES = shapely.to_wkb(
    np.array(
        [
            shapely.box(500_000, 4_479_900, 500_060, 4_480_000),
            shapely.box(500_080, 4_479_800, 500_200, 4_479_900),
        ]
    )
)


def _write(path: Path, driver: str) -> Path:
    pyogrio.raw.write(
        str(path), geometry=SHAPES, field_data=[np.array(["a", "b"], object)], fields=["class"],
        geometry_type="Polygon", crs="EPSG:32616", driver=driver,
    )  # fmt: skip
    return path


@pytest.mark.parametrize("target", ["FOLDER/a.geojson", "ADDRESS/a.json", "/vsicurl/ADDRESS/a.json"])
def test_json_that_names_another_file(elsewhere: Elsewhere, target: str) -> None:
    table = json.loads(_write(elsewhere.scene / "a.geojson", "GeoJSON").read_text())
    link = {"type": "link", "properties": {"href": target}}
    esri = {"geometryType": "esriGeometryPolygon", "spatialReference": {"wkt": target}, "features": []}
    topology = {"type": "Topology", "crs": link, "arcs": [], "objects": {"a": {"$ref": target}}}
    for name, content in (
        ("a.geojson", {**table, "$ref": target}),
        ("a.geojson", {**table, "crs": {"type": "file", "properties": {"name": target}}}),
        ("a.geojson", {**table, "features": target}),
        ("a.geojson", {**table, "features": [{"$ref": target}, *table["features"]]}),
        ("a.geojson", {**table, "next": target, "links": [{"href": target, "rel": "next"}]}),
        ("a.json", esri),
        ("a.topojson", topology),
        ("stac.geojson", {**table, "stac_version": "1.0.0", "assets": {"a": {"href": target}}}),
    ):
        elsewhere.check(elsewhere.put(name, json.dumps(content)))


@pytest.mark.parametrize("target", ["FOLDER/a.txt", "ADDRESS/x", "/vsicurl/ADDRESS/x"])
def test_the_parts_of_a_shapefile_and_of_mapinfo(elsewhere: Elsewhere, target: str) -> None:
    path = _write(elsewhere.scene / "a.shp", "ESRI Shapefile")
    for end in (".prj", ".cpg", ".qix", ".sbn", ".shp.xml"):
        _write(path, "ESRI Shapefile")
        elsewhere.put(f"a{end}", target)
        elsewhere.check(path)
    mif = _write(elsewhere.scene / "m.mif", "MapInfo File")
    text = mif.read_text()
    for line in (f'CoordSys Earth "{target}"\n', f'File "{target}"\n', f'Open Table "{target}"\n'):
        mif.write_text(elsewhere.fill(text.replace("Columns", f"{line}Columns")))
        elsewhere.check(mif)


COMPUTED = (
    "CREATE TABLE b AS SELECT * FROM a; UPDATE gpkg_contents SET table_name = 'b'; "
    "UPDATE gpkg_geometry_columns SET table_name = 'b'; PRAGMA writable_schema = 1; "
    "UPDATE sqlite_master SET sql = 'CREATE TABLE b (fid, geom, class AS ({}))' WHERE name = 'b'"
)


@pytest.mark.parametrize("target", ["FOLDER/a.tif", "ADDRESS/x", "/vsicurl/ADDRESS/x"])
def test_a_geopackage_that_computes(elsewhere: Elsewhere, target: str) -> None:
    scripts = (
        "INSERT INTO gpkg_extensions VALUES ('a', 'class', 'x', '{0}', 'read-write')",
        "CREATE TABLE gpkg_data_columns (table_name, column_name, name, title, description, mime_type, "
        "constraint_name);"
        "INSERT INTO gpkg_data_columns VALUES ('a', 'class', '{0}', '{0}', '{0}', '{0}', '{0}')",
        "CREATE TABLE gpkg_metadata (id, md_scope, md_standard_uri, mime_type, metadata);"
        "INSERT INTO gpkg_metadata VALUES (1, 'dataset', '{0}', 'text/xml', '{0}')",
        "CREATE TABLE gpkg_ogr_contents_2 AS SELECT '{0}' AS a",
        "UPDATE gpkg_contents SET identifier = '{0}', description = '{0}'",
        "UPDATE gpkg_spatial_ref_sys SET definition = '{0}', organization = '{0}', srs_name = '{0}'",
        COMPUTED.format("gdal_get_pixel_value(''{0}'', 1, ''pixel'', 0, 0)"),
        COMPUTED.format("load_extension(''{0}'')"),
    )  # fmt: skip
    for script in scripts:
        path = elsewhere.scene / "a.gpkg"
        path.unlink(missing_ok=True)
        _write(path, "GPKG")
        with contextlib.closing(sqlite3.connect(path)) as database:
            database.execute("CREATE TABLE IF NOT EXISTS gpkg_extensions (table_name, column_name, "
                             "extension_name, definition, scope)")  # fmt: skip
            database.executescript(script.format(elsewhere.fill(target)))
            database.commit()
        elsewhere.check(path)


@pytest.mark.parametrize("target", ["FOLDER/a.txt", "ADDRESS/x"])
def test_shapes_whose_own_text_is_a_path(elsewhere: Elsewhere, target: str) -> None:
    path = _write(elsewhere.scene / "a.fgb", "FlatGeobuf")
    whole = path.read_bytes()
    start = next(one for one in (whole.find(b"PROJCRS["), whole.find(b"PROJCS[")) if one >= 0)
    new = elsewhere.fill(target).encode()
    path.write_bytes(whole[:start] + new.ljust(300, b" ") + whole[start + 300 :])
    elsewhere.check(path)
    gml = (
        '<o:FeatureCollection xmlns:o="http://o.org/" xmlns:gml="http://www.opengis.net/gml" '
        'xmlns:xlink="http://www.w3.org/1999/xlink"><gml:featureMember><o:a><o:class>x</o:class>'
        f'<o:g xlink:href="{target}#p" gml:remoteSchema="{target}"/></o:a></gml:featureMember>'
        "</o:FeatureCollection>"
    )
    schema = (
        f'<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema"><xs:import schemaLocation="{target}"/>'
        f'<xs:include schemaLocation="{target}"/></xs:schema>'
    )
    elsewhere.put("b.xsd", schema)
    elsewhere.put("b.gfs", f"<GMLFeatureClassList><SRSName>{target}</SRSName></GMLFeatureClassList>")
    point = '<wpt lat="40.4705" lon="-86.9999"><name>x</name><link href="{0}"/><type>a</type></wpt>'
    region = (
        '<RegionsOfInterest><Region name="a"><GeometryDef><CoordSysStr>{0}</CoordSysStr><Polygon><Exterior>'
        "<LinearRing><Coordinates>500030 4479970 500060 4479970 500060 4479900 500030 4479970</Coordinates>"
        "</LinearRing></Exterior></Polygon></GeometryDef><ThresholdDef><File>{0}</File></ThresholdDef></Region>"
        "</RegionsOfInterest>"
    )
    elsewhere.check(
        elsewhere.put("b.gml", gml),
        elsewhere.put("c.gpx", f'<gpx version="1.1" creator="{target}">{point.format(target) * 3}</gpx>'),
        elsewhere.put("d.xml", region.format(target)),
    )


# Zarr.


@pytest.mark.parametrize(
    "target", ["FOLDER/a.bin", "ADDRESS/c", "/vsicurl/ADDRESS/c", "../../../elsewhere/a.bin"]
)
def test_a_zarr_store_that_points_elsewhere(elsewhere: Elsewhere, target: str) -> None:
    seeds = fuzz_images.zarr_files(CUBE.astype(np.uint16))
    separator = {"name": target, "configuration": {"separator": f"/{target}/"}}
    for seed, (change, where) in (
        (0, ({"dimension_separator": f"/{target}/"}, ".zarray")),
        (0, ({"filters": [{"id": "reference", "path": target}]}, ".zarray")),
        (0, ({"compressor": {"id": target}}, ".zarray")),
        (0, ({"fill_value": target}, ".zarray")),
        (0, ({"_CRS": {"url": target, "wkt": target}, "_ARRAY_DIMENSIONS": [target] * 3}, ".zattrs")),
        (1, ({"dimension_separator": f"/{target}/"}, ".zarray")),
        (2, ({"chunk_key_encoding": separator}, "zarr.json")),
        (2, ({"storage_transformers": [{"name": "sharding", "path": target}]}, "zarr.json")),
        (2, ({"codecs": [{"name": target}]}, "zarr.json")),
    ):  # fmt: skip
        shutil.rmtree(elsewhere.scene / "a.zarr", ignore_errors=True)
        for name, content in seeds[seed].items():
            content = plain(content)
            if name.endswith(f"cube/{where}"):
                content = json.dumps(
                    {**json.loads(content), **json.loads(elsewhere.fill(json.dumps(change)))}
                ).encode()
            elsewhere.put(name, content)
        elsewhere.check(elsewhere.scene / "a.zarr")


@pytest.mark.parametrize("target", ["FOLDER/a.bin", "ADDRESS/c"])
def test_a_zarr_store_of_references(elsewhere: Elsewhere, target: str) -> None:
    for name, content in fuzz_images.zarr_files(CUBE.astype(np.uint16))[0].items():
        elsewhere.put(name, plain(content))
    array = json.loads((elsewhere.scene / "a.zarr/cube/.zarray").read_text())
    (elsewhere.scene / "a.zarr/cube/0.0.0").unlink()
    metadata = {"../../elsewhere/x/.zarray": array, "cube/.zarray": array, ".zgroup": {"zarr_format": 2}}
    elsewhere.put("a.zarr/.zmetadata", json.dumps({"zarr_consolidated_format": 1, "metadata": metadata}))
    elsewhere.check(elsewhere.scene / "a.zarr")
    refs = {"version": 1, "refs": {".zgroup": '{"zarr_format": 2}', "cube/.zarray": json.dumps(array),
            "cube/0.0.0": [target, 0, 100]}}  # fmt: skip
    elsewhere.check(elsewhere.put("refs.json", json.dumps(refs)))
    elsewhere.put("a.zarr/.zmetadata", json.dumps({"record_size": 10, "metadata": metadata}))
    elsewhere.put("a.zarr/cube/refs.0.parq", "PAR1")
    elsewhere.check(elsewhere.scene / "a.zarr")
