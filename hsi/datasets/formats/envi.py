"""ENVI images: a text header (``.hdr``) and a data file.

The data is memory-mapped, so a cube larger than memory can be opened; the view is (rows, cols, bands)
whatever the interleave. Data packed by gzip is unpacked into memory. Gain, offset and reflectance scale are
not applied: each band is standardised later, which cancels them.
"""

from __future__ import annotations

import gzip
import math
import re
import zlib
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hsi.datasets.formats.envi_header import Header, Layout, read_header
from hsi.datasets.formats.envi_map_info import georeference_of
from hsi.datasets.formats.facts import (
    ArrayInfo,
    FileFacts,
    centres_from_names,
    raster_info,
    to_nanometres,
)
from hsi.datasets.formats.recognise import envi_header
from hsi.errors import FileFormatError
from hsi.io.size_limits import check_claim

_DATA_SUFFIXES = (".img", ".dat", ".raw", ".bin", ".bsq", ".bil", ".bip", ".hyspex")
_GZIP = b"\x1f\x8b"


def envi_files(path: Path) -> tuple[Path, Path]:
    """Return the header and the data file of an ENVI image, of which `path` is one.

    The data has the header's name with a usual suffix or none; else it is the one file beside the header
    whose size fits and that has no header of its own.

    Raises
    ------
    FileFormatError
        When there is no data file beside the header, or the header is that of a spectral library.
    """
    header = _header_of(path)
    return header.path, _data_of(header, path)


def list_envi(path: Path) -> list[ArrayInfo]:
    """Return the one array of an ENVI image, without reading it."""
    _, _, layout = _open(path)
    return [raster_info(layout.rows, layout.cols, layout.bands, layout.dtype.name, True)]


def read_envi(path: Path, info: ArrayInfo | None = None) -> NDArray[Any]:
    """Return the values, memory-mapped and read-only: (rows, cols, bands), or (rows, cols) of one band."""
    _, data, layout = _open(path)
    values: NDArray[Any]
    if _is_packed(data, layout):
        values = layout.arrange(_unpack(data, layout))
    else:
        count = layout.rows * layout.cols * layout.bands
        values = layout.arrange(np.memmap(data, layout.dtype, "r", layout.offset, (count,)))
    return values[:, :, 0] if layout.bands == 1 else values


def envi_facts(path: Path) -> FileFacts:
    """Return the metadata of the header; a note is made of what is guessed or cannot be read."""
    header, data, layout = _open(path)
    notes = [*header.notes, *layout.notes]
    if path == header.path and data.name not in _usual_names(header.path):
        notes.append(f"The data of {header.path.name} is taken from {data.name}, whose size fits.")
    length = _length(data, layout)
    if length > layout.length:
        notes.append(
            f"{data.name} has {length:,} bytes, but its header asks for {layout.length:,}; the rest is left "
            f"out. A wrong data type or size in the header looks like this.{_other_type(length, layout)}"
        )
    return facts_of_fields(header, layout.bands, notes)


def header_beside(path: Path) -> Header | None:
    """Return the ENVI header ``NAME.hdr`` or ``NAME.tif.hdr`` beside a raster of another format, if any.

    Raises
    ------
    FileFormatError
        When the header is damaged.
    """
    found = envi_header(path)
    return None if found is None or found == path else read_header(found)


def facts_of_header(path: Path, bands: int) -> FileFacts | None:
    """Return what an ENVI header says of `bands` bands, None where there is none; a note says what is taken.

    Parameters
    ----------
    path
        The header, or a raster of another format that it lies beside.
    bands
        Bands of the raster; lists of another length are left out with a note.

    Raises
    ------
    FileFormatError
        When the header is damaged.
    """
    found = envi_header(path)
    if found is None:
        return None
    facts = facts_of_fields(read_header(found), bands)
    taken = ["wavelengths"] * bool(facts.wavelengths_nm) + ["bad bands"] * bool(facts.bad_bands)
    if found == path or not taken:
        return facts
    note = f"The {' and '.join(taken)} of {path.name} are those of {found.name} beside it."
    return replace(facts, notes=(note, *facts.notes))


def _header_of(path: Path) -> Header:
    found = envi_header(path)
    assert found is not None, "only called for what `recognise` calls envi"
    header = read_header(found)
    if header.is_library:
        raise FileFormatError(
            f"{found} is the header of a spectral library, not of an image; name an image as the cube, and "
            "give the library with --library (library in Python)."
        )
    return header


def _open(path: Path) -> tuple[Header, Path, Layout]:
    header = _header_of(path)
    data = _data_of(header, path)
    layout = header.layout(data)
    length = _length(data, layout)
    packed = _is_packed(data, layout)
    if header.text("file compression").strip() == "1" and length != layout.length and not packed:
        raise FileFormatError(
            f"{data} is packed in a way that is not read (file compression = 1, but no gzip); unpack it, "
            "and set 'file compression = 0'."
        )
    # What is packed in several pieces tells the length of the last one only; too short shows when it is read.
    if length < layout.length and not packed:
        raise FileFormatError(
            f"{data} is truncated: its header {header.path.name} asks for {layout.length:,} bytes, and it "
            f"has {length:,}; fetch or write it again, or correct the header.{_other_type(length, layout)}"
        )
    return header, data, layout


def _other_type(length: int, layout: Layout) -> str:
    """Return a sentence if the length is that of values of another type."""
    each, rest = divmod(length - layout.offset, layout.rows * layout.cols * layout.bands)
    types = {1: "1", 2: "2 or 12", 4: "4, 3 or 13", 8: "5, 14 or 15"}.get(each) if rest == 0 else None
    return f" The length fits values of {each} bytes (data type {types})." if types else ""


def _usual_names(header: Path) -> tuple[str, ...]:
    stem = _stem(header)
    return (stem, *(stem + suffix for suffix in _DATA_SUFFIXES))


def _stem(header: Path) -> str:
    return header.name[: -len(header.suffix)] if header.suffix.lower() == ".hdr" else header.name


def _data_of(header: Header, path: Path) -> Path:
    """Return the data file: `path` itself, unless that is the header."""
    if path != header.path:
        return path
    stem = _stem(header.path)
    beside = sorted(one for one in header.path.parent.iterdir() if one.is_file() and one != header.path)
    usual = [one for one in beside if one.name == stem]
    usual += [one for one in beside if one.stem == stem and one.suffix.lower() in _DATA_SUFFIXES]
    if len(usual) == 1:
        return usual[0]
    without = f"{path} is an ENVI header without its data: "
    others = [one for one in beside if one.stem == stem and one.suffix.lower() in _RASTERS]
    if others and not usual:
        raise FileFormatError(f"{without}it belongs to {others[0].name} beside it; name that.")
    layout = header.layout()
    sized = [one for one in beside if _length(one, layout) == layout.length]
    for candidates in (usual, [one for one in beside if one.name.startswith(f"{stem}.")], beside):
        fitting = [one for one in candidates if one in sized]
        if candidates is beside:
            fitting = [one for one in fitting if envi_header(one) is None]
        if len(fitting) == 1:
            return fitting[0]
    if usual:
        return usual[0]
    raise FileFormatError(
        f"{without}put the file {stem}, {stem}.img or {stem}.bsq beside it, or name the data file itself."
    )


_RASTERS = (".tif", ".tiff", ".h5", ".mat", ".npy")


def _length(data: Path, layout: Layout) -> int:
    """Return the bytes of the data file, unpacked."""
    if not _is_packed(data, layout):
        return data.stat().st_size
    with data.open("rb") as file:
        file.seek(-4, 2)
        told = int.from_bytes(file.read(4), "little")  # modulo 2^32 (RFC 1952, ISIZE)
    return layout.length - layout.length % 2**32 + told


def _is_packed(data: Path, layout: Layout) -> bool:
    """Whether the data is packed by gzip; values may start with the same two bytes."""
    length = data.stat().st_size
    if length == layout.length or length < 18:
        return False
    with data.open("rb") as file:
        return file.read(3) == _GZIP + b"\x08"


def _unpack(data: Path, layout: Layout) -> NDArray[Any]:
    """Return all values of a file that is packed by gzip."""
    shape = (layout.rows, layout.cols, layout.bands)
    check_claim(data, shape, layout.dtype.itemsize, data.stat().st_size)
    values = np.empty(math.prod(shape), layout.dtype)
    room = values.view(np.uint8).data
    done = 0
    try:
        with gzip.open(data) as file:
            file.read(layout.offset)
            while done < len(room) and (got := file.readinto(room[done:])):
                done += got
    except (OSError, EOFError, zlib.error) as error:
        raise FileFormatError(f"{data} is packed by gzip and damaged ({error}); fetch it again.") from None
    if done < len(room):
        raise FileFormatError(
            f"{data} is truncated: its header asks for {layout.length:,} bytes, and unpacked it has "
            f"{done + layout.offset:,}; fetch or write it again, or correct the header."
        )
    values.flags.writeable = False
    return values


def facts_of_fields(header: Header, bands: int, notes: Sequence[str] = ()) -> FileFacts:
    """Return what the fields of a header say of `bands` bands, with `notes` and notes of what is left out."""
    notes = [*notes]
    flags = header.numbers("bbl", notes)
    centres, widths, kept = _bands(header, flags, bands, notes)
    if kept is not None:
        flags = ()
    elif len(flags) not in (0, bands):
        notes.append(f"The header lists {len(flags)} values of 'bbl' for {bands} bands; left out.")
        flags = ()
    bad = tuple(number for number, flag in enumerate(flags) if flag == 0)
    if len(bad) == bands:
        notes.append("The header marks all bands as bad ('bbl'); the marks are left out.")
        bad = ()
    return FileFacts(
        wavelengths_nm=centres,
        fwhm_nm=widths,
        bad_bands=bad,
        no_data=next(iter(header.numbers("data ignore value", notes)), None),
        class_names=_class_names(header),
        colors=_colors(header, notes),
        sensor=_sensor(header),
        georeference=georeference_of(header, notes),
        acquired=_acquired(header),
        notes=tuple(notes),
    )


def _bands(
    header: Header, flags: tuple[float, ...], bands: int, notes: list[str]
) -> tuple[tuple[float, ...], tuple[float, ...], list[int] | None]:
    """Return centres and widths in nm, and the bands of longer lists that are in the file (None: all)."""
    unit = header.text("wavelength units").strip("{}\"' ")
    listed, note = _centres(header, notes), ""
    widths = header.numbers("fwhm", notes)
    kept = None
    if len(listed) != bands and len(listed) == len(flags) and sum(map(bool, flags)) == bands:
        kept = [number for number, flag in enumerate(flags) if flag]
        notes.append(
            f"The header lists {len(listed)} bands, of which {bands} are good ('bbl'), as many as the file "
            "has; the file is taken to hold these."
        )
        widths = tuple(widths[number] for number in kept) if len(widths) == len(listed) else widths
        listed = tuple(listed[number] for number in kept)
    if listed and len(listed) != bands:
        notes.append(f"The header lists {len(listed)} values of 'wavelength' for {bands} bands; left out.")
        listed = ()
    centres, note = to_nanometres(listed, unit, check_unit=True)
    if not centres:
        names = header.words("band names")
        from_names, name_note = centres_from_names(names) if len(names) == bands else ((), "")
        if from_names:
            centres, note = from_names, name_note
    notes += [note] * bool(note)
    return centres, _widths(widths, centres, listed, bands, notes), kept


def _centres(header: Header, notes: list[str]) -> tuple[float, ...]:
    """Return the list of wavelengths as it stands, or in nm where each has a unit."""
    doubts: list[str] = []
    listed = header.numbers("wavelength", doubts)
    if doubts:
        listed, note = centres_from_names(header.words("wavelength"))
        notes += [note.replace("names of the bands", "list 'wavelength'")] if listed else doubts
    return listed


def _widths(
    widths: tuple[float, ...],
    centres: tuple[float, ...],
    listed: tuple[float, ...],
    bands: int,
    notes: list[str],
) -> tuple[float, ...]:
    """Return widths in nm: they have the unit of the centres, which may have been guessed."""
    if not widths or not centres or not listed:
        return ()
    if len(widths) != bands:
        notes.append(f"The header lists {len(widths)} values of 'fwhm' for {bands} bands; left out.")
        return ()
    pairs = zip(centres, listed, widths, strict=True)
    if not all(0 < width < math.inf for centre, _, width in pairs if centre):
        notes.append("The header lists band widths ('fwhm') that are not positive numbers; left out.")
        return ()
    factor = next(centre / before for centre, before in zip(centres, listed, strict=True) if centre)
    return tuple(width * factor for width in widths)


def _class_names(header: Header) -> dict[int, str]:
    """Code -> name, without 0, which is "Unclassified" in ENVI."""
    return {code: name for code, name in enumerate(header.words("class names")) if code and name}


def _colors(header: Header, notes: list[str]) -> dict[int, str]:
    values = header.numbers("class lookup", notes)
    if len(values) % 3 or not all(0 <= value <= 255 for value in values):
        notes.append("'class lookup' in the ENVI header is not three bytes a class; it is left out.")
        return {}
    triples = [tuple(int(value) for value in values[at : at + 3]) for at in range(0, len(values), 3)]
    return {code: "#{:02x}{:02x}{:02x}".format(*triple) for code, triple in enumerate(triples) if code}


def _sensor(header: Header) -> str:
    sensor = " ".join(header.text("sensor type").strip("\"'").split())
    return "" if sensor.casefold() in ("unknown", "none", "") else sensor[:200]


def _acquired(header: Header) -> str:
    """Return the time of "acquisition time" as ISO 8601 in UTC, or its date alone."""
    text = header.text("acquisition time")
    match = re.search(
        r"\d{4}-\d{2}-\d{2}(?:[T ]+\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?(?:Z|[+-]\d{2}:?\d{2})?)?", text
    )
    if match is None:
        return ""
    try:
        time = datetime.fromisoformat(re.sub(r"[T ]+", "T", match[0]))
    except ValueError:
        return ""
    if "T" not in match[0] and " " not in match[0]:
        return time.date().isoformat()
    time = time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    return time.isoformat().replace("+00:00", "Z")
