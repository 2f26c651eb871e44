"""Numeric arrays in HDF5 files, those of MATLAB v7.3 among them.

Nothing outside the file is opened: external links, external storage and virtual datasets are skipped. MATLAB
v7.3 is HDF5 after a 512-byte text header, with the axes reversed (`matlab`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from hsi.datasets.formats.facts import ArrayInfo
from hsi.io.size_limits import check_claim

_MATLAB_NUMBERS = {
    "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "single", "double", "logical",
}  # fmt: skip


def list_hdf5(path: Path, matlab: bool = False) -> list[ArrayInfo]:
    """Return the arrays of a file, without reading them."""
    import h5py

    infos = []

    def visit(name: str, node: Any) -> None:
        if not isinstance(node, h5py.Dataset) or name.startswith("#"):
            return
        kind = node.attrs.get("MATLAB_class", "")
        kind = kind.decode(errors="replace") if isinstance(kind, bytes) else str(kind)
        numeric = node.dtype.kind in "iufb" and (not kind or kind in _MATLAB_NUMBERS)
        in_other_files = bool(node.external) or node.is_virtual
        numeric = numeric and "MATLAB_empty" not in node.attrs and not in_other_files
        shape = tuple(node.shape or ())
        dtype = kind if not numeric and kind else str(node.dtype)
        infos.append(ArrayInfo(name, shape[::-1] if matlab else shape, dtype, numeric))

    with h5py.File(path, "r") as file:
        file.visititems(visit)  # hard links only: never into another file
    return infos


def read_hdf5(path: Path, info: ArrayInfo, matlab: bool = False) -> NDArray[Any]:
    """Return a numeric array; FileFormatError where its stored bytes cannot hold its shape."""
    import h5py

    with h5py.File(path, "r") as file:
        node = file[info.name]
        stored = min(int(node.id.get_storage_size()), path.stat().st_size)
        check_claim(path, node.shape, node.dtype.itemsize, stored)
        if node.chunks is not None:  # a chunk is unpacked as a whole
            check_claim(path, node.chunks, node.dtype.itemsize, stored)
        array: NDArray[Any] = node[()]
    return array.T if matlab else array
