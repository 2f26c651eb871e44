"""A scene: the cube, its labels, and what is known about both."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hsi.datasets.cube import Cube


@dataclass(frozen=True)
class Scene:
    """A hyperspectral image with its label map.

    Attributes
    ----------
    name, title
        Short name used on the command line and in file names; the full name for people.
    cube
        ``(rows, cols, bands)`` in the file's own dtype: an array, memory-mapped or not. Only in what
        `hsi.datasets.unlabelled.load_unlabelled` opens of a large file, it may be one that is read by windows
        when asked for them; `np.asarray` makes it an array.
    labels
        ``(rows, cols)`` int64; 0 is unlabelled, classes are 1..C without gaps.
    class_names, colors
        C names and C colours ("#rrggbb"), class 1 first.
    label_codes
        The C integers that stand for the classes in the label file: not 1..C where that file has gaps.
    wavelengths_nm
        Band centres in nanometres, or None where the file has none.
    fwhm_nm
        Full widths of the bands at half maximum, in nanometres, or None where the file has none.
    sensor
        The sensor's name, "" where not known.
    georeference
        ``{"crs": text, "transform": [a, b, c, d, e, f]}`` of a georeferenced file, or None; see
        `hsi.datasets.file_facts.FileFacts`.
    synthetic
        True for a generated scene; shown wherever the scene is shown.
    sources
        File name -> SHA-256 of what was read (empty for a generated scene).
    notes
        One sentence each for what was mended or looks suspicious.
    missing
        ``(rows, cols)``: True for pixels without data, which were given the mean spectrum in `cube`; None
        where there are none. Pixels that are NaN in `cube` have no data either.
    """

    name: str
    cube: Cube
    labels: NDArray[np.int64]
    class_names: tuple[str, ...]
    colors: tuple[str, ...]
    title: str = ""
    label_codes: tuple[int, ...] = ()
    wavelengths_nm: NDArray[np.float64] | None = None
    sensor: str = ""
    georeference: dict[str, Any] | None = None
    synthetic: bool = False
    sources: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    missing: NDArray[np.bool_] | None = None
    fwhm_nm: NDArray[np.float64] | None = None

    @property
    def rows(self) -> int:
        """Number of image rows."""
        return int(self.cube.shape[0])

    @property
    def cols(self) -> int:
        """Number of image columns."""
        return int(self.cube.shape[1])

    @property
    def bands(self) -> int:
        """Number of spectral bands."""
        return int(self.cube.shape[2])

    @property
    def classes(self) -> int:
        """Number of classes C."""
        return len(self.class_names)

    @property
    def counts(self) -> tuple[int, ...]:
        """Labelled pixels of each class, class 1 first."""
        return tuple(int(n) for n in np.bincount(self.labels.ravel(), minlength=self.classes + 1)[1:])

    @property
    def labelled(self) -> NDArray[np.int64]:
        """Row-major flat indices of all labelled pixels."""
        return np.flatnonzero(self.labels).astype(np.int64)
