"""Numeric arrays in HDF5 files, those of MATLAB v7.3 among them.

Nothing outside the file is opened: external links, external storage and virtual datasets are skipped. MATLAB
v7.3 is HDF5 after a 512-byte text header, with the axes reversed (`matlab`).
"""

from __future__ import annotations

import contextlib
import math
import os
import threading
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hsi.datasets.cube import WindowedCube
from hsi.datasets.formats.facts import ArrayInfo, FileFacts
from hsi.datasets.formats.named_arrays import (
    MOST_VALUES,
    SYSTEMS,
    facts_of_vectors,
    fill_value,
    find_axes,
    numbers_of_attribute,
    place_of_axes,
)
from hsi.errors import FileFormatError
from hsi.io.size_limits import check_claim, check_stored

_MATLAB_NUMBERS = {
    "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "single", "double", "logical",
}  # fmt: skip


@dataclass(frozen=True)
class Hdf5Array(ArrayInfo):
    """One dataset of a file.

    Attributes
    ----------
    axes
        Which axes of the dataset are rows, columns and bands; None where it has another number of axes.
    note
        How that was found out, if it is not plain.
    """

    axes: tuple[int, int, int] | None = None
    note: str = ""


def list_hdf5(path: Path, matlab: bool = False) -> list[Hdf5Array]:
    """Return the arrays of a file, without reading them; those in structs of MATLAB as ``struct.field``."""
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
        if matlab:
            name, shape = name.replace("/", "."), shape[::-1]
        infos.append(Hdf5Array(name, shape, dtype, numeric))

    with h5py.File(path, "r") as file:
        file.visititems(visit)  # hard links only: never into another file
        cubes = [] if matlab else [one for one in infos if one.numeric and len(one.shape) == 3]
        vectors = _vectors(file, {size for one in cubes for size in one.shape}) if cubes else {}
        placed = {one.name: _with_axes(file[one.name], one, vectors) for one in cubes}
    return [placed.get(one.name, one) for one in infos]


def _with_axes(node: Any, info: Hdf5Array, vectors: Mapping[str, Sequence[float]]) -> Hdf5Array:
    axes, note = find_axes(info.shape, _axis_names(node), {**vectors, **_attributes(node)})
    return replace(info, shape=tuple(info.shape[axis] for axis in axes), axes=axes, note=note)


def _axis_names(node: Any) -> list[str]:
    """Return the names of a dataset's axes: their labels, else the names of the datasets attached to them."""
    labels = [str(one) for one in _of_axes(node, "DIMENSION_LABELS")]
    names = []
    for axis in range(node.ndim):
        attached = _attached(node, axis)
        name = attached.name if attached is not None else ""
        names.append((labels[axis] if axis < len(labels) else "") or name or "")
    return names


def _attached(node: Any, axis: int) -> Any:
    """Return the first dataset attached to an axis ("dimension scale"), None where there is none."""
    import h5py

    lists = _of_axes(node, "DIMENSION_LIST")
    if axis >= len(lists):
        return None
    with contextlib.suppress(Exception):  # damaged, but not needed
        first = np.asarray(lists[axis], object).ravel()[0]
        found = node.file[first] if isinstance(first, h5py.Reference) and first else None
        return found if isinstance(found, h5py.Dataset) else None
    return None


def _of_axes(node: Any, attribute: str) -> list[Any]:
    """Return an attribute that has one value an axis, texts decoded; none where it is missing or damaged.

    HDF5's own functions for it end the process where the attribute has another type.
    """
    if node.ndim == 0 or attribute not in node.attrs:
        return []
    with contextlib.suppress(Exception):
        if node.attrs.get_id(attribute).shape != (node.ndim,):
            return []
        values = node.attrs[attribute].tolist()
        return [one.decode(errors="replace") if isinstance(one, bytes) else one for one in values]
    return []


def _vectors(file: Any, lengths: Collection[int]) -> dict[str, list[float]]:
    """Return the datasets of one axis and real numbers that have one of some lengths, by name."""
    import h5py

    found: dict[str, list[float]] = {}

    def visit(name: str, node: Any) -> None:
        if (
            not isinstance(node, h5py.Dataset)
            or node.external
            or node.is_virtual
            or node.dtype.kind not in "iuf"
        ):
            return
        count = math.prod(node.shape or ())
        if count == max(node.shape or (0,)) and count in lengths and 1 < count <= MOST_VALUES:
            found[name] = np.asarray(node[()], np.float64).ravel().tolist()

    file.visititems(visit)
    return found


def _attributes(node: Any) -> dict[str, list[float]]:
    """Return the lists of numbers among the attributes of a dataset, of its group, and of the file."""
    found: dict[str, list[float]] = {}
    for owner in (node.file, node.parent, node):
        for name, value in _attributes_of(owner).items():
            values = numbers_of_attribute(value)
            if 1 < len(values) <= MOST_VALUES:
                found[name] = values
    return found


def _attributes_of(owner: Any) -> dict[str, Any]:
    """Return the attributes of a group or dataset; those of types that NumPy lacks are left out."""
    found = {}
    for name in owner.attrs:
        with contextlib.suppress(OSError, TypeError, ValueError):
            found[str(name)] = owner.attrs[name]
    return found


def hdf5_facts(path: Path, info: ArrayInfo) -> FileFacts:
    """Return the wavelengths and the no-data value of a cube.

    Wavelengths are vectors of as many numbers as there are bands: datasets of the file, and attributes of the
    cube, its group or the file. A scale factor is not applied.
    """
    import h5py

    with h5py.File(path, "r") as file:
        node = get_node(file, info.name) or get_node(file, info.name.replace(".", "/"))
        bands = info.shape[2]
        vectors = {**_vectors(file, {bands}), **_attributes(node)}
        no_data = fill_value(_attributes_of(node))
        place = _place(node, info)
    return facts_of_vectors(
        vectors, bands, no_data=no_data, note=getattr(info, "note", ""), georeference=place
    )


def _place(node: Any, info: ArrayInfo) -> dict[str, Any] | None:
    """Return the georeference of a cube whose axes have coordinates attached, as in netCDF."""
    axes = getattr(info, "axes", None)
    if axes is None or node.ndim != 3:
        return None
    names, values = [], []
    for axis in axes[:2]:
        attached = _attached(node, axis)
        if attached is None or attached.shape != (node.shape[axis],) or attached.dtype.kind not in "iuf":
            return None
        if attached.external or attached.is_virtual or attached.size > MOST_VALUES:
            return None
        names.append(attached.name or "")
        values.append(np.asarray(attached[()], np.float64).tolist())
    attributes = _attributes_of(node)
    mapping = attributes.get("grid_mapping", "")
    mapping = mapping.decode(errors="replace") if isinstance(mapping, bytes) else str(mapping)
    beside = get_node(node.parent, mapping) if mapping else None
    owners = [attributes, _attributes_of(node.file)]
    owners += [] if beside is None else [_attributes_of(beside)]
    systems = [owner[name] for owner in owners for name in SYSTEMS if name in owner]
    return place_of_axes(values[0], values[1], names, systems)


def read_hdf5(path: Path, info: ArrayInfo, matlab: bool = False) -> NDArray[Any]:
    """Return a numeric array; FileFormatError where its stored bytes cannot hold its shape."""
    import h5py

    with h5py.File(path, "r") as file:
        node = get_node(file, info.name.replace(".", "/")) if matlab else file[info.name]
        stored = min(int(node.id.get_storage_size()), path.stat().st_size)
        check_claim(path, node.shape, node.dtype.itemsize, stored)
        if node.chunks is not None:  # a chunk is unpacked as a whole
            check_claim(path, node.chunks, node.dtype.itemsize, stored)
        array: NDArray[Any] = node[()]
    if matlab:
        return array.T
    axes = getattr(info, "axes", None)
    return array if axes is None else array.transpose(axes)


def open_hdf5(path: Path, info: Hdf5Array) -> Hdf5Cube:
    """Return a cube that stays in its file."""
    return Hdf5Cube(path, info.name, info.axes or (0, 1, 2))


def get_node(parent: Any, name: str) -> Any:
    """Return a group or dataset by its path below `parent`, None where it is missing.

    Only hard links are followed: soft and external ones can lead into another file.
    """
    import h5py

    node = parent
    for part in name.split("/"):
        if not isinstance(node, h5py.Group) or not isinstance(node.get(part, getlink=True), h5py.HardLink):
            return None
        node = node[part]
    return node


def check_dataset(path: Path, node: Any, whole: bool = True) -> None:
    """Raise FileFormatError unless values of a dataset can be read, from this file and into memory.

    With ``whole=False`` only the chunks, each of which is unpacked as a whole, must fit into memory.
    """
    if node.external or node.is_virtual:
        raise FileFormatError(
            f"{path} keeps '{node.name}' in another file, which is not opened; copy it into this one."
        )
    shape, itemsize = node.shape or (), node.dtype.itemsize
    stored = min(int(node.id.get_storage_size()), path.stat().st_size)
    (check_claim if whole else check_stored)(path, shape, itemsize, stored)
    if node.chunks is not None:
        check_claim(path, node.chunks, itemsize, stored)


CHUNK_CACHE = 64 << 20
"""Bytes of unpacked chunks that each open cube keeps, so that neighbouring windows share them."""
_LARGE_BLOCK = 4 * CHUNK_CACHE  # bytes unpacked for one spectrum, above which the scene gets a note


class Hdf5Cube(WindowedCube):
    """A dataset of three axes as ``(rows, cols, bands)``, read by windows.

    It can be pickled and survives a fork: each process opens the file for itself. Threads of one process take
    turns.

    Parameters
    ----------
    path
        The file.
    name
        The dataset, ``group/name``.
    axes
        Which axis of the dataset is that of rows, of columns, and of bands.

    Raises
    ------
    FileFormatError
        When the dataset is missing, has no three axes of real numbers or lies in another file; when a chunk
        is larger than this machine's memory; when the file is damaged (here or when a window is read).
    """

    def __init__(self, path: Path, name: str, axes: tuple[int, int, int] = (0, 1, 2)) -> None:
        self.path, self.name, self.axes = path, name, axes
        self._reset()
        node = self._open()
        if node.ndim != 3 or node.dtype.kind not in "iufb":
            raise FileFormatError(
                f"{path}: '{name}' has {node.ndim} axes of {node.dtype}, not three of real numbers; is it "
                "another kind of file?"
            )
        check_dataset(path, node, whole=False)
        self.shape = tuple(int(node.shape[axis]) for axis in axes)
        self.dtype = node.dtype.newbyteorder("=")
        chunk = (1, 1, 1) if node.chunks is None else tuple(int(node.chunks[axis]) for axis in axes)
        self._block_rows = min(chunk[0], max(1, self.shape[0]))
        self._block_bytes = chunk[0] * chunk[1] * self.shape[2] * self.dtype.itemsize
        node.file.close()  # until a window is read
        self._reset()

    def _reset(self) -> None:
        self._lock = threading.Lock()
        self._process = os.getpid()
        self._node: Any = None

    def _open(self) -> Any:
        """Return the dataset, opened once a process."""
        import h5py

        if self._node is None:
            try:
                file = h5py.File(self.path, "r", rdcc_nbytes=CHUNK_CACHE, rdcc_nslots=12_421)  # a prime
                node = get_node(file, self.name)
            except (OSError, RuntimeError, KeyError, ValueError) as error:
                raise _damaged(self.path, error) from None
            if not isinstance(node, h5py.Dataset):
                raise FileFormatError(f"{self.path} holds no dataset '{self.name}'; fetch it again.")
            self._node = node
        return self._node

    def __reduce__(self) -> tuple[type[Hdf5Cube], tuple[Path, str, tuple[int, int, int]]]:
        """Pickle as the path of the file and the name in it."""
        return Hdf5Cube, (self.path, self.name, self.axes)

    @property
    def notes(self) -> tuple[str, ...]:
        """A sentence if the chunks of the file make mapping slow, else nothing."""
        if self._block_bytes <= _LARGE_BLOCK:
            return ()
        return (
            f"{self.path.name} is stored in large chunks: {self._block_bytes / 2**20:,.0f} MiB are unpacked "
            "for one spectrum, many times for a map; repack it to map faster (h5repack -l CHUNK=64x64x64).",
        )

    @property
    def block_rows(self) -> int:
        """See `WindowedCube`."""
        return self._block_rows

    @property
    def memory_bytes(self) -> int:
        """See `WindowedCube`."""
        return CHUNK_CACHE

    def read(self, rows: slice, cols: slice, bands: NDArray[np.int64] | None) -> NDArray[Any]:
        """See `WindowedCube`."""
        if self._process != os.getpid():
            self._reset()
        if bands is None:
            return np.ascontiguousarray(self._block(rows, cols, slice(0, self.shape[2])))
        unique, places = np.unique(bands, return_inverse=True)
        if not len(unique):
            return np.empty((rows.stop - rows.start, cols.stop - cols.start, 0), self.dtype)
        if unique[-1] - unique[0] < 2 * len(unique):
            runs = [unique]  # few gaps: read over them
        else:
            runs = np.split(unique, np.flatnonzero(np.diff(unique) > 1) + 1)
        parts = []
        for run in runs:
            part = self._block(rows, cols, slice(int(run[0]), int(run[-1]) + 1))
            parts.append(part if part.shape[2] == len(run) else part[:, :, run - run[0]])
        values = parts[0] if len(parts) == 1 else np.concatenate(parts, axis=2)
        return np.ascontiguousarray(values) if np.array_equal(unique, bands) else values[:, :, places]

    def _block(self, *window: slice) -> NDArray[Any]:
        """Return a box of the dataset, ``(rows, cols, bands)``."""
        box = [slice(None)] * 3
        for axis, part in zip(self.axes, window, strict=True):
            box[axis] = part
        with self._lock:
            node = self._open()
            try:
                values: NDArray[Any] = node[tuple(box)]
            except (OSError, RuntimeError, ValueError) as error:
                raise _damaged(self.path, error) from None
        return np.asarray(values, self.dtype).transpose(self.axes)


def _damaged(path: Path, error: Exception) -> FileFormatError:
    cause = " ".join(str(error).split())[:160]
    return FileFormatError(f"{path} is truncated or damaged ({cause}); fetch it again.")
