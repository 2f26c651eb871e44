"""The format of a file, recognised by its first bytes and not by its name."""

from __future__ import annotations

import re
import stat
import zipfile
from pathlib import Path

from hsi.errors import FileFormatError, SceneNotFoundError

SUPPORTED = "MATLAB v5 and v7.3 (.mat), NumPy (.npy, .npz), HDF5 (.h5), ENVI (.hdr and its data) and GeoTIFF"
ARRAYS = ("mat5", "mat73", "hdf5", "npy", "npz", "envi", "tiff")
SHAPES = ("geojson", "shapefile")
HEAD_BYTES = 4096

_HDF5 = b"\x89HDF\r\n\x1a\n"
_ENVI_SUFFIXES = {".img", ".bsq", ".bil", ".bip", ".dat", ".raw"}
_MAGIC = (
    (b"Rar!", "a RAR archive"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-zip archive"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"BZh", "a bzip2 archive"),
    (b"\xfd7zXZ\x00", "an xz archive"),
    (b"II*\x00", "tiff"),
    (b"MM\x00*", "tiff"),
    (b"II+\x00", "tiff"),
    (b"MM\x00+", "tiff"),
    (b"\x00\x00\x27\x0a", "shapefile"),  # 9994, the first number of every .shp
    (b"SQLite format 3\x00", "a GeoPackage or another SQLite file"),
    (b"\x89PNG", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"%PDF", "a PDF document"),
    (b"CDF\x01", "a NetCDF 3 file"),
    (b"CDF\x02", "a NetCDF 3 file"),
)


def identify(head: bytes) -> str:
    """Return the format that the first `HEAD_BYTES` of a file show.

    One of ``mat5``, ``mat73``, ``hdf5``, ``npy``, ``zip``, ``tiff``, ``envi`` (a header), ``geojson``,
    ``shapefile``; or a description that starts with an article ("a PNG image"); or "" if not known.
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
    return _identify_text(head)


def _identify_text(head: bytes) -> str:
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith((b"<!doctype html", b"<html", b"<head", b"<script", b"<?xml", b"<!--")):
        return "an HTML page"
    if text.startswith(b"version https://git-lfs"):
        return "a Git LFS pointer, not the file itself"
    if text.split(None, 1)[:1] == [b"envi"]:
        return "envi"
    if text.startswith(b"{") and re.search(rb'"type"\s*:\s*"feature', text):
        return "geojson"
    if head[0] == 0x80 and len(head) > 1 and head[1] in range(2, 6):
        return "a Python pickle"
    if all(byte >= 32 or byte in b"\t\r\n\f" for byte in head):
        return "a text file"
    return ""


def envi_header(path: Path) -> Path | None:
    """Return the ENVI header of an image: `path` itself, or ``NAME.hdr`` or ``NAME.img.hdr`` beside it."""
    beside = (path.with_name(name + end) for name in (path.name, path.stem) for end in (".hdr", ".HDR"))
    for candidate in (path, *beside):
        try:
            with candidate.open("rb") as file:
                if identify(file.read(HEAD_BYTES)) == "envi":
                    return candidate
        except OSError:
            continue
    return None


def _advice(found: str, path: Path) -> str:
    if found.startswith("a GeoPackage"):
        return f"{path} is {found}; save its layer as GeoJSON or as a shapefile."
    if found == "an HTML page":
        return f"{path} is an HTML page (a web site's answer saved under that name); fetch it again."
    if found.startswith("a Git LFS"):
        return f"{path} is {found}; fetch the file with 'git lfs pull' or from a mirror."
    if found.endswith("archive"):
        return f"{path} is {found}; unpack it and name the file inside."
    if found == "a Python pickle":
        return f"{path} is {found}, which could run code when read; save the array with numpy.save instead."
    if found == "an empty file":
        return f"{path} is {found}; delete it and fetch it again."
    if found:
        return f"{path} is {found}; scenes are read from {SUPPORTED}."
    if path.suffix.lower() in _ENVI_SUFFIXES:
        return (
            f"{path} looks like ENVI data, but has no header: put {path.stem}.hdr beside it; otherwise "
            f"scenes are read from {SUPPORTED}."
        )
    return f"{path} is in no known format or is damaged at its start; scenes are read from {SUPPORTED}."


def recognise(path: Path) -> str:
    """Return the format of a file that can be read: one of `ARRAYS`, or of `SHAPES` for labels.

    ENVI data files have no signature: a file counts as one if its header lies beside it and its first bytes
    are those of no other readable format.

    Raises
    ------
    SceneNotFoundError
        When there is no such file.
    FileFormatError
        For any other file; the message says what it is and what to do.
    """
    try:
        # Reading a pipe or a device might never end.
        if not (stat.S_ISREG(path.stat().st_mode) or path.is_dir()):
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
        try:
            with zipfile.ZipFile(path) as archive:
                names = archive.namelist()
        except Exception:  # damaged bytes make it raise almost any type
            raise FileFormatError(
                f"{path} is a truncated or damaged .npz file; fetch or write it again."
            ) from None
        if not any(name.endswith(".npy") for name in names):
            raise FileFormatError(_advice("a ZIP archive", path))
        return "npz"
    if found in (*ARRAYS, *SHAPES):
        return found
    if envi_header(path) is not None:
        return "envi"
    raise FileFormatError(_advice(found, path))
