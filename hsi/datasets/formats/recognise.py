"""The format of a file, recognised by its first bytes and not by its name."""

from __future__ import annotations

import re
import stat
import struct
import zipfile
from collections.abc import Sequence
from pathlib import Path

from hsi.errors import FileFormatError, SceneNotFoundError

SUPPORTED = (
    "MATLAB v5 and v7.3 (.mat), NumPy (.npy, .npz), HDF5 and netCDF, ENVI (.hdr and its data), GeoTIFF and "
    "other rasters (JPEG 2000, ERDAS, ESRI BIL, VRT), and Zarr"
)
RASTERS = {
    "tiff": "GTiff",
    "jpeg2000": "JP2OpenJPEG",
    "imagine": "HFA",
    "lan": "LAN",
    "ehdr": "EHdr",
    "asciigrid": "AAIGrid",
    "pcraster": "PCRaster",
    "nitf": "NITF",
    "vrt": "VRT",
    "zarr": "Zarr",
}
"""Formats that GDAL reads -> its driver, the only one that may open such a file. None of them opens an
address or a file elsewhere; a VRT, which could, is checked first (`hsi.datasets.formats.rasters`)."""
ARRAYS = ("mat5", "mat73", "hdf5", "netcdf3", "npy", "npz", "envi", *RASTERS)
IMAGES = ("image",)  # PNG, GIF, BMP, JPEG: labels only
SHAPES = (
    "geopackage", "geojson", "shapefile", "flatgeobuf", "kml", "kmz", "gml", "gpx", "topojson", "esrijson",
    "mif", "tab", "points", "roi_text", "roi_xml",
)  # fmt: skip
SIBLINGS = {"shapefile": (".dbf", ".prj", ".cpg"), "mif": (".mid",), "tab": (".dat", ".map", ".id")}
"""Format of points and polygons -> suffixes of the files that lie beside one."""
HEAD_BYTES = 4096

_HDF5 = b"\x89HDF\r\n\x1a\n"
_ENVI_SUFFIXES = {".img", ".bsq", ".bil", ".bip", ".dat", ".raw"}
_MAGIC = (
    (b"Rar!", "a RAR archive"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-zip archive"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"BZh", "a bzip2 archive"),
    (b"\xfd7zXZ\x00", "an xz archive"),
    *((mark, "tiff") for mark in (b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+")),
    (b"\x00\x00\x00\x0cjP  \r\n\x87\n", "jpeg2000"),
    (b"\xff\x4f\xff\x51", "jpeg2000"),
    (b"EHFA_HEADER_TAG", "imagine"),
    (b"HEAD74", "lan"),
    (b"HEADER\x00", "lan"),
    (b"HEADER  ", "lan"),
    (b"RUU CROSS SYSTEM MAP FORMAT", "pcraster"),
    (b"NITF0", "nitf"),
    (b"NSIF0", "nitf"),
    (b"CDF\x01", "netcdf3"),
    (b"CDF\x02", "netcdf3"),
    (b"CDF\x05", "a netCDF file with 64-bit data (CDF-5)"),
    (b"\x0e\x03\x13\x01", "an HDF4 file"),
    (b"PCIDSK  ", "a PCIDSK file"),
    (b"LBLSIZE=", "a VICAR image"),
    (b"PDS_VERSION_ID", "a PDS image"),
    (b"\x00\x00\x27\x0a", "shapefile"),  # 9994, the first number of every .shp
    (b"SQLite format 3\x00", "geopackage"),  # other SQLite files are told apart when it is read
    (b"fgb\x03fgb", "flatgeobuf"),
    (b"\x89PNG\r\n\x1a\n", "image"),
    (b"GIF87a", "image"),
    (b"GIF89a", "image"),
    (b"\xff\xd8\xff", "image"),
    (b"%PDF", "a PDF document"),
    *((mark, "an ASD spectrum") for mark in (b"ASD\x00", b"as5\x00", b"as6\x00", b"as7\x00", b"as8\x00")),
)
_WEAK = (b"\xff\xd8\xff", b"BM")  # signatures so short that the raw values of an ENVI image may start so


def identify(head: bytes) -> str:
    """Return the format that the first `HEAD_BYTES` of a file show.

    One of ``mat5``, ``mat73``, ``hdf5``, ``netcdf3``, ``npy``, ``zip``, ``envi`` (a header), ``image``, of
    `RASTERS`, or of `SHAPES`; or a description that starts with an article ("a PDF document"); or "" if not
    known.
    """
    if not head:
        return "an empty file"
    if head.startswith(b"MATLAB 7.3") or head[124:128] in (b"\x00\x02IM", b"\x02\x00MI"):
        return "mat73"
    # Byte 124 on: version 0x0100 and two letters for the byte order (MAT-File Format, MathWorks).
    if head.startswith(b"MATLAB 5.0") or head[124:128] in (b"\x00\x01IM", b"\x01\x00MI"):
        return "mat5"
    if any(head[at : at + 8] == _HDF5 for at in (0, 512, 1024, 2048)):
        return "hdf5"
    if head.startswith(b"\x93NUMPY"):
        return "npy"
    if head.startswith(b"PK\x03\x04"):
        return "zip"
    for magic, words in _MAGIC:
        if head.startswith(magic):
            return words
    if head.startswith(b"BM") and len(head) > 17 and head[14] in (12, 40, 52, 56, 64, 108, 124):
        return "image"
    return _identify_text(head) or _identify_mat4(head)


def _identify_text(head: bytes) -> str:
    text = head.lstrip(b"\xef\xbb\xbf\x1e \t\r\n").lower()
    if text.startswith((b"<!doctype html", b"<html", b"<head", b"<script")):
        return "an HTML page"
    if text.startswith(b"<"):
        return _identify_xml(text)
    if text.startswith(b"version https://git-lfs"):
        return "a Git LFS pointer, not the file itself"
    if text.split(None, 1)[:1] == [b"envi"]:
        return "envi"
    if text.startswith(b"{"):
        for kind, pattern in _JSON_SHAPES.items():
            if re.search(pattern, text):
                return kind
    if text.startswith(b"; envi output of rois"):
        return "roi_text"
    if text.startswith(b"!table"):
        return "tab"
    if re.match(rb"version\s+\d+\s*(?:\n|\r).*\bcolumns\s+\d", text, re.DOTALL):
        return "mif"
    if head[0] == 0x80 and len(head) > 1 and head[1] in range(2, 6):
        return "a Python pickle"
    if head.startswith((b"\xff\xfe", b"\xfe\xff")) and _names_coordinates(head.decode("utf-16", "replace")):
        return "points"
    if not all(byte >= 32 or byte in b"\t\r\n\f" for byte in head):
        return ""
    words = set(re.findall(rb"^\s*([a-z_]+)[ \t=]", text, re.MULTILINE))
    if {b"nrows", b"ncols"} <= words:
        return "ehdr" if words & {b"byteorder", b"nbits", b"nbands", b"layout"} else "asciigrid"
    if {b"name:", b"wavelength"} & set(text.split(None, 2)[:1]) or b"x units: wavelength" in text:
        return "a spectral library as text"
    if text.startswith(b"datasetheader begin"):
        return "an ER Mapper header"
    if re.search(rb"^\s*(object\s*=\s*isiscube|\^image\s*=)", text, re.MULTILINE):
        return "a label of a planetary image"
    if text.startswith((b"{", b"[")):
        return "a JSON file"
    if _names_coordinates(text.decode("latin-1")):
        return "points"
    lines = [line for line in text.split(b"\n")[:-1] or [text] if line.strip()]
    if any(lines and all(line.count(mark) == lines[0].count(mark) > 1 for line in lines) for mark in b",;\t"):
        return "a table of text"
    return "a text file"


def _identify_xml(text: bytes) -> str:
    if b"<html" in text:
        return "an HTML page"
    rest = text
    while rest.startswith((b"<?", b"<!")):  # the declaration, comments, a document type
        ends = {b"<?": b"?>", b"<!": b"-->" if rest.startswith(b"<!--") else b">"}
        rest = rest.partition(ends[rest[:2]])[2].lstrip()
    root = re.match(rb"<([a-z_][\w.:-]*)", rest)
    if root is None:
        return "an XML file"
    local = root[1].rpartition(b":")[2]
    kind = {b"vrtdataset": "vrt", b"kml": "kml", b"gpx": "gpx", b"regionsofinterest": "roi_xml"}.get(local)
    if kind is None and local == b"featurecollection" and b"opengis.net/gml" in text:
        return "gml"
    return kind or f"an XML file (<{root[1].decode('ascii', 'replace')}>)"


_JSON_SHAPES = {
    "geojson": rb'"type"\s*:\s*"feature',
    "topojson": rb'"type"\s*:\s*"topology"',
    "esrijson": rb'"geometrytype"\s*:\s*"esrigeometry',
}
COORDINATE_COLUMNS = {
    "lon/lat": (
        "lon lng long longitude xlon pointlon lonwgs84 longitudewgs84",
        "lat latitude ylat pointlat latwgs84 latitudewgs84",
    ),
    "x/y": (
        "x xcoord xcoordinate coordx pointx xutm utmx easting eastings utmeasting east e mapx xmap "
        "rechtswert",
        "y ycoord ycoordinate coordy pointy yutm utmy northing northings utmnorthing north n mapy ymap "
        "hochwert",
    ),
    "col/row": ("col column cols colindex pixelcol pixelx px imagex imgcol",
                "row rows rowindex pixelrow pixely py imagey imgrow"),
    "sample/line": ("sample samples samp", "line lines"),
    "wkt": ("wkt geometry geom thegeom", "wkt geometry geom thegeom"),
}  # fmt: skip
"""Kind of a pair of columns in a table of points -> names of the first and of the second, without marks."""


def _names_coordinates(text: str) -> bool:
    return coordinate_columns(header_line(re.split(r"[\r\n]+", text))) is not None


def header_line(lines: Sequence[str]) -> str:
    """Return the line with the names of the columns: the first, or the second after Excel's ``sep=;``."""
    told = len(lines) > 1 and re.fullmatch(r'"?sep=."?', lines[0].strip("\ufeff \r\n"), re.IGNORECASE)
    return lines[1 if told else 0]


def coordinate_columns(line: str) -> tuple[str, dict[str, tuple[int, int]]] | None:
    """Return the delimiter of a table and, by kind, the places of the columns with coordinates, if any.

    Parameters
    ----------
    line
        The first line: names of columns. One of the columns has to be left for the class.
    """
    for mark in "\t;,|":
        names = [re.sub(r"[^a-z0-9]", "", name.casefold()) for name in line.split(mark)]
        found = {}
        for kind, (firsts, seconds) in COORDINATE_COLUMNS.items():
            first = next((at for at, name in enumerate(names) if name in firsts.split()), None)
            second = next((at for at, name in enumerate(names) if name in seconds.split()), None)
            if first is not None and second is not None and (kind == "wkt" or first != second):
                found[kind] = first, second
        if found and len(names) > (1 if "wkt" in found else 2):
            return mark, found
    return None


def _identify_mat4(head: bytes) -> str:
    # Five numbers start a variable of version 4: type, rows, columns, whether complex, length of the name.
    for order in "<>":
        if len(head) >= 21:
            kind, rows, cols, imaginary, length = struct.unpack_from(f"{order}5i", head)
            name = head[20 : 20 + length]
            sized = rows > 0 and cols > 0 and imaginary in (0, 1) and 1 < length <= 64
            if sized and kind in _MAT4_TYPES[order] and re.fullmatch(rb"[A-Za-z]\w*\x00", name):
                return "a MATLAB v4 file"
    return ""


_MAT4_TYPES = {"<": range(0, 53), ">": range(1000, 1053)}


def envi_header(path: Path) -> Path | None:
    """Return the ENVI header of an image: `path` itself, or ``NAME.hdr`` or ``NAME.img.hdr`` beside it."""
    return _header_beside(path, "envi")


def ehdr_files(path: Path) -> tuple[Path, Path] | None:
    """Return header and data of an ESRI raster (BIL, BIP, BSQ, float), of which `path` is one; else None."""
    header = _header_beside(path, "ehdr")
    if header is None or header != path:
        return None if header is None else (header, path)
    ends = (".bil", ".bip", ".bsq", ".flt", ".img", ".dat", ".raw")
    names = (path.with_suffix(end).name for low in ends for end in (low, low.upper()))
    for name in (*names, path.stem):
        if name != path.name and path.with_name(name).is_file():
            return path, path.with_name(name)
    return None


def _header_beside(path: Path, kind: str) -> Path | None:
    beside = (path.with_name(name + end) for name in (path.name, path.stem) for end in (".hdr", ".HDR"))
    for candidate in (path, *beside):
        try:
            if not stat.S_ISREG(candidate.stat().st_mode):  # reading a pipe might never end
                continue
            with candidate.open("rb") as file:
                head = file.read(HEAD_BYTES)
        except (OSError, ValueError):
            continue
        found = identify(head)
        # The header of a float grid says no more than that of a text grid, but holds no values.
        if found == kind or (kind == "ehdr" and found == "asciigrid" and candidate.suffix.lower() == ".hdr"):
            return candidate
    return None


_CONVERT = (
    "a netCDF file with", "an HDF4 file", "a PCIDSK file", "a VICAR image", "a PDS image", "a label of a",
    "an ER Mapper header",
)  # fmt: skip
_SENTENCES = {
    "an HTML page": "{path} is an HTML page (a web site's answer saved under that name); fetch it again.",
    "an empty file": "{path} is an empty file; delete it and fetch it again.",
    "a Python pickle": (
        "{path} is a Python pickle, which could run code when read; save the array with numpy.save instead."
    ),
    "a MATLAB v4 file": "{path} is a MATLAB v4 file; save it again in MATLAB with save(..., '-v7').",
    "a spectral library as text": (
        "{path} is a spectral library as text, with single spectra and no image; name an image."
    ),
    "an ASD spectrum": "{path} is an ASD spectrum, a single one and no image; name an image.",
    "a table of text": (
        "{path} is a table of text (CSV), no image: the rows and columns of its pixels are not known; name "
        "the image that it was made from."
    ),
}


def _advice(found: str, path: Path) -> str:
    if found in _SENTENCES:
        return _SENTENCES[found].format(path=path)
    if found.startswith("a Git LFS"):
        return f"{path} is {found}; fetch the file with 'git lfs pull' or from a mirror."
    if found.endswith("archive"):
        return f"{path} is {found}; unpack it and name the file inside."
    if found.startswith(_CONVERT):
        return (
            f"{path} is {found}, which hsi does not open; convert it with: "
            f"gdal_translate {path.name} {path.stem}.tif"
        )
    if found.startswith("an XML file"):
        return (
            f"{path} is {found}, no image; name the image that it describes, or for a satellite product "
            "keep all its files together."
        )
    if path.name in _ZARR and found == "a JSON file":
        return f"{path} is a part of a Zarr store; name its folder {path.parent}."
    if found:
        return f"{path} is {found}; scenes are read from {SUPPORTED}."
    if path.suffix.lower() == ".roi":
        return (
            f"{path} looks like regions of interest in ENVI's binary format, which is not published; save "
            "them in ENVI as XML or as ASCII."
        )
    if path.suffix.lower() in _ENVI_SUFFIXES:
        return (
            f"{path} looks like ENVI data, but has no header: put {path.stem}.hdr beside it; otherwise "
            f"scenes are read from {SUPPORTED}."
        )
    return f"{path} is in no known format or is damaged at its start; scenes are read from {SUPPORTED}."


_ZARR = (".zarray", ".zgroup", "zarr.json", ".zmetadata", ".zattrs")


def _recognise_folder(path: Path) -> str:
    if any((path / name).is_file() for name in _ZARR[:3]):
        return "zarr"
    inside = sorted(one.name for one in path.iterdir())
    some = ", ".join(inside[:_MOST_NAMES]) + (", ..." if len(inside) > _MOST_NAMES else "")
    raise FileFormatError(
        f"{path} is a folder ({f'with {some}' if inside else 'empty'}), but no Zarr store and no product "
        "that hsi knows; name a file in it."
    )


_MOST_NAMES = 4


def recognise(path: Path) -> str:
    """Return the format of a file that can be read: one of `ARRAYS`, or of `IMAGES` or `SHAPES` for labels.

    Data files of ENVI and ESRI rasters have no signature: a file counts as one if its header lies beside it
    and its first bytes are those of no other readable format.

    Raises
    ------
    SceneNotFoundError
        When there is no such file.
    FileFormatError
        For any other file; the message says what it is and what to do.
    """
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            return _recognise_folder(path)
        # Reading a pipe or a device might never end.
        if not stat.S_ISREG(mode):
            raise FileFormatError(f"{path} is a device or a pipe; name a file.")
        with path.open("rb") as file:
            head = file.read(HEAD_BYTES)
    except FileNotFoundError:
        raise SceneNotFoundError(f"There is no file {path}; check the path.") from None
    except OSError as error:
        raise FileFormatError(f"{path} cannot be read ({error.strerror or error}); name a file.") from None
    except ValueError as error:  # as for a name with a zero byte
        raise FileFormatError(f"{str(path)!r} cannot be read ({error}); name a file.") from None
    found = identify(head)
    if found == "zip":
        return _recognise_archive(path)
    weak = found in IMAGES and head.startswith(_WEAK)
    if found == "asciigrid" and path.suffix.lower() == ".hdr":
        found = "ehdr"
    if found == "ehdr" and ehdr_files(path) is None:
        raise FileFormatError(
            f"{path} is the header of an ESRI raster without its data: put {path.stem}.bil beside it."
        )
    if found in (*ARRAYS, *IMAGES, *SHAPES) and not weak:
        return found
    if envi_header(path) is not None:
        return "envi"
    if found in IMAGES:
        return found
    if not found and ehdr_files(path) is not None:
        return "ehdr"
    raise FileFormatError(_advice(found, path))


def _recognise_archive(path: Path) -> str:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except Exception:  # damaged bytes make it raise almost any type
        raise FileFormatError(
            f"{path} is a truncated or damaged .npz file; fetch or write it again."
        ) from None
    if any(name.lower().endswith(".kml") for name in names):
        return "kmz"
    if any(name.endswith(".npy") for name in names):
        return "npz"
    if {"[Content_Types].xml", "mimetype"} & set(names):
        raise FileFormatError(
            f"{path} is an office document, no image; save the data as an array or a raster."
        )
    inside = ", ".join(names[:_MOST_NAMES]) + (", ..." if len(names) > _MOST_NAMES else "")
    raise FileFormatError(f"{path} is a ZIP archive ({inside}); unpack it and name the file inside.")
