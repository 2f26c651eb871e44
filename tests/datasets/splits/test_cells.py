from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from scipy.spatial.distance import cdist

from hsi.datasets.splits.cells import borders, cells_within, cut_into_cells


def random_labels(seed: int, rows: int, cols: int, classes: int) -> np.ndarray:
    """Blobs of classes with unlabelled ground between them."""
    noise = ndimage.uniform_filter(np.random.default_rng(seed).random((classes + 1, rows, cols)), (0, 3, 3))
    labels: np.ndarray = noise.argmax(axis=0).astype(np.int64)
    labels[0, 0] = classes
    return labels


maps = st.builds(
    random_labels, st.integers(0, 999), st.integers(1, 20), st.integers(1, 20), st.integers(1, 4)
)


@settings(max_examples=50, deadline=None)
@given(labels=maps, share=st.sampled_from([0.01, 0.1, 0.4]))
def test_cells_partition_the_fields(labels: np.ndarray, share: float) -> None:
    cells = cut_into_cells(labels, share)
    assert np.array_equal(cells.index >= 0, labels > 0)
    inside = cells.index[labels > 0]
    assert np.array_equal(cells.label[inside], labels[labels > 0])
    assert np.array_equal(np.bincount(inside), cells.size)
    assert (np.diff(cells.field) >= 0).all()
    for label in np.unique(labels[labels > 0]):
        fields, count = ndimage.label(labels == label, np.ones((3, 3)))
        ours = cells.field[cells.index[labels == label]]
        assert len(np.unique(np.stack([ours, fields[labels == label]]), axis=1).T) == count
    assert np.array_equal(cells.field[cells.bounds[:-1]], np.arange(len(cells.bounds) - 1))


@pytest.mark.parametrize("transposed", [False, True])
def test_a_rectangle_is_sliced_across_its_longer_axis(transposed: bool) -> None:
    labels = np.zeros((40, 30), np.int64)
    labels[5:35, 10:20] = 1
    labels = labels.T if transposed else labels
    cells = cut_into_cells(labels, 0.1)  # 30 of 300 pixels are three lines of ten
    index = cells.index.T if transposed else cells.index
    assert cells.size.tolist() == [30] * 10
    lines = index[5:35, 10:20]
    assert (lines == lines[:, :1]).all()
    assert len(np.unique(np.diff(lines[::3, 0]))) == 1


def test_a_slanted_stripe_is_sliced_across_it() -> None:
    rows, cols = np.indices((60, 60))
    labels = ((abs(rows - cols) < 6) & (rows + cols > 20) & (rows + cols < 100)).astype(np.int64)
    cells = cut_into_cells(labels, 0.1)
    middle = ndimage.mean(rows + cols, cells.index, np.arange(len(cells.size)))
    assert (np.diff(middle) > 0).all() or (np.diff(middle) < 0).all()
    assert max(np.ptp((rows + cols)[cells.index == cell]) for cell in range(len(cells.size))) < 15


def test_the_smallest_fields_can_be_cut_anywhere() -> None:
    labels = np.zeros((6, 6), np.int64)
    labels[1:3, 1:3] = 1
    assert cut_into_cells(labels, 0.02).size.tolist() == [1, 1, 1, 1]


@settings(max_examples=30, deadline=None)
@given(labels=maps, distance=st.integers(1, 6))
def test_cells_within_a_distance_equal_all_pairs_of_pixels(labels: np.ndarray, distance: int) -> None:
    cells = cut_into_cells(labels, 0.3)
    where = [np.argwhere(cells.index == cell) for cell in range(len(cells.size))]
    for cell, found in enumerate(cells_within(cells, distance)):
        near = [
            other
            for other, pixels in enumerate(where)
            if other != cell and cdist(where[cell], pixels, "chebyshev").min() <= distance
        ]
        assert sorted(found) == near


@settings(max_examples=30, deadline=None)
@given(labels=maps)
def test_borders_inside_fields_equal_a_count(labels: np.ndarray) -> None:
    cells = cut_into_cells(labels, 0.1)
    pairs, inside, between = borders(cells)
    counted: dict[tuple[int, int], int] = {}
    for row, col in np.argwhere(cells.index >= 0):
        for down, right in ((1, 0), (0, 1)):
            if row + down < labels.shape[0] and col + right < labels.shape[1]:
                one, two = cells.index[row, col], cells.index[row + down, col + right]
                if two >= 0 and one != two and cells.field[one] == cells.field[two]:
                    key = (int(min(one, two)), int(max(one, two)))
                    counted[key] = counted.get(key, 0) + 1
    measured = {tuple(pair): length for pair, length in zip(pairs.tolist(), inside, strict=True) if length}
    assert measured == counted
    assert (between >= 0).all()


def test_borders_between_fields_fade_with_the_distance() -> None:
    labels = np.zeros((1, 9), np.int64)
    labels[0, 0], labels[0, 1], labels[0, 8] = 1, 2, 3
    pairs, inside, between = borders(cut_into_cells(labels, 0.9))
    assert pairs.tolist() == [[0, 1], [1, 2]]
    assert inside.tolist() == [0, 0]
    assert between[0] == 1  # they touch
    assert between[1] == pytest.approx(1 / (1 + 3), abs=0.06)  # halfway, three or four pixels from either
