"""Rasters of every format against the arrays that GDAL wrote; what they may open, and what not."""

from __future__ import annotations

import os
import pickle
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import rasterio.shutil
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from hsi.datasets.formats.raster_cube import RasterCube
from hsi.datasets.formats.raster_facts import raster_facts
from hsi.datasets.formats.rasters import read_raster
from hsi.datasets.formats.readers import files_of, kind_of, list_arrays, open_cube, read_array, read_facts
from hsi.datasets.formats.recognise import recognise
from hsi.errors import FileFormatError, SceneError

pytestmark = [
    pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning"),
    # rasterio cannot log a message of GDAL that quotes damaged bytes.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
RANDOM = np.random.default_rng(0)
CUBE = RANDOM.integers(1, 200, (21, 18, 5)).astype(np.int16)
PLACE = rasterio.transform.from_origin(500000, 5000000, 2, 2)
Write = Callable[..., Path]

# name of the file, driver, options, kind
WRITTEN = [
    ("a.jp2", "JP2OpenJPEG", {"REVERSIBLE": "YES", "QUALITY": "100"}, "jpeg2000"),
    ("a.j2k", "JP2OpenJPEG", {"REVERSIBLE": "YES", "QUALITY": "100", "CODEC": "J2K"}, "jpeg2000"),
    ("a.img", "HFA", {}, "imagine"),
    ("b.img", "HFA", {"COMPRESSED": "YES"}, "imagine"),
    ("c.img", "HFA", {"USE_SPILL": "YES"}, "imagine"),
    ("a.lan", "LAN", {}, "lan"),
    ("a.bil", "EHdr", {}, "ehdr"),
    ("a.ntf", "NITF", {}, "nitf"),
    ("a.tif", "COG", {"BLOCKSIZE": "128"}, "tiff"),
    ("a.vrt", "VRT", {}, "vrt"),
]


@pytest.fixture
def write(tmp_path: Path, write_geotiff: Write) -> Callable[..., Path]:
    """A function ``(name, driver, options, values) -> path`` that writes a raster by GDAL."""

    def written(name: str, driver: str, options: dict[str, str], values: NDArray[Any] = CUBE) -> Path:
        place = {"crs": "EPSG:32632", "transform": list(PLACE)[:6]}
        source = write_geotiff(tmp_path / f"source of {name}.tif", values, place)
        path = tmp_path / name
        rasterio.shutil.copy(source, path, driver=driver, **options)
        if driver != "VRT":
            source.unlink()
        return path

    return written


@pytest.mark.parametrize(("name", "driver", "options", "kind"), WRITTEN)
def test_every_format_gives_the_array(
    write: Callable[..., Path], name: str, driver: str, options: dict[str, str], kind: str
) -> None:
    path = write(name, driver, options)
    assert kind_of(path) == kind
    assert [info.shape for info in list_arrays(path)] == [CUBE.shape]
    np.testing.assert_array_equal(read_array(path, ndim=3), CUBE)
    cube = open_cube(path)
    assert isinstance(cube, RasterCube)
    for copy in (cube, pickle.loads(pickle.dumps(cube))):
        np.testing.assert_array_equal(np.asarray(copy), CUBE)
        np.testing.assert_array_equal(copy[3:9, 2:17, 1:3], CUBE[3:9, 2:17, 1:3])
        np.testing.assert_array_equal(copy[5, 4], CUBE[5, 4])
    place = read_facts(path).georeference
    with rasterio.open(path) as oracle:
        assert place is not None or oracle.transform.is_identity
        if place is not None:
            assert place["transform"] == list(oracle.transform)[:6]
    assert path.resolve() in [file.resolve() for file in files_of(path)]


@pytest.mark.parametrize(
    ("name", "driver", "kind"), [("a.asc", "AAIGrid", "asciigrid"), ("a.map", "PCRaster", "pcraster")]
)
def test_grids_of_one_band_are_label_maps(
    write: Callable[..., Path], name: str, driver: str, kind: str
) -> None:
    labels = RANDOM.integers(0, 5, (7, 9)).astype(np.int32)
    options = {"PCRASTER_VALUESCALE": "VS_NOMINAL"} if driver == "PCRaster" else {}
    path = write(name, driver, options, labels)
    assert recognise(path) == kind
    np.testing.assert_array_equal(read_array(path, ndim=2), labels)


@pytest.mark.parametrize("interleave", ["bil", "bip", "bsq"])
@pytest.mark.parametrize("dtype", ["<i2", ">u2", "u1", "<f4"])
def test_esri_headers(tmp_path: Path, interleave: str, dtype: str) -> None:
    # "Esri BIL, BIP, and BSQ raster files", written by hand: GDAL writes BIL only.
    values = CUBE.astype(dtype)
    axes = {"bil": (0, 2, 1), "bip": (0, 1, 2), "bsq": (2, 0, 1)}[interleave]
    path = tmp_path / f"scene.{interleave}"
    path.write_bytes(values.transpose(axes).tobytes())
    kind = {"i": "SIGNEDINT", "u": "UNSIGNEDINT", "f": "FLOAT"}[values.dtype.kind]
    order = "M" if dtype[0] == ">" else "I"
    header = path.with_suffix(".hdr")
    header.write_text(
        f"BYTEORDER {order}\nLAYOUT {interleave.upper()}\nNROWS 21\nNCOLS 18\nNBANDS 5\n"
        f"NBITS {8 * values.itemsize}\nPIXELTYPE {kind}\nULXMAP 501\nULYMAP 999\nXDIM 2\nYDIM 2\n"
    )
    for named in (path, header):
        assert recognise(named) == "ehdr"
        read = read_array(named, ndim=3)
        np.testing.assert_array_equal(read, values)
        assert read.dtype == values.dtype.newbyteorder("=")
        assert files_of(named) == (path, header)
        np.testing.assert_array_equal(np.asarray(open_cube(named)), values)
        place = read_facts(named).georeference
        assert place is not None
        assert place["transform"] == [2, 0, 500, 0, -2, 1000]
    path.unlink()
    with pytest.raises(FileFormatError, match=r"header of an ESRI raster without its data: put scene\.bil"):
        recognise(header)


def test_a_signature_wins_over_a_header_beside(write: Callable[..., Path], write_envi: Write) -> None:
    for name, driver, kind in (
        ("a.lan", "LAN", "lan"),
        ("b.tif", "GTiff", "tiff"),
        ("c.img", "HFA", "imagine"),
    ):
        path = write(name, driver, {})
        path.with_suffix(".hdr").write_text("ENVI\nsamples = 18\nlines = 21\nbands = 5\ndata type = 2\n")
        assert recognise(path) == kind
        np.testing.assert_array_equal(read_array(path, ndim=3), CUBE)


@pytest.fixture
def server() -> Iterator[tuple[str, list[str]]]:
    """An address on this machine, and the requests that came there."""
    requests: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            requests.append(self.path)
            self.send_response(404)
            self.end_headers()

        do_HEAD = do_GET

        def log_message(self, *_: Any) -> None:
            pass

    one = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=one.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{one.server_port}", requests
    one.shutdown()
    one.server_close()


def _vrt(source: str, relative: int = 1, more: str = "", band: str = "") -> str:
    return (
        f'<VRTDataset rasterXSize="18" rasterYSize="21">{more}<VRTRasterBand dataType="Int16" band="1"{band}>'
        f'<SimpleSource><SourceFilename relativeToVRT="{relative}">{source}</SourceFilename>'
        "<SourceBand>1</SourceBand></SimpleSource></VRTRasterBand></VRTDataset>"
    )


def test_a_vrt_of_files_below_it_is_read(tmp_path: Path, write_geotiff: Write) -> None:
    (tmp_path / "parts").mkdir()
    source = write_geotiff(tmp_path / "parts" / "a.tif", CUBE)
    path = tmp_path / "a.vrt"
    path.write_text(_vrt("parts/a.tif"))
    np.testing.assert_array_equal(read_array(path, ndim=2), CUBE[:, :, 0])
    assert files_of(path) == (path, source)
    outer = tmp_path / "b.vrt"
    outer.write_text(_vrt("a.vrt", more="<SRS>EPSG:32632</SRS>"))
    np.testing.assert_array_equal(read_array(outer, ndim=2), CUBE[:, :, 0])
    assert files_of(outer) == (outer, path, source)
    outer.write_text(_vrt("b.vrt"))  # itself
    with pytest.raises(FileFormatError, match="nested too deep"):
        read_array(outer, ndim=2)


def test_bands_of_several_types_become_one(tmp_path: Path, write_geotiff: Write) -> None:
    write_geotiff(tmp_path / "a.tif", CUBE[:, :, 0])
    write_geotiff(tmp_path / "b.tif", CUBE[:, :, 1].astype(np.float32) / 7)
    bands = "".join(
        f'<VRTRasterBand dataType="{kind}" band="{at}"><SimpleSource><SourceFilename relativeToVRT="1">{name}'
        "</SourceFilename><SourceBand>1</SourceBand></SimpleSource></VRTRasterBand>"
        for at, (kind, name) in enumerate((("Int16", "a.tif"), ("Float32", "b.tif")), start=1)
    )
    path = tmp_path / "a.vrt"
    path.write_text(f'<VRTDataset rasterXSize="18" rasterYSize="21">{bands}</VRTDataset>')
    expected = np.stack([CUBE[:, :, 0], CUBE[:, :, 1].astype(np.float32) / 7], axis=2)
    for read in (read_array(path, ndim=3), np.asarray(open_cube(path))):
        np.testing.assert_array_equal(read, expected)
        assert read.dtype == np.float32


def test_other_vrts_are_refused_and_open_nothing(
    tmp_path: Path, write_geotiff: Write, server: tuple[str, list[str]]
) -> None:
    url, requests = server
    (tmp_path / "in").mkdir()
    write_geotiff(tmp_path / "out.tif", CUBE)
    write_geotiff(tmp_path / "in" / "a.tif", CUBE)
    (tmp_path / "in" / "link.tif").symlink_to(tmp_path / "out.tif")
    (tmp_path / "in" / "wms.tif").write_text(
        f"<GDAL_WMS><Service name='TMS'><ServerUrl>{url}/</ServerUrl></Service></GDAL_WMS>"
    )
    # A raw file with a header counts as ENVI, but GDAL would look at what it holds.
    (tmp_path / "in" / "raw").write_text(
        f"<GDAL_WMS><Service name='TMS'><ServerUrl>{url}/</ServerUrl></Service></GDAL_WMS>" + " " * 9999
    )
    (tmp_path / "in" / "raw.hdr").write_text(
        "ENVI\nsamples = 18\nlines = 21\nbands = 1\ndata type = 2\nheader offset = 0\ninterleave = bsq\n"
        "byte order = 0\n"
    )
    os.mkfifo(tmp_path / "in" / "pipe")  # opening it would never end
    path = tmp_path / "in" / "a.vrt"
    derived = ' subClass="VRTDerivedRasterBand"'
    python = "<PixelFunctionLanguage>Python</PixelFunctionLanguage><PixelFunctionType>f</PixelFunctionType>"
    for text in (
        _vrt(str(tmp_path / "in" / "a.tif")),
        _vrt("../out.tif"),
        _vrt("./../out.tif"),
        _vrt("link.tif"),
        _vrt("in/a.tif", relative=0),
        _vrt(f"{url}/a.tif"),
        _vrt(f"/vsicurl/{url}/a.tif"),
        _vrt("WMS:" + url),
        _vrt("NETCDF:&quot;a.nc&quot;:x"),
        _vrt("wms.tif"),
        _vrt("raw"),
        _vrt("pipe"),
        _vrt("gone.tif"),
        _vrt("a.tif", more=f"<SRS>{url}/system</SRS>"),
        _vrt("a.tif", more='<Metadata domain="OVERVIEWS"><MDI key="OVERVIEW_FILE">x</MDI></Metadata>'),
        _vrt("a.tif", band=derived),
        _vrt("a.tif", more=python),
        "<!DOCTYPE a [<!ENTITY b 'a.tif'>]>" + _vrt("&b;"),
        _vrt("a.tif").replace("<VRTDataset", '<VRTDataset subClass="VRTWarpedDataset"'),
        _vrt("a.tif").replace("<SourceBand>", "<OpenOptions><OOI key='x'>y</OOI></OpenOptions><SourceBand>"),
        _vrt("a.tif").replace("SourceFilename", "SourceDataset"),
        _vrt("a.tif")[:-30],
    ):
        path.write_text(text)
        with pytest.raises(SceneError) as caught:
            read_array(path, ndim=2)
        assert "\n" not in str(caught.value), text
    assert requests == []


def test_addresses_beside_and_inside_a_raster_are_not_opened(
    tmp_path: Path, write_geotiff: Write, server: tuple[str, list[str]]
) -> None:
    url, requests = server
    place = {"crs": None, "transform": list(PLACE)[:6]}
    for number, system in enumerate(
        (f"{url}/a", f"/vsicurl/{url}/a", f"+init={url}", f"urn:ogc:def:crs:{url}")
    ):
        path = write_geotiff(tmp_path / f"{number}.tif", CUBE, place)
        Path(f"{path}.aux.xml").write_text(f"<PAMDataset><SRS>{system}</SRS></PAMDataset>")
        facts = read_facts(path)
        assert facts.georeference is not None
        assert facts.georeference["crs"] == ""
        assert "cannot be read" in facts.notes[0]
        np.testing.assert_array_equal(np.asarray(open_cube(path)), CUBE)
    path = write_geotiff(tmp_path / "b.tif", CUBE, place)
    overviews = f'<Metadata domain="OVERVIEWS"><MDI key="OVERVIEW_FILE">/vsicurl/{url}/b.ovr</MDI></Metadata>'
    Path(f"{path}.aux.xml").write_text(f"<PAMDataset>{overviews}</PAMDataset>")
    np.testing.assert_array_equal(np.asarray(open_cube(path)[3:5, 2:8]), CUBE[3:5, 2:8])
    with rasterio.open(path, "r+") as file:
        file.update_tags(ns="OVERVIEWS", OVERVIEW_FILE=f"/vsicurl/{url}/c.ovr")
    np.testing.assert_array_equal(read_array(path, ndim=3), CUBE)
    for name, text in (
        ("wms.xml", f"<GDAL_WMS><Service name='TMS'><ServerUrl>{url}/</ServerUrl></Service></GDAL_WMS>"),
        ("wcs.tif", f"<WCS_GDAL><ServiceURL>{url}/</ServiceURL></WCS_GDAL>"),
        ("stac.json", f'{{"stac_version": "1.0.0", "type": "Feature", "links": [{{"href": "{url}/"}}]}}'),
        ("a.tif.url", f"[InternetShortcut]\nURL={url}/\n"),
        ("kml.tif", f"<kml><GroundOverlay><Icon><href>{url}/a.png</href></Icon></GroundOverlay></kml>"),
    ):
        (tmp_path / name).write_text(text)
        with pytest.raises(SceneError):
            read_array(tmp_path / name, ndim=3)
    assert requests == []


@pytest.mark.parametrize("name", ["a.tif.aux.xml", "a.tfw", "a.tif.ovr", "a.tif.msk", "a.aux"])
def test_a_pipe_beside_is_not_opened(tmp_path: Path, write_geotiff: Write, name: str) -> None:
    path = write_geotiff(tmp_path / "a.tif", CUBE)
    os.mkfifo(tmp_path / name)
    for read in (read_facts, open_cube, lambda one: read_array(one, ndim=3)):
        with pytest.raises(FileFormatError, match="a device or a pipe; remove it"):
            read(path)


def test_an_erdas_image_that_names_a_file_above_it_is_refused(write: Callable[..., Path]) -> None:
    path = write("abcde.img", "HFA", {"USE_SPILL": "YES"})
    content = path.read_bytes()
    assert b"abcde.ige" in content
    path.write_bytes(content.replace(b"abcde.ige", b"../de.ige"))
    with pytest.raises(FileFormatError, match="names a file outside its folder"):
        read_array(path, ndim=3)


@pytest.mark.parametrize(("name", "driver", "options", "kind"), WRITTEN)
def test_damaged_bytes_give_an_array_or_one_sentence(
    write: Callable[..., Path], name: str, driver: str, options: dict[str, str], kind: str
) -> None:
    path = write(name, driver, options)
    whole = path.read_bytes()
    random = np.random.default_rng(sum(map(ord, name)))
    for at in range(25):
        content = bytearray(whole[: int(len(whole) * random.random())] if at % 5 == 0 else whole)
        for _ in range(int(random.integers(1, 8))):
            if content:
                start = 600 if at % 2 else len(content)
                content[int(random.integers(0, min(start, len(content))))] = int(random.integers(0, 256))
        path.write_bytes(content)
        try:
            read_facts(path)
            assert read_array(path, ndim=3).ndim == 3
        except SceneError as error:
            assert "\n" not in str(error)  # noqa: PT017


def test_without_rasterio_the_message_says_how_to_install_it(
    tmp_path: Path, write_geotiff: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_geotiff(tmp_path / "a.tif", np.ones((3, 4, 2), np.uint8))
    monkeypatch.setitem(sys.modules, "rasterio", None)
    with pytest.raises(FileFormatError, match=r"pip install 'hsi-toolkit\[geo\]'"):
        read_array(path, ndim=3)


def test_a_raster_is_read_by_its_functions(write: Callable[..., Path]) -> None:
    path = write("a.jp2", "JP2OpenJPEG", {"REVERSIBLE": "YES", "QUALITY": "100"})
    np.testing.assert_array_equal(read_raster(path), CUBE)
    assert raster_facts(path).georeference == read_facts(path).georeference


@settings(max_examples=20, deadline=None)
@given(
    shape=st.tuples(st.integers(2, 20), st.integers(2, 20), st.integers(2, 4)),
    dtype=st.sampled_from(["uint8", "uint16", "int16", "int32", "float32", "float64"]),
    options=st.sampled_from(
        [{}, {"compress": "deflate"}, {"interleave": "pixel"},
         {"tiled": True, "blockxsize": 16, "blockysize": 16}, {"ENDIANNESS": "BIG"}, {"BIGTIFF": "YES"}]
    ),
)  # fmt: skip
def test_every_layout_of_geotiff_gives_the_array(
    tmp_path_factory: pytest.TempPathFactory,
    write_geotiff: Write,
    shape: tuple[int, ...],
    dtype: str,
    options: dict,
) -> None:
    cube = RANDOM.integers(0, 200, shape).astype(dtype)
    path = write_geotiff(
        tmp_path_factory.mktemp("tif") / "a.tif",
        cube,
        {"crs": "EPSG:32632", "transform": list(PLACE)[:6]},
        **options,
    )
    read = read_array(path, ndim=3)
    assert read.dtype == cube.dtype
    np.testing.assert_array_equal(read, cube)


def test_damaged_and_complex_files(tmp_path: Path, write_geotiff: Write) -> None:
    path = write_geotiff(tmp_path / "a.tif", RANDOM.normal(size=(40, 40, 3)))
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(FileFormatError, match="truncated or damaged") as caught:
        read_array(path, ndim=3)
    assert "\n" not in str(caught.value)
    odd = write_geotiff(tmp_path / "b.tif", np.ones((3, 4, 2), np.complex64))
    assert not list_arrays(odd)[0].numeric
    with pytest.raises(FileFormatError, match="no array that is 3-D"):
        read_array(odd, ndim=3)
