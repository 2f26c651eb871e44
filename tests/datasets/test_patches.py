"""Patches against numpy.pad and a slice per pixel; bad input; memory."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hsi.datasets.patches import PatchCutter, check_patch
from hsi.errors import ConfigError, SceneError


def random_cube(rows: int, cols: int, bands: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(rows, cols, bands)).astype(np.float32)


def sliced_patch(
    cube: np.ndarray, pixel: int, patch: int, padding: str, regions: np.ndarray | None
) -> np.ndarray:
    """Pad, slice, mask: the slow way, with nothing shared with the code under test."""
    margin = patch // 2
    mode: Any = "constant" if padding == "zeros" else "reflect"
    padded = np.pad(cube, ((margin, margin), (margin, margin), (0, 0)), mode=mode)
    row, col = divmod(pixel, cube.shape[1])
    out = padded[row : row + patch, col : col + patch].copy()
    if regions is not None:
        padded_regions = np.pad(regions, margin, mode="edge" if padding == "zeros" else "reflect")
        out[padded_regions[row : row + patch, col : col + patch] != regions[row, col]] = 0
    return out.transpose(2, 0, 1)


@settings(max_examples=40, deadline=None)
@given(
    rows=st.integers(1, 14),
    cols=st.integers(1, 14),
    bands=st.integers(1, 5),
    margin=st.integers(0, 7),
    padding=st.sampled_from(["zeros", "reflect"]),
    masked=st.booleans(),
    seed=st.integers(0, 9),
)
def test_every_pixel_equals_pad_and_slice(
    rows: int, cols: int, bands: int, margin: int, padding: str, masked: bool, seed: int
) -> None:
    patch = 2 * margin + 1
    cube = random_cube(rows, cols, bands, seed)
    regions = np.random.default_rng(seed).integers(0, 3, (rows, cols)).astype(np.int8) if masked else None
    if patch > min(rows, cols):
        with pytest.raises(SceneError, match=f"A patch {patch} pixels wide does not fit"):
            PatchCutter(cube, patch, regions=regions, padding=padding)
        return
    got = PatchCutter(cube, patch, regions=regions, padding=padding)(np.arange(rows * cols))
    expected = np.stack([sliced_patch(cube, p, patch, padding, regions) for p in range(rows * cols)])
    assert got.shape == (rows * cols, bands, patch, patch)
    np.testing.assert_array_equal(got.numpy(), expected)


def test_pixels_may_repeat_come_in_any_order_type_or_be_none() -> None:
    cube = random_cube(9, 7, 3)
    cutter = PatchCutter(cube, 5)
    every = cutter(torch.arange(63))
    order = [62, 0, 31, 31, 5]
    for pixels in (order, np.array(order, np.uint16), np.array(order, np.int32), torch.tensor(order)):
        torch.testing.assert_close(cutter(pixels), every[order], rtol=0, atol=0)
    assert cutter([]).shape == (0, 3, 5, 5)
    assert cutter(torch.zeros(0, dtype=torch.int64)).shape == (0, 3, 5, 5)


def test_patches_are_channels_last() -> None:
    patches = PatchCutter(random_cube(9, 7, 3), 5)(range(4))
    assert patches.is_contiguous(memory_format=torch.channels_last)


def test_spectra_are_the_centres_of_patches() -> None:
    cutter = PatchCutter(random_cube(7, 6, 4), 5)
    pixels = [41, 0, 3, 3]
    assert torch.equal(cutter.spectra(pixels), cutter(pixels)[:, :, 2, 2])
    with pytest.raises(SceneError, match="Pixel 42 lies outside"):
        cutter.spectra([42])


def test_a_patch_sees_nothing_outside_its_region() -> None:
    regions = np.zeros((12, 12), np.int64)
    regions[:, 6:] = 1
    cube = random_cube(12, 12, 4)
    changed = cube.copy()
    changed[:, 6:] = 1e6
    left = np.flatnonzero(regions.ravel() == 0)
    for padding in ("zeros", "reflect"):
        before = PatchCutter(cube, 7, regions=regions, padding=padding)(left)
        after = PatchCutter(changed, 7, regions=regions, padding=padding)(left)
        torch.testing.assert_close(before, after, rtol=0, atol=0)


def test_the_cube_is_neither_copied_nor_written() -> None:
    cube = random_cube(8, 8, 2)
    cube.flags.writeable = False
    cutter = PatchCutter(cube, 3)
    patches = cutter([0])
    patches.fill_(7.0)  # a batch is the caller's own
    assert not np.any(cube == 7.0)
    shared = torch.from_numpy(random_cube(8, 8, 2))
    cutter = PatchCutter(shared, 1)
    shared[0, 0, 0] = 42.0
    assert cutter([0])[0, 0, 0, 0] == 42.0


def test_other_memory_layouts_and_files_give_the_same(tmp_path: Path) -> None:
    cube = random_cube(8, 6, 5)
    np.save(tmp_path / "cube.npy", cube)
    expected = PatchCutter(cube, 3)(range(48))
    reversed_axes = np.asfortranarray(cube)
    bands_first = torch.from_numpy(cube).permute(2, 0, 1).contiguous()
    mapped = np.load(tmp_path / "cube.npy", mmap_mode="r")
    for other in (
        reversed_axes,
        mapped,
        bands_first.permute(1, 2, 0),
    ):
        torch.testing.assert_close(PatchCutter(other, 3)(range(48)), expected, rtol=0, atol=0)


@pytest.mark.parametrize("bad", [[-1], [56], [0, 99], [1 << 40], np.array([0, -3], np.int8)])
def test_pixels_outside_the_scene(bad: Any) -> None:
    with pytest.raises(SceneError, match=r"outside the scene.*0 to 55"):
        PatchCutter(random_cube(8, 7, 2), 3)(bad)


@pytest.mark.parametrize("bad", [[[0, 1]], [0.5], np.zeros(56, bool), 3, ["a"]])
def test_pixels_that_are_not_integers(bad: Any) -> None:
    with pytest.raises(SceneError):
        PatchCutter(random_cube(8, 7, 2), 3)(bad)


def test_invalid_options() -> None:
    cube = random_cube(8, 7, 2)
    for patch in (0, -3, 4):
        with pytest.raises(ConfigError, match="odd"):
            PatchCutter(cube, patch)
    with pytest.raises(ConfigError, match="Did you mean 'reflect'"):
        PatchCutter(cube, 3, padding="reflekt")
    with pytest.raises(SceneError, match="does not fit the scene of 8 x 7"):
        check_patch(9, 8, 7)
    wrongs: list[Any] = [cube.astype(np.float64), cube.astype(np.uint16), cube[0], cube[:0]]
    for wrong in wrongs:
        with pytest.raises(SceneError, match="preprocess the scene first"):
            PatchCutter(wrong, 1)
    for regions in (np.zeros((7, 8), int), np.zeros((8, 7))):
        with pytest.raises(SceneError, match="regions must be whole numbers"):
            PatchCutter(cube, 3, regions=regions)


MEMORY_PROGRAM = """
import re, sys
import numpy as np
import torch
from hsi.datasets.patches import PatchCutter

peak = lambda: 1024 * int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1])
rows, cols, bands, patch, batch, count = 610, 340, 103, 17, 80, int(sys.argv[1])
imported = peak()  # the libraries alone, whose size differs by build
cube = np.zeros((rows, cols, bands), np.float32)
cube += np.arange(bands, dtype=np.float32)
regions = np.zeros((rows, cols), np.int8)
regions[rows // 2:] = 1
cutter = PatchCutter(cube, patch, regions=regions)
pixels = torch.randint(rows * cols, (count,), generator=torch.Generator().manual_seed(0))
centre = 0.0
for some in pixels.split(batch):
    centre += float(cutter(some)[:, -1, patch // 2, patch // 2].sum())
assert centre == (bands - 1) * count, centre
print(imported, peak() - cube.nbytes)
"""


@pytest.mark.skipif(
    not Path("/proc/self/status").exists(), reason="the peak of a process is read from Linux's /proc"
)
def test_memory_stays_within_75_mb_of_the_cube() -> None:
    done = subprocess.run(
        [sys.executable, "-c", MEMORY_PROGRAM, "40000"], capture_output=True, text=True, check=True
    )
    imported, above = (int(n) for n in done.stdout.split())
    assert 40_000 * 17 * 17 * 103 * 4 > 4.7e9  # what all these patches together would need
    assert above - imported < 75e6, f"{(above - imported) / 1e6:.0f} MB beyond the cube and the libraries"
