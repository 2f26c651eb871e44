"""Merging of small regions, against a loop that labels the whole map anew after every step (scikit-image)."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from hsi.maps.small_regions import label_regions, merge_small_regions

measure = pytest.importorskip("skimage.measure", reason="scikit-image is not installed")


def slowly(labels, no_data, min_pixels, sides=(1, 1)):
    """The same rule, step by step on pixels."""
    labels = labels.copy()
    rows, cols = labels.shape
    while True:
        regions = measure.label(labels.astype(int) + 1, connectivity=1, background=no_data + 1)
        told = []
        for number in range(1, regions.max() + 1):
            places = np.argwhere(regions == number)
            told.append((len(places), tuple(places[0]), number))
        for size, _, number in sorted(told):
            if size >= min_pixels:
                return labels
            shared = {}
            for row, col in np.argwhere(regions == number):
                for r, c, side in (
                    (row - 1, col, sides[0]), (row + 1, col, sides[0]),
                    (row, col - 1, sides[1]), (row, col + 1, sides[1]),
                ):  # fmt: skip
                    if 0 <= r < rows and 0 <= c < cols and regions[r, c] not in (0, number):
                        shared[regions[r, c]] = shared.get(regions[r, c], 0) + side
            if shared:
                _, first = np.unique(regions, return_index=True)
                start = dict(zip(np.unique(regions), first, strict=True))
                best = max(shared, key=lambda one: (shared[one], (regions == one).sum(), -start[one]))
                labels[regions == number] = labels[regions == best][0]
                break
        else:
            return labels


MAPS = arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9)), elements=st.integers(0, 3))


@settings(max_examples=300, deadline=None)
@given(
    labels=MAPS,
    no_data=st.sampled_from([0, 2, 255]),
    least=st.sampled_from([0, 1, 2, 3, 5, 12, 1000]),
    sides=st.sampled_from([(1, 1), (2, 3), (7, 2)]),
)
def test_the_rule(labels, no_data, least, sides):
    given_before = labels.copy()
    found = merge_small_regions(labels, no_data, least, sides)
    np.testing.assert_array_equal(found, slowly(labels, no_data, least, sides))
    np.testing.assert_array_equal(labels, given_before)
    assert found.dtype == labels.dtype
    np.testing.assert_array_equal(found == no_data, labels == no_data)


@settings(max_examples=100, deadline=None)
@given(labels=MAPS, no_data=st.sampled_from([0, 1, 255]))
def test_regions(labels, no_data):
    regions, count = label_regions(labels, no_data)
    expected = measure.label(labels.astype(int) + 1, connectivity=1, background=no_data + 1) - 1
    assert count == expected.max() + 1
    np.testing.assert_array_equal(regions >= 0, labels != no_data)
    assert len({*zip(regions.ravel().tolist(), expected.ravel().tolist(), strict=True)}) == len(
        np.unique(regions)
    )
    kept = regions.ravel()[regions.ravel() >= 0]
    _, first = np.unique(kept, return_index=True)
    assert (np.diff(first) > 0).all()  # in the order of their first pixels


def test_a_larger_map():
    from scipy.ndimage import gaussian_filter

    noise = np.random.default_rng(0).normal(size=(5, 60, 80))
    labels = np.argmax([gaussian_filter(one, 1.0) for one in noise], axis=0).astype(np.uint16)
    labels[20:24, 30:50] = 65535
    np.testing.assert_array_equal(merge_small_regions(labels, 65535, 20), slowly(labels, 65535, 20))


def test_a_speck_goes_to_the_neighbour_with_the_longest_border():
    labels = np.array([[1, 1, 1, 1], [1, 3, 1, 2], [2, 2, 2, 2], [2, 2, 2, 2]], np.uint8)
    merged = merge_small_regions(labels, 0, 2)
    assert merged[1].tolist() == [1, 1, 1, 2]  # three sides of 1, one of the larger 2
    assert merge_small_regions(labels, 0, 8).tolist() == [[2] * 4] * 4
    assert merge_small_regions(labels, 1, 2).tolist()[1] == [1, 2, 1, 2]  # without data round it
