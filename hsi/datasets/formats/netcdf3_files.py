"""Numeric arrays in classic netCDF files (versions 1 and 2), read by SciPy; netCDF-4 is HDF5.

SciPy's reader is plain Python over a memory map: a damaged length is an error, and large cubes stay on disk.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

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


@dataclass(frozen=True)
class NetcdfArray(ArrayInfo):
    """One variable; `axes` are those of its rows, columns and bands, None where there are not three axes."""

    axes: tuple[int, int, int] | None = None
    note: str = ""


@contextmanager
def _open(path: Path) -> Iterator[Any]:
    from scipy.io import netcdf_file

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # arrays may outlive the file: its map stays open
        file = netcdf_file(path, "r", mmap=True, maskandscale=False)
        try:
            yield file
        finally:
            file.close()


def list_netcdf3(path: Path) -> list[NetcdfArray]:
    """Return the variables of a file, cubes as (rows, cols, bands)."""
    found = []
    with _open(path) as file:
        for name, variable in file.variables.items():
            shape, dtype = tuple(variable.data.shape), variable.data.dtype
            axes, note = None, ""
            if len(shape) == 3:
                vectors = {**_vectors(file, {*shape}), **_attributes(file), **_attributes(variable)}
                axes, note = find_axes(shape, variable.dimensions, vectors)
                shape = tuple(shape[axis] for axis in axes)
            found.append(
                NetcdfArray(name, shape, dtype.newbyteorder("=").name, dtype.kind in "iuf", axes, note)
            )
            del variable
    return found


def read_netcdf3(path: Path, info: NetcdfArray) -> NDArray[Any]:
    """Return the values of a variable, memory-mapped and read-only."""
    with _open(path) as file:
        values: NDArray[Any] = file.variables[info.name].data
    return values if info.axes is None else values.transpose(info.axes)


def netcdf3_facts(path: Path, info: NetcdfArray) -> FileFacts:
    """Return wavelengths (from vectors and attributes of as many numbers as bands) and the no-data value."""
    with _open(path) as file:
        variable = file.variables[info.name]
        vectors = {**_vectors(file, {info.shape[2]}), **_attributes(file), **_attributes(variable)}
        no_data = fill_value(variable._attributes)
        place = _place(file, variable, info)
        del variable
    return facts_of_vectors(vectors, info.shape[2], no_data=no_data, note=info.note, georeference=place)


def _place(file: Any, variable: Any, info: NetcdfArray) -> dict[str, Any] | None:
    names = [variable.dimensions[axis] for axis in (info.axes or (0, 1))[:2]]
    mapping = variable._attributes.get("grid_mapping", b"").decode("latin-1", "replace")
    coordinates = _vectors(file, {*info.shape[:2]})
    if not all(name in coordinates for name in names):
        return None
    owners = [variable, file, *(file.variables[name] for name in (mapping,) if name in file.variables)]
    systems = [one._attributes[name] for one in owners for name in SYSTEMS if name in one._attributes]
    return place_of_axes(coordinates[names[0]], coordinates[names[1]], names, systems)


def _vectors(file: Any, lengths: set[int]) -> dict[str, list[float]]:
    return {
        name: np.asarray(variable.data, np.float64).tolist()
        for name, variable in file.variables.items()
        if variable.data.ndim == 1 and variable.data.dtype.kind in "iuf"
        and 1 < len(variable.data) <= MOST_VALUES and len(variable.data) in lengths
    }  # fmt: skip


def _attributes(owner: Any) -> dict[str, list[float]]:
    found = {name: numbers_of_attribute(value) for name, value in owner._attributes.items()}
    return {name: values for name, values in found.items() if 1 < len(values) <= MOST_VALUES}
