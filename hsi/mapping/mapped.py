"""Memory maps: giving back the pages of a file that were read and are not needed for now."""

from __future__ import annotations

import contextlib
import mmap
from typing import Any

import numpy as np

from hsi.datasets.cube import Cube
from hsi.datasets.windowed import WindowedCube


def release_pages(array: Cube) -> bool:
    """Take the pages of a read-only memory map out of this process; return whether that was done.

    The system would take them only when memory is short; until then they count as this process's memory. What
    is read again comes from the system's cache or the file. Other arrays are left alone, and so are maps that
    can be written to, and systems that have no ``madvise``.
    """
    owner: Any = array
    while isinstance(owner, np.ndarray | WindowedCube):
        if isinstance(owner, np.memmap) and owner.mode != "r":
            return False
        owner = owner.base
    if not isinstance(owner, mmap.mmap) or not hasattr(mmap, "MADV_DONTNEED"):
        return False
    with contextlib.suppress(OSError):
        owner.madvise(mmap.MADV_DONTNEED)
        return True
    return False
