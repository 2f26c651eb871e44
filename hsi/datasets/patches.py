"""Patches around pixels, cut on demand from one cube.

A batch of patches is one gather of spectra by pixel indices computed from the centres; pixels outside the
scene (or the centre's region) are then set to zero. Memory holds the cube and one batch, no padded copy.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from hsi.errors import ConfigError, SceneError, check_patch_width, unknown

PADDINGS = ("zeros", "reflect")


class PatchCutter:
    """Cuts ``(bands, P, P)`` patches around any pixels of one cube, borders included.

    Parameters
    ----------
    cube
        ``(rows, cols, bands)`` float32, preprocessed. Not copied if it is contiguous and on `device` (so do
        not write to it); a memory-mapped array is read as patches need it.
    patch
        Odd patch width P in pixels, at most the shorter side of the scene.
    regions
        ``(rows, cols)`` region number of each pixel, or None. A patch is zero outside the region of its
        centre: each region is an image of its own.
    padding
        Beyond the scene's edge: "zeros" (the mean of a standardised band; as the released code of Li and Ye,
        2025) or "reflect" (as ``numpy.pad``). Beyond a region there are always zeros.
    device
        Where the cube is kept and the patches are made.

    Raises
    ------
    ConfigError
        For an even or non-positive patch width, or an unknown padding.
    SceneError
        For a cube or regions of the wrong shape or type, or a patch wider than the scene.
    """

    def __init__(
        self,
        cube: NDArray[np.float32] | Tensor,
        patch: int,
        *,
        regions: ArrayLike | Tensor | None = None,
        padding: str = "zeros",
        device: str | torch.device = "cpu",
    ) -> None:
        spectra = _as_tensor(cube)
        if spectra.ndim != 3 or spectra.dtype != torch.float32 or 0 in spectra.shape:
            raise SceneError(
                "Patches are cut from a float32 cube (rows, cols, bands); "
                f"got {_describe(spectra)}: preprocess the scene first."
            )
        self.rows, self.cols, self.bands = (int(n) for n in spectra.shape)
        check_patch(patch, self.rows, self.cols)
        if padding not in PADDINGS:
            raise ConfigError(unknown("padding", padding, PADDINGS))
        self.patch = patch
        self.padding = padding
        self.device = torch.device(device)
        self._spectra = spectra.to(self.device).reshape(-1, self.bands)
        self._regions = None if regions is None else self._check_regions(regions)
        offsets = torch.arange(patch, device=self.device) - patch // 2
        self._row_offsets = offsets.repeat_interleave(patch)  # (P * P,)
        self._col_offsets = offsets.repeat(patch)

    def __call__(self, pixels: ArrayLike | Tensor) -> Tensor:
        """Cut the patches around `pixels`, ``(N,)`` row-major flat indices with or without repeats.

        Returns ``(N, bands, P, P)`` float32 in ``torch.channels_last`` order on the cutter's device; raises
        SceneError unless `pixels` are integers within the scene.
        """
        centres = self._check_pixels(pixels)
        rows = torch.div(centres, self.cols, rounding_mode="floor")[:, None] + self._row_offsets  # (N, P * P)
        cols = (centres % self.cols)[:, None] + self._col_offsets
        if self.padding == "reflect":
            rows, cols = _mirror(rows, self.rows), _mirror(cols, self.cols)
            kept = None
        else:
            kept = (rows >= 0) & (rows < self.rows) & (cols >= 0) & (cols < self.cols)
            rows, cols = rows.clamp_(0, self.rows - 1), cols.clamp_(0, self.cols - 1)
        index = rows.mul_(self.cols).add_(cols)
        if self._regions is not None:
            same = self._regions[index] == self._regions[centres][:, None]
            kept = same if kept is None else kept & same
        patches = self._spectra.index_select(0, index.view(-1))  # (N * P * P, bands)
        if kept is not None:
            _zero_rows(patches, ~kept.view(-1))
        return patches.view(-1, self.patch, self.patch, self.bands).permute(0, 3, 1, 2)

    def spectra(self, pixels: ArrayLike | Tensor) -> Tensor:
        """Return the spectra ``(N, bands)`` of `pixels`, as above, on the cutter's device."""
        return self._spectra.index_select(0, self._check_pixels(pixels))

    def _check_pixels(self, pixels: ArrayLike | Tensor) -> Tensor:
        index = _as_tensor(pixels)
        if index.ndim != 1 or (index.numel() and (index.is_floating_point() or index.dtype == torch.bool)):
            raise SceneError("Pixels must be a flat list of whole numbers, the row-major flat indices.")
        index = index.to(torch.int64)
        count = self.rows * self.cols
        if index.numel():
            low, high = (int(n) for n in torch.aminmax(index))  # before the copy: no GPU synchronisation
            if low < 0 or high >= count:
                raise SceneError(
                    f"Pixel {low if low < 0 else high} lies outside the scene: the row-major flat indices of "
                    f"{self.rows} x {self.cols} pixels go from 0 to {count - 1}."
                )
        return index.to(self.device)

    def _check_regions(self, regions: ArrayLike | Tensor) -> Tensor:
        numbers = _as_tensor(regions)
        if tuple(numbers.shape) != (self.rows, self.cols) or numbers.is_floating_point():
            raise SceneError(
                f"The regions must be whole numbers of shape ({self.rows}, {self.cols}), as the cube; "
                f"got {_describe(numbers)}."
            )
        return numbers.to(self.device, torch.int32).reshape(-1)


def check_patch(patch: int, rows: int, cols: int) -> None:
    """Raise ConfigError unless `patch` is odd and positive, SceneError if it is wider than the scene."""
    check_patch_width(patch)
    if patch > min(rows, cols):
        raise SceneError(
            f"A patch {patch} pixels wide does not fit the scene of {rows} x {cols} pixels: "
            "choose a smaller patch."
        )


def _as_tensor(values: Any) -> Tensor:
    """Return `values` as a tensor, without a copy where possible."""
    if isinstance(values, Tensor):
        return values
    array = np.asarray(values)
    if array.dtype.kind not in "iufb":
        raise SceneError(f"Numbers are needed here, not an array of {array.dtype}.")
    array = array.astype(array.dtype.newbyteorder("="), order="C", copy=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # read-only memory: nothing here writes to it
        return torch.from_numpy(array)


def _describe(values: Tensor) -> str:
    return f"{str(values.dtype).removeprefix('torch.')} {tuple(values.shape)}"


def _mirror(position: Tensor, size: int) -> Tensor:
    """Reflect positions beyond ``0 .. size - 1`` once, without repeating the edge."""
    position = position.abs()
    return (size - 1) - (size - 1 - position).abs()


def _zero_rows(spectra: Tensor, rows: Tensor) -> None:
    """Set the rows of ``(M, bands)`` given by the mask ``(M,)`` to zero, in place."""
    if spectra.device.type == "cpu":
        spectra.index_fill_(0, rows.nonzero().view(-1), 0.0)  # touches only these rows
    else:
        spectra.masked_fill_(rows[:, None], 0.0)  # nonzero() would synchronise with the GPU
