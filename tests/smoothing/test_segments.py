"""Segments: connected, inside groups, one for each even field; means against a dictionary."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from skimage.segmentation import felzenszwalb

from hsi.smoothing.segments import segment, segment_mean, spread_in_segments


def fields(noise: float = 0.0):
    """Return a guide of four even fields, the quarters of 20 x 24 pixels, and which is where."""
    place = np.zeros((20, 24), np.int32)
    place[:10, :13], place[:10, 13:], place[10:, :13], place[10:, 13:] = 0, 1, 2, 3
    values = np.array([(0, 0), (9, 0), (0, 9), (9, 9)], np.float32)
    random = np.random.default_rng(0)
    return (values[place] + random.normal(0, noise, (20, 24, 2))).astype(np.float32), place


def same_partition(one, other) -> bool:
    """Tell whether two arrays group the same pixels, by whatever numbers."""
    joined = len(np.unique(np.stack([one.ravel(), other.ravel()]), axis=1).T)
    return joined == len(np.unique(one)) == len(np.unique(other))


@pytest.mark.parametrize("noise", [0.0, 0.2])
def test_each_even_field_is_one_segment(noise):
    guide, place = fields(noise)
    found = segment(guide, np.ones(place.shape, np.int32), 5.0, 10, 0.0)
    assert same_partition(found, place)


def test_in_one_group_it_is_the_librarys_segmentation():
    guide = np.random.default_rng(1).normal(0, 1, (30, 31, 3)).astype(np.float32)
    found = segment(guide, np.full((30, 31), 7), 2.0, 5, 0.0)
    expected = felzenszwalb(guide.astype(np.float64), scale=255 * 2.0, sigma=0, min_size=5)
    assert len(np.unique(expected)) > 5
    assert same_partition(found, expected)


def test_fields_of_one_value_are_cut_where_groups_meet():
    groups = np.ones((12, 12), np.int32)
    groups[:, 6:] = 2
    found = segment(np.zeros((12, 12, 1), np.float32), groups, 5.0, 10, 0.8)
    assert same_partition(found, groups)


@settings(deadline=None, max_examples=40)
@given(
    st.integers(0, 999), st.integers(1, 14), st.integers(1, 14),
    st.sampled_from([0.0, 0.5, 3.0, 1000.0]), st.integers(1, 8), st.sampled_from([0.0, 0.8]),
)  # fmt: skip
def test_every_segment_is_a_connected_piece_of_one_group(seed, rows, cols, scale, min_size, sigma):
    random = np.random.default_rng(seed)
    guide = random.normal(0, 1, (rows, cols, 2)).astype(np.float32)
    groups = (random.integers(0, 3, (rows, cols)) * 1000).astype(np.int32)
    found = segment(guide, groups, scale, min_size, sigma)
    assert ((found > 0) == (groups > 0)).all()
    eight = np.ones((3, 3))
    for number in np.unique(found[found > 0]):
        inside = found == number
        assert len(np.unique(groups[inside])) == 1
        assert ndimage.label(inside, eight)[1] == 1
        if inside.sum() < min_size:  # only where its group has no neighbour to join
            around = ndimage.binary_dilation(inside, eight) & ~inside
            assert not (groups[around] == groups[inside][0]).any()


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 999), st.integers(1, 9), st.integers(1, 9))
def test_segments_of_a_group_do_not_depend_on_the_values_of_others(seed, rows, cols):
    random = np.random.default_rng(seed)
    guide = random.integers(0, 3, (rows, cols, 2)).astype(np.float32)  # many equal distances
    groups = random.integers(0, 3, (rows, cols))
    other = guide.copy()
    other[groups == 2] = random.normal(0, 50, (int((groups == 2).sum()), 2))
    other[groups == 0] = np.nan
    one, two = (segment(values, groups, 1.0, 3, 0.8) for values in (guide, other))
    inside = groups == 1
    assert same_partition(one[inside], two[inside])  # numbers may differ


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 999), st.integers(1, 9), st.integers(1, 9), st.integers(2, 20))
def test_a_segment_gets_the_mean_of_its_pixels(seed, rows, cols, classes):
    random = np.random.default_rng(seed)
    proba = random.dirichlet(np.ones(classes), (rows, cols)).astype(np.float32)
    segments = random.integers(0, 5, (rows, cols))
    proba[segments == 0] = np.nan
    members = defaultdict(list)
    for pixel in np.ndindex(rows, cols):
        members[segments[pixel]].append(proba[pixel].astype(np.float64))
    found = segment_mean(proba, segments)
    for pixel in np.ndindex(rows, cols):
        number = segments[pixel]
        expected = np.mean(members[number], axis=0) if number else proba[pixel]
        np.testing.assert_allclose(found[pixel], expected, atol=1e-6)


def test_a_mark_spreads_over_its_segment_alone():
    segments = np.array([[1, 1, 2], [0, 1, 2], [3, 3, 0]])
    marked = np.zeros((3, 3), bool)
    marked[0, 0] = marked[2, 2] = True  # the second has no data
    np.testing.assert_array_equal(spread_in_segments(marked, segments), segments == 1)
