"""From the cube as measured to the cube that networks get: choose bands, standardise, principal components.

The chain is fitted on chosen pixels and applied to all. It works on small pieces of the cube, so that
beside the cube itself only the float32 result is ever held.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hsi.datasets.cube import Cube
from hsi.datasets.formats.numpy_files import read_archive
from hsi.datasets.transforms import PCA, BandList, Standardise
from hsi.errors import ConfigError, FileFormatError, SceneError

__all__ = ["PCA", "BandList", "Preprocess", "Standardise"]

FORMAT = 1
PIECE_VALUES = 1 << 19  # values worked on at a time: 4 MiB as float64

Step = BandList | Standardise | PCA


class Preprocess:
    """The chain: band list (if any), standardise (always), principal components (if any).

    Parameters
    ----------
    keep
        Zero-based numbers of the bands to keep, or None for all.
    common_scale
        Standardise by one factor for all bands instead of one for each; see `Standardise`.
    components
        Principal components at most. With 0, or no fewer than there are bands, the bands themselves stay:
        a full set of components would be the same data, turned.

    Attributes
    ----------
    steps_
        The fitted steps, first to last.
    bands_in_, fitted_on_
        Bands of the cube, and number of pixels, that the chain was fitted on.

    Raises
    ------
    ConfigError
        For a list of bands or a number of components that cannot be.

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
    ) -> None:
        if components < 0:
            raise ConfigError(f"The number of principal components cannot be negative; got {components}.")
        self.band_list = None if keep is None else BandList(keep)
        self.components = components
        self.common_scale = common_scale

    def fit(self, cube: Cube, pixels: NDArray[np.int64] | None = None) -> Preprocess:
        """Learn from some pixels of a cube, or from all; other pixels are not looked at.

        Parameters
        ----------
        cube
            ``(rows, cols, bands)`` of any real type, memory-mapped or not.
        pixels
            Row-major flat indices in any order, or None for all pixels, unlabelled ones too.

        Raises
        ------
        ConfigError
            When a wanted band does not exist, or there are too few pixels for the wanted components.
        SceneError
            When `cube` is not a cube, or the pixels lie outside it or hold NaN or infinite values.
        """
        rows, cols, bands = _cube_shape(cube)
        wanted = None if pixels is None else _sorted_pixels(pixels, rows * cols)
        steps: list[Step] = []
        if self.band_list is not None:
            self.band_list.check(bands)
            steps.append(self.band_list)
        steps.append(Standardise(common=self.common_scale).fit(_apply(tuple(steps), _pieces(cube, wanted))))
        if 0 < self.components < steps[-1].bands:
            steps.append(PCA(self.components).fit(_apply(tuple(steps), _pieces(cube, wanted))))
        self.steps_ = tuple(steps)
        self.bands_in_ = bands
        self.fitted_on_ = rows * cols if wanted is None else len(wanted)
        return self

    def transform(self, cube: Cube) -> NDArray[np.float32]:
        """Apply to a whole cube ``(rows, cols, bands)``: returns float32 ``(rows, cols, self.bands)``.

        Raises
        ------
        ConfigError
            When nothing was fitted yet.
        SceneError
            When the cube has another number of bands than the one that was fitted.
        """
        out_bands = self.bands
        rows, cols, bands = _cube_shape(cube)
        if bands != self.bands_in_:
            raise SceneError(f"The preprocessing is for {self.bands_in_} bands, but this cube has {bands}.")
        out = np.empty((rows * cols, out_bands), np.float32)
        start = 0
        for piece in _apply(self.steps_, _pieces(cube, None)):
            out[start : start + len(piece)] = piece
            start += len(piece)
        return out.reshape(rows, cols, out_bands)

    @property
    def bands(self) -> int:
        """Number of bands that come out.

        Raises
        ------
        ConfigError
            When nothing was fitted yet.
        """
        if not self.steps_:
            raise ConfigError("This preprocessing has not been fitted; call fit(cube, pixels) first.")
        return self.steps_[-1].bands

    def describe(self) -> str:
        """Say in one line what the chain does and what it was fitted on."""
        if not self.steps_:
            return "not fitted"
        first = [f"all {self.bands_in_} bands"] if self.band_list is None else []
        what = ", ".join([*first, *(step.describe() for step in self.steps_)])
        return f"{what}; fitted on {self.fitted_on_:,} pixels"

    def save(self, path: str | Path) -> None:
        """Write the fitted chain to `path` (NumPy's .npz format, no pickle), under exactly that name."""
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
        with Path(path).open("wb") as file:  # given a name, NumPy would add .npz to it
            np.savez(file, **arrays)

    @classmethod
    def load(cls, path: str | Path) -> Preprocess:
        """Read what `save` wrote.

        Raises
        ------
        FileFormatError
            When the file is missing, or holds something else.
        """
        try:
            arrays = read_archive(Path(path))
            if int(arrays["format"]) != FORMAT:
                raise FileFormatError(f"'{path}' was saved by another version of hsi; fit it anew.")
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
    """Raise ValueError or ConfigError unless each step takes as many bands as the one before it gives."""
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


def _pieces(cube: Cube, pixels: NDArray[np.int64] | None) -> Iterator[NDArray[Any]]:
    """Yield ``(n, bands)`` pieces of the wanted pixels, or of all row by row, a few MB at a time."""
    rows, cols, bands = cube.shape
    size = max(1, PIECE_VALUES // bands)
    if pixels is None:
        step = max(1, size // cols)
        for row in range(0, rows, step):
            yield cube[row : row + step].reshape(-1, bands)
    else:
        values = np.asarray(cube)
        for start in range(0, len(pixels), size):
            some = pixels[start : start + size]
            yield values[some // cols, some % cols]


def _apply(steps: tuple[Step, ...], pieces: Iterable[NDArray[Any]]) -> Iterator[NDArray[Any]]:
    for piece in pieces:
        for step in steps:
            piece = step.transform(piece)
        yield piece


def _cube_shape(cube: Cube) -> tuple[int, int, int]:
    if cube.ndim != 3 or cube.dtype.kind not in "iuf" or 0 in cube.shape:
        raise SceneError(f"A cube is an array of numbers (rows, cols, bands); got {cube.dtype} {cube.shape}.")
    rows, cols, bands = (int(n) for n in cube.shape)
    return rows, cols, bands


def _sorted_pixels(pixels: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Check the pixels to fit on, and sort them so that their order cannot matter."""
    given = np.asarray(pixels)
    if given.ndim != 1 or given.dtype.kind not in "iu" or not given.size:
        raise SceneError("The pixels to fit on must be a list of at least one row-major flat index.")
    wanted = np.sort(given.astype(np.int64))
    if wanted[0] < 0 or wanted[-1] >= count:
        wrong = wanted[0] if wanted[0] < 0 else wanted[-1]
        raise SceneError(f"Pixel {wrong} to fit on lies outside the scene of {count} pixels.")
    return wanted
