"""The bytes that GDAL gets of a file of points or polygons.

GDAL chooses a driver by the content of a file, and some drivers open addresses and other files that a file
names. So it never sees a path: it gets bytes in memory, those of the file and of its own parts. JSON and XML
are written anew without what points elsewhere, and `Source.drivers` says which drivers may answer.
"""

from __future__ import annotations

import contextlib
import io
import json
import re
import sqlite3
import struct
import xml.sax
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.sax import handler, saxutils

from hsi.datasets.formats.facts import is_crs
from hsi.datasets.formats.recognise import SIBLINGS
from hsi.errors import FileFormatError
from hsi.io.size_limits import MOST_TEXT, check_length
from hsi.io.text import read_json

MOST_BYTES = 1 << 30  # of a file or one of its parts, which are read whole
WGS84 = "OGC:CRS84"  # longitude, latitude; the default of GeoJSON (RFC 7946, section 4)


@dataclass(frozen=True)
class Source:
    """Bytes for GDAL, the drivers that may open them, and how they are opened."""

    content: bytes
    drivers: tuple[str, ...]
    encoding: str | None = None
    options: Mapping[str, str] = field(default_factory=dict)
    layers: tuple[str, ...] | None = None  # those that may be read; None: all
    crs: str | None = None  # in place of the one that GDAL tells
    default_crs: bool = False
    folders: bool = False  # whether layers are folders of one document
    notes: tuple[str, ...] = ()


def _siblings(path: Path, kind: str) -> dict[str, bytes]:
    """Return the parts of a file by suffix, read in any letter case."""
    wanted = (path.suffix.lower(), *SIBLINGS[kind])
    parts = {path.suffix.lower(): path}
    for end in wanted:
        for candidate in (path.with_suffix(end), path.with_suffix(end.upper())):
            if end not in parts and candidate.is_file():
                parts[end] = candidate
    for part in parts.values():
        check_length(part, MOST_BYTES)
    return {end: part.read_bytes() for end, part in parts.items()}


def _packed(parts: Mapping[str, bytes]) -> bytes:
    """Return parts as a ZIP archive in memory, from which GDAL can reach no other file."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for end, content in parts.items():
            archive.writestr(f"data{end}", content)
    return file.getvalue()


def _shapefile(path: Path) -> Source:
    if path.suffix.lower() == ".shx":  # it starts like the .shp
        path = path.with_suffix(".shp")
    found = _siblings(path, "shapefile")
    main = found[path.suffix.lower()]
    if ".dbf" not in found:
        raise FileFormatError(
            f"{path} lacks {path.with_suffix('.dbf').name} beside it; copy all parts of the shapefile."
        )
    encoding, note = _dbf_encoding(found[".dbf"], found.get(".cpg", b""), path)
    crs = found.get(".prj", b"").decode("utf-8", errors="replace").strip()
    # A missing or old index is no reason to stop: it is made anew.
    parts = {".shp": main, ".shx": _shape_index(main), ".dbf": found[".dbf"]}
    return Source(
        _packed(parts),
        ("ESRI Shapefile",),
        encoding=encoding,
        crs=crs if is_crs(crs) else "",
        notes=(note,) if note else (),
    )


def _shape_index(content: bytes) -> bytes:
    """Return the index (.shx) of a ``.shp``; layout: "ESRI Shapefile Technical Description", 1998."""
    entries = []
    at = 100
    while at + 8 <= len(content):
        (words,) = struct.unpack_from(">i", content, at + 4)
        if words < 2 or at + 8 + 2 * words > len(content):
            raise ValueError("the length of a shape does not fit the file")
        entries.append(struct.pack(">ii", at // 2, words))
        at += 8 + 2 * words
    header = bytearray(content[:100])
    if len(header) < 100:
        raise ValueError("its header is cut off")
    struct.pack_into(">i", header, 24, 50 + 4 * len(entries))
    return bytes(header) + b"".join(entries)


_CODE_PAGES = {
    0x01: "cp437", 0x02: "cp850", 0x03: "cp1252", 0x13: "cp932", 0x4D: "cp936", 0x4E: "cp949", 0x4F: "cp950",
    0x57: "cp1252", 0x58: "cp1252", 0x59: "cp1252", 0x64: "cp852", 0x65: "cp866", 0x7A: "cp936",
    0x7B: "cp932", 0xC8: "cp1250", 0xC9: "cp1251", 0xCA: "cp1254", 0xCB: "cp1253",
}  # fmt: skip
"""Language byte of a .dbf -> encoding (dBASE for Windows; the table of GDAL)."""


def _dbf_encoding(table: bytes, code_page: bytes, path: Path) -> tuple[str, str]:
    """Return the encoding of a table of attributes, and a note where it is a guess."""
    text = code_page.decode("ascii", errors="ignore").strip().casefold()
    number = re.search(r"\d{3,5}", text)
    said = {"65001": "utf-8", "88591": "latin-1", "885915": "iso8859-15"}.get(number[0] if number else "")
    if said is None and number and re.fullmatch(r"(ansi|oem|cp|windows|ldid/)?[ -]*\d{3,5}", text):
        said = f"cp{number[0]}"
    rows = table[struct.unpack_from("<H", table, 8)[0] :]
    ours = _CODE_PAGES.get(table[29])
    for encoding in filter(None, (said or text, None if text else ours, "utf-8", "cp1252", "latin-1")):
        with contextlib.suppress(LookupError, ValueError):
            rows.decode(encoding)
            certain = encoding in (said, text, ours) or rows.isascii()
            note = f"{path.name} does not say in which letters its texts are; they are read as {encoding}."
            return encoding, "" if certain or encoding == "utf-8" else note
    raise AssertionError("every byte is a letter of Latin-1")


def _geopackage(path: Path) -> Source:
    content = path.read_bytes()
    unsaved = path.with_name(path.name + "-wal")
    notes: tuple[str, ...] = ()
    if unsaved.is_file() and unsaved.stat().st_size:
        notes = (
            f"{unsaved.name} holds changes that are not in {path.name} yet; they are not read until the "
            "program that made them closes it.",
        )
    if content[18:20] == b"\x02\x02":  # a log is only kept beside a file on disk
        content = content[:18] + b"\x01\x01" + content[20:]
    # Immutable: nothing beside the file is opened or written.
    address = f"{path.resolve().as_uri()}?mode=ro&immutable=1"
    with contextlib.closing(sqlite3.connect(address, uri=True)) as database:
        database.execute("PRAGMA trusted_schema = OFF")
        master = database.execute("SELECT name, type, sql FROM sqlite_master").fetchall()
        kinds = {str(name).casefold(): (kind, str(sql)) for name, kind, sql in master}
        for name, (kind, sql) in kinds.items():
            virtual = re.search(
                r"^\s*create\s+virtual\s+table\b.*?\busing\s+[\"'`\[]?(\w+)", sql, re.I | re.S
            )
            if virtual and virtual[1].casefold() not in ("rtree", "fts3", "fts4", "fts5"):
                raise FileFormatError(
                    f"{path} has a table of another program ('{name[:40]}'), which is not opened; save the "
                    "layer alone as a new GeoPackage."
                )
            if name.startswith("gpkg_") and kind not in ("table", "index", "trigger"):
                raise FileFormatError(f"{path} is no proper GeoPackage: '{name[:40]}' is a {kind}.")
        if "gpkg_contents" not in kinds:
            raise FileFormatError(f"{path} is an SQLite file, but no GeoPackage; save its layer as one.")
        found = database.execute(
            "SELECT table_name FROM gpkg_contents WHERE data_type = 'features'"
        ).fetchall()
    tables = tuple(
        name
        for (name,) in found
        if kinds.get(str(name).casefold(), ("",))[0] == "table"
        and not kinds[str(name).casefold()][1].lstrip().casefold().startswith("create virtual")
    )
    views = [str(name)[:60] for (name,) in found if name not in tables]
    if views:
        notes += (f"{path.name} also has views ({', '.join(views[:8])}), which are not read.",)
    return Source(content, ("GPKG",), layers=tables, notes=notes)


def _flat_geobuf(path: Path) -> Source:
    return Source(path.read_bytes(), ("FlatGeobuf",), options={"VERIFY_BUFFERS": "YES"})


def _other_json(path: Path) -> Source:
    """TopoJSON and the JSON of Esri; "<" is written as a number, since GDAL looks for XML in any text."""
    table = read_json(path, most=MOST_BYTES)
    if not isinstance(table, dict):
        raise ValueError("it is no object")
    topology = table.get("type") == "Topology"
    table.pop("crs", None)
    content = json.dumps(table).replace("<", "\\u003c").encode()
    return Source(content, ("TopoJSON", "ESRIJSON"), crs=WGS84 if topology else None, default_crs=topology)


def _xml(path: Path) -> Source:
    check_length(path, MOST_TEXT)
    content = _plain_xml(path.read_bytes())
    folders = re.search(rb"<(?:\w+:)?kml[\s>]", content[:2000]) is not None
    options = {} if folders else {"DOWNLOAD_SCHEMA": "NO", "WRITE_GFS": "NO", "SKIP_RESOLVE_ELEMS": "ALL"}
    if re.search(rb"<gpx[\s>]", content[:2000]):
        return Source(content, ("GPX",))
    return Source(content, ("LIBKML", "KML") if folders else ("GML",), options=options, folders=folders)


def _kmz(path: Path) -> Source:
    with zipfile.ZipFile(path) as archive:
        inside = [one for one in archive.infolist() if one.filename.lower().endswith(".kml")]
        first = next((one for one in inside if one.filename.lower() == "doc.kml"), inside[0])
        if first.file_size > MOST_TEXT:
            raise FileFormatError(
                f"{path} unpacks to {first.file_size / 2**20:,.0f} MiB of KML; is it damaged?"
            )
        with archive.open(first) as file:
            content = file.read(MOST_TEXT + 1)
    return Source(_plain_xml(content), ("LIBKML", "KML"), folders=True)


_POINTERS = {"schemaLocation", "noNamespaceSchemaLocation", "href"}
_ELSEWHERE = {"NetworkLink", "NetworkLinkControl", "GroundOverlay", "PhotoOverlay", "ScreenOverlay", "Model",
              "Style", "StyleMap", "styleUrl", "include", "link"}  # fmt: skip


class _PlainXml(handler.ContentHandler):
    """Writes elements, attributes and text anew, without what names an address or a file."""

    def __init__(self) -> None:
        self._text = io.StringIO()
        self._out = saxutils.XMLGenerator(self._text, "utf-8")
        self._out.startDocument()
        self._skipped = self._depth = 0

    def startElement(self, name: str, attrs: Any) -> None:
        local = name.rpartition(":")[2]
        self._depth += 1
        if self._depth > _DEEPEST or local.startswith("OGR"):
            raise ValueError(f"<{local[:40]}> has no place in it")
        if self._skipped or local in _ELSEWHERE:
            self._skipped += 1
            return
        kept = {key: attrs[key] for key in attrs.keys() if key.rpartition(":")[2] not in _POINTERS}  # noqa: SIM118
        srs = kept.get("srsName", "")
        if srs and not is_crs(srs) and not _OLD_SRS.fullmatch(srs):
            del kept["srsName"]
        self._out.startElement(name, xml.sax.xmlreader.AttributesImpl(kept))

    def endElement(self, name: str) -> None:
        self._depth -= 1
        if self._skipped:
            self._skipped -= 1
        else:
            self._out.endElement(name)

    def characters(self, content: str) -> None:
        if not self._skipped:
            self._out.characters(content)

    def content(self) -> bytes:
        return self._text.getvalue().encode()


class _NoDocumentType(handler.LexicalHandler):
    def startDTD(self, name: str, public_id: str | None, system_id: str | None) -> None:
        raise ValueError("it declares a document type, which could open other files")


_DEEPEST = 100  # elements inside one another
_OLD_SRS = re.compile(r"http://www\.opengis\.net/gml/srs/epsg\.xml#\d+")


def _plain_xml(content: bytes) -> bytes:
    out = _PlainXml()
    reader = xml.sax.make_parser()
    reader.setFeature(handler.feature_external_ges, False)
    reader.setContentHandler(out)
    reader.setProperty(handler.property_lexical_handler, _NoDocumentType())
    reader.parse(io.BytesIO(content))
    return out.content()


def _mapinfo_text(path: Path) -> Source:
    return Source(_packed(_complete_parts(path, "mif")), ("MapInfo File",))


def _mapinfo_table(path: Path) -> Source:
    parts = _complete_parts(path, "tab")
    if _OTHER_TABLES.search(parts[path.suffix.lower()]):
        raise FileFormatError(
            f"{path} names other tables, which are not opened; save its layer as a GeoPackage."
        )
    return Source(_packed(parts), ("MapInfo File",))


_OTHER_TABLES = re.compile(
    rb"open\s+table|create\s+view|seamless|^\s*file\s|raster|^\s*type\s+(?!native)",
    re.IGNORECASE | re.MULTILINE,
)


def _complete_parts(path: Path, kind: str) -> dict[str, bytes]:
    found = _siblings(path, kind)
    missing = [end for end in SIBLINGS[kind] if end not in found]
    if missing:
        raise FileFormatError(
            f"{path} lacks {path.with_suffix(missing[0]).name} beside it; copy all its parts."
        )
    return found


SOURCES: dict[str, Callable[[Path], Source]] = {
    "shapefile": _shapefile,
    "geopackage": _geopackage,
    "flatgeobuf": _flat_geobuf,
    "topojson": _other_json,
    "esrijson": _other_json,
    "kml": _xml,
    "gml": _xml,
    "gpx": _xml,
    "kmz": _kmz,
    "mif": _mapinfo_text,
    "tab": _mapinfo_table,
}
