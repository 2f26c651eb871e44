from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from hsi.datasets.splits.indices import subset_counts
from hsi.datasets.splits.leakage import measure_leakage
from hsi.errors import SplitError


def patch_pixels(
    pixel: int, shape: tuple[int, int], patch: int, regions: NDArray[np.uint8] | None
) -> set[tuple[int, int]]:
    """The pixels that the patch round `pixel` sees, one by one."""
    row, col = divmod(pixel, shape[1])
    offsets = range(-(patch // 2), patch // 2 + 1)
    inside = {
        (row + down, col + right)
        for down in offsets
        for right in offsets
        if 0 <= row + down < shape[0] and 0 <= col + right < shape[1]
    }
    return inside if regions is None else {at for at in inside if regions[at] == regions[row, col]}


def brute_force(
    train: NDArray[np.int64],
    test: NDArray[np.int64],
    shape: tuple[int, int],
    patch: int,
    regions: NDArray[np.uint8] | None,
) -> tuple[float, float]:
    seen = set().union(*(patch_pixels(p, shape, patch, regions) for p in train))
    centre = [divmod(int(p), shape[1]) in seen for p in test]
    overlap = [bool(patch_pixels(p, shape, patch, regions) & seen) for p in test]
    return float(np.mean(centre)), float(np.mean(overlap))


@settings(max_examples=60, deadline=None)
@given(
    rows=st.integers(1, 14),
    cols=st.integers(2, 14),
    patch=st.sampled_from([1, 3, 5, 7]),
    layout=st.sampled_from([None, "blocks", "noise"]),
    seed=st.integers(0, 2**16),
)
def test_equals_sets_of_pixels(rows: int, cols: int, patch: int, layout: str | None, seed: int) -> None:
    random = np.random.default_rng(seed)
    pixels = random.permutation(rows * cols)
    count = int(random.integers(1, max(2, min(6, rows * cols // 2))))
    train, test = pixels[:count], pixels[count : count + 8]
    regions = None
    if layout == "blocks":
        regions = ((np.arange(rows)[:, None] // 4 + np.arange(cols) // 5) % 4).astype(np.uint8)
    elif layout == "noise":
        regions = random.integers(0, 4, (rows, cols)).astype(np.uint8)
    leakage = measure_leakage(train, test, (rows, cols), patch, regions=regions)
    expected = brute_force(train, test, (rows, cols), patch, regions)
    assert (leakage.centre, leakage.overlap) == pytest.approx(expected)


def test_touching_patches_do_not_overlap() -> None:
    shape, train = (1, 30), np.array([5])
    assert measure_leakage(train, np.array([9]), shape, 5).overlap == 1  # they share one column
    assert measure_leakage(train, np.array([10]), shape, 5).overlap == 0
    assert measure_leakage(train, np.array([7]), shape, 5).centre == 1
    assert measure_leakage(train, np.array([8]), shape, 5).centre == 0


@pytest.mark.parametrize("patch", [0, -3, 4, 2.5, True])
def test_refuses_what_is_no_patch(patch: Any) -> None:
    with pytest.raises(SplitError, match="odd number"):
        measure_leakage(np.array([0]), np.array([1]), (2, 2), patch)


def test_refuses_an_empty_test_set() -> None:
    with pytest.raises(SplitError, match="needs test pixels"):
        measure_leakage(np.array([0]), np.array([], np.int64), (2, 2), 3)


# Share of leaking test pixels in % at 7 / 9 / 11 pixels, measured by independent code with five seeds.
MEASURED = [
    ("Indian_pines", 0.05, (86.0, 95.3, 98.4), (99.5, 99.9, 100.0)),
    ("Indian_pines", 0.10, (97.7, 99.7, 99.9), (100.0, 100.0, 100.0)),
    ("PaviaU", 0.05, (80.7, 89.7, 93.8), (96.0, 98.3, 99.2)),
    ("PaviaU", 0.10, (94.4, 97.3, 98.6), (99.2, 99.7, 99.9)),
    ("KSC", 0.05, (80.0, 89.2, 93.6), (95.7, 97.4, 98.0)),
    ("KSC", 0.10, (94.5, 97.7, 98.5), (98.9, 99.2, 99.2)),
]


@pytest.mark.parametrize(("name", "share", "centre", "overlap"), MEASURED)
def test_random_splits_of_real_scenes_leak_as_measured(
    real_labels, name: str, share: float, centre: tuple[float, ...], overlap: tuple[float, ...]
) -> None:
    labels = real_labels(name)
    figures = []
    for seed in range(5):
        random = np.random.default_rng(seed)
        train, test = [], []
        for label in np.unique(labels[labels > 0]):
            pixels = random.permutation(np.flatnonzero(labels == label))
            count = subset_counts(len(pixels), share, 0.01)[0]
            train.append(pixels[:count])
            test.append(pixels[count:])
        pixels = np.concatenate(train), np.concatenate(test)
        measured = [measure_leakage(*pixels, labels.shape, patch) for patch in (7, 9, 11)]
        figures.append([[one.centre for one in measured], [one.overlap for one in measured]])
    assert 100 * np.mean(figures, axis=0) == pytest.approx(np.array([centre, overlap]), abs=0.8)
