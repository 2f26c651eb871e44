"""Preprocessing: the chain of transforms from the measured cube to the features that networks get.

It is fitted on chosen pixels and applied to all, in small chunks: beside the cube, only the float32 result is
in memory.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hsi.datasets.checks import check_cube
from hsi.datasets.cube import Cube
from hsi.datasets.formats.numpy_files import read_archive
from hsi.datasets.transforms import PCA, BandList, Standardise
from hsi.errors import ConfigError, FileFormatError, SceneError

__all__ = ["PCA", "BandList", "Preprocess", "Standardise"]

FORMAT = 1
CHUNK_VALUES = 1 << 19  # 4 MiB as float64

Step = BandList | Standardise | PCA


class Preprocess:
    """Band list (if any), standardisation (unless `as_measured`), principal components (if any).

    Parameters
    ----------
    keep
        Zero-based numbers of the bands to keep, or None for all.
    common_scale
        Standardise by one factor for all bands; see `Standardise`.
    as_measured
        Leave the values as they are, for models that compare measured spectra.
    components
        Most principal components. With 0, or no fewer than there are bands, there is no PCA: a full set of
        components would be the same data, rotated.

    Attributes
    ----------
    steps_
        The fitted steps, first to last.
    bands_in_, fitted_on_
        Number of bands and pixels that the chain was fitted on.

    Raises
    ------
    ConfigError
        For an invalid list of bands or number of components.

    Examples
    --------
    >>> cube = np.random.default_rng(0).normal(size=(9, 8, 20))
    >>> Preprocess(components=5).fit(cube, np.arange(30)).transform(cube).shape
    (9, 8, 5)
    """

    steps_: tuple[Step, ...] = ()
    bands_in_: int
    fitted_on_: int

    def __init__(
        self,
        *,
        keep: Sequence[int] | NDArray[np.int64] | None = None,
        components: int = 0,
        common_scale: bool = False,
        as_measured: bool = False,
    ) -> None:
        if components < 0:
            raise ConfigError(f"The number of principal components cannot be negative; got {components}.")
        self.band_list = None if keep is None else BandList(keep)
        self.components = components
        self.common_scale = common_scale
        self.as_measured = as_measured

    def fit(self, cube: Cube, pixels: NDArray[np.int64] | None = None) -> Preprocess:
        """Fit on `pixels` (row-major flat indices, any order; None: all) of a cube ``(rows, cols, bands)``.

        Raises
        ------
        ConfigError
            When a band does not exist, or there are too few pixels for the components.
        SceneError
            When `cube` is not a cube, or the pixels lie outside it or hold NaN or infinite values.
        """
        check_cube(cube, "The cube")
        rows, cols, bands = cube.shape
        indices = None if pixels is None else _sorted_pixels(pixels, rows * cols)
        steps: list[Step] = []
        if self.band_list is not None:
            self.band_list.check(bands)
            steps.append(self.band_list)
        scaling = Standardise(common=self.common_scale).fit(_apply(tuple(steps), _chunks(cube, indices)))
        if self.as_measured:
            scaling.mean_, scaling.scale_ = np.zeros(scaling.bands), np.ones(scaling.bands)
        steps.append(scaling)
        if 0 < self.components < steps[-1].bands:
            steps.append(PCA(self.components).fit(_apply(tuple(steps), _chunks(cube, indices))))
        self.steps_ = tuple(steps)
        self.bands_in_ = bands
        self.fitted_on_ = rows * cols if indices is None else len(indices)
        return self

    def transform(self, cube: Cube) -> NDArray[np.float32]:
        """Apply to a cube ``(rows, cols, bands)``; return float32 ``(rows, cols, self.bands)``.

        Raises
        ------
        ConfigError
            Before `fit`.
        SceneError
            When the cube has another number of bands than the fitted one.
        """
        out_bands = self.bands
        check_cube(cube, "The cube")
        rows, cols, bands = cube.shape
        if bands != self.bands_in_:
            raise SceneError(f"The preprocessing is for {self.bands_in_} bands, but this cube has {bands}.")
        out = np.empty((rows * cols, out_bands), np.float32)
        start = 0
        for chunk in _apply(self.steps_, _chunks(cube, None)):
            out[start : start + len(chunk)] = chunk
            start += len(chunk)
        return out.reshape(rows, cols, out_bands)

    @property
    def bands(self) -> int:
        """Number of output features; raises ConfigError before `fit`."""
        if not self.steps_:
            raise ConfigError("This preprocessing has not been fitted; call fit(cube, pixels) first.")
        return self.steps_[-1].bands

    def describe(self) -> str:
        """Return one line: the steps, and the number of pixels that they were fitted on."""
        if not self.steps_:
            return "not fitted"
        bands = [f"all {self.bands_in_} bands"] if self.band_list is None else []
        steps = ", ".join([*bands, *(step.describe() for step in self.steps_)])
        return f"{steps}; fitted on {self.fitted_on_:,} pixels"

    def save(self, path: str | Path) -> None:
        """Write the fitted chain to exactly `path`, in NumPy's .npz format without pickle."""
        arrays: dict[str, Any] = {
            "format": FORMAT,
            "components": self.components,
            "bands": self.bands,
            "bands_in": self.bands_in_,
            "fitted_on": self.fitted_on_,
        }
        if self.band_list is not None:
            arrays["keep"] = self.band_list.keep
        for step in self.steps_:
            arrays.update({f"{type(step).__name__}.{name}": getattr(step, name) for name in step.learned})
        with Path(path).open("wb") as file:  # NumPy would add .npz to a path
            np.savez(file, **arrays)

    @classmethod
    def load(cls, path: str | Path) -> Preprocess:
        """Read what `save` wrote; raise FileFormatError for a missing or other file."""
        try:
            arrays = read_archive(Path(path))
            if int(arrays["format"]) != FORMAT:
                raise FileFormatError(f"'{path}' was saved by another version of hsi; fit it again.")
            chain = cls(keep=arrays.get("keep"), components=int(arrays["components"]))
            chain.bands_in_ = int(arrays["bands_in"])
            chain.fitted_on_ = int(arrays["fitted_on"])
            steps: list[Step] = [] if chain.band_list is None else [chain.band_list]
            steps.append(Standardise())
            if "PCA.components_" in arrays:
                steps.append(PCA(chain.components))
            for step in steps:
                for name in step.learned:
                    setattr(step, name, arrays[f"{type(step).__name__}.{name}"])
            _check_learned(steps, chain.bands_in_)
        except (OSError, KeyError, TypeError, ValueError, OverflowError, ConfigError) as error:
            raise FileFormatError(f"'{path}' is not a saved preprocessing: {error}.") from error
        chain.steps_ = tuple(steps)
        return chain


def _check_learned(steps: Sequence[Step], bands: int) -> None:
    """Raise ValueError or ConfigError unless the shapes of successive steps match."""
    for step in steps:
        if isinstance(step, BandList):
            step.check(bands)
        out = step.components if isinstance(step, PCA) else bands
        shapes = {"mean_": (bands,), "scale_": (bands,), "components_": (out, bands)}
        for name in step.learned:
            learned = getattr(step, name)
            if learned.dtype.kind != "f" or learned.shape != shapes.get(name, (out,)):
                raise ValueError(f"{name} does not fit {bands} bands")
        bands = step.bands


def _chunks(cube: Cube, pixels: NDArray[np.int64] | None) -> Iterator[NDArray[Any]]:
    """Yield ``(n, bands)`` chunks of the pixels, or of all in order, a few MB at a time."""
    rows, cols, bands = cube.shape
    size = max(1, CHUNK_VALUES // bands)
    if pixels is None:
        step = max(1, size // cols)
        for row in range(0, rows, step):
            yield cube[row : row + step].reshape(-1, bands)
    else:
        values = np.asarray(cube)
        for start in range(0, len(pixels), size):
            chunk = pixels[start : start + size]
            yield values[chunk // cols, chunk % cols]


def _apply(steps: tuple[Step, ...], chunks: Iterable[NDArray[Any]]) -> Iterator[NDArray[Any]]:
    for chunk in chunks:
        for step in steps:
            chunk = step.transform(chunk)
        yield chunk


def _sorted_pixels(pixels: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Check the pixels to fit on, and sort them: their order must not matter."""
    given = np.asarray(pixels)
    if given.ndim != 1 or given.dtype.kind not in "iu" or not given.size:
        raise SceneError("The pixels to fit on must be a list of at least one row-major flat index.")
    indices = np.sort(given.astype(np.int64))
    if indices[0] < 0 or indices[-1] >= count:
        wrong = indices[0] if indices[0] < 0 else indices[-1]
        raise SceneError(f"Pixel {wrong} to fit on lies outside the scene of {count} pixels.")
    return indices
