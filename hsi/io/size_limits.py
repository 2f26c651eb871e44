"""What a file claims to hold, checked before memory is taken for it.

A damaged or ill-meant file of a few bytes can claim any size. Three bounds: what the file's
own bytes can be unpacked to, the memory of this machine, and for texts more bytes than any honest one has.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable
from pathlib import Path

from hsi.errors import FileFormatError

MOST_TEXT = 64 << 20  # bytes of a description, a configuration, a table of scores

# A deflate stream shrinks at most about 1030 times ("deflate" of zlib, maximum compression factor).
_MOST_EXPANSION = 1100
_HARMLESS = 64 << 20  # bytes taken without asking: label maps may be nearly empty and shrink to nothing


def check_stored(path: Path, shape: Iterable[int], itemsize: int, stored: int) -> int:
    """Return the bytes of an array; raise unless it can be in a file.

    Parameters
    ----------
    path
        The file, for the message.
    shape, itemsize
        Of the array as the file describes it; bytes an element.
    stored
        Bytes that it takes in the file, packed or not.

    Raises
    ------
    FileFormatError
        When the file is too small for what it claims.
    """
    bytes_wanted = math.prod(int(size) for size in shape) * itemsize
    if bytes_wanted > max(_MOST_EXPANSION * stored, _HARMLESS):
        raise FileFormatError(
            f"{path} is damaged: it claims to hold an array of {bytes_wanted:,} bytes, far more than a "
            "file of its size can; fetch it again."
        )
    return bytes_wanted


def check_claim(path: Path, shape: Iterable[int], itemsize: int, stored: int) -> None:
    """Raise unless an array can be in a file and in this machine's memory.

    Parameters and errors are those of `check_stored`; also raised where memory is too small.
    """
    bytes_wanted = check_stored(path, shape, itemsize, stored)
    memory = whole_memory()
    if memory is not None and bytes_wanted > memory:
        raise FileFormatError(
            f"{path} holds an array of {bytes_wanted / 2**30:,.1f} GiB, but this machine has "
            f"{memory / 2**30:.1f} GiB of memory; cut the scene into parts, or save it as ENVI, "
            "GeoTIFF or .npy, of which hsi map reads only pieces."
        )


def check_length(path: Path, most: int = MOST_TEXT) -> None:
    """Raise FileFormatError for a file longer than `most` bytes, which is to be read whole."""
    length = path.stat().st_size
    if length > most:
        raise FileFormatError(
            f"{path} is {length / 2**20:,.0f} MiB long, but such a file has at most {most / 2**20:,.0f} MiB; "
            "is it another file?"
        )


def whole_memory() -> int | None:
    """Return this machine's memory in bytes, None where the system does not say."""
    if not hasattr(os, "sysconf"):  # Windows
        return None
    try:
        return int(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    except (ValueError, OSError):
        return None
