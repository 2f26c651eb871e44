"""Arrays of numbers in HDF5 files, those of MATLAB v7.3 among them.

Nothing outside the file is ever opened: external links, external storage and virtual datasets are left alone.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from hsi.datasets.formats.facts import ArrayInfo
from hsi.datasets.formats.recognise import recognise
from hsi.io.size_limits import check_claim

_MATLAB_NUMBERS = {
    "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "single", "double", "logical",
}  # fmt: skip


def list_hdf5(path: Path) -> list[ArrayInfo]:
    """Return the arrays of a file, without reading them; of MATLAB's own with their axes reversed."""
    import h5py

    infos = []
    reverse = _stored_by_matlab(path)

    def visit(name: str, node: Any) -> None:
        if not isinstance(node, h5py.Dataset) or name.startswith("#"):
            return
        kind = _matlab_class(node)
        numeric = node.dtype.kind in "iufb" and (not kind or kind in _MATLAB_NUMBERS)
        numeric = numeric and "MATLAB_empty" not in node.attrs and not _is_elsewhere(node)
        shape = tuple(node.shape or ())
        infos.append(
            ArrayInfo(
                name,
                shape[::-1] if reverse else shape,
                kind if not numeric and kind else str(node.dtype),
                numeric,
            )
        )

    with h5py.File(path, "r") as file:
        file.visititems(visit)  # hard links only: never into another file
    return infos


def read_hdf5(path: Path, name: str) -> NDArray[Any]:
    """Return one array that `list_hdf5` calls numeric.

    Raises
    ------
    FileFormatError
        When it claims more than what is stored of it can hold.
    """
    import h5py

    with h5py.File(path, "r") as file:
        node = file[name]
        stored = min(int(node.id.get_storage_size()), path.stat().st_size)
        check_claim(path, node.shape, node.dtype.itemsize, stored)
        if node.chunks is not None:  # a chunk is unpacked as a whole
            check_claim(path, node.chunks, node.dtype.itemsize, stored)
        array: NDArray[Any] = node[()]
    return array.T if _stored_by_matlab(path) else array


def _stored_by_matlab(path: Path) -> bool:
    # MATLAB v7.3 is HDF5 after a 512-byte text header; its axes come out reversed. Other HDF5 files are taken
    # as they are.
    return recognise(path) == "mat73"


def _matlab_class(node: Any) -> str:
    kind = node.attrs.get("MATLAB_class", b"")
    return kind.decode(errors="replace") if isinstance(kind, bytes) else str(kind)


def _is_elsewhere(node: Any) -> bool:
    """Whether the values are kept in other files."""
    return bool(node.external) or node.is_virtual
