"""Local means, the joint bilateral filter and the guide's unit, against slow loops in double precision."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hsi.errors import InputError
from hsi.smoothing.guide import contrast_of, in_units_of_contrast
from hsi.smoothing.neighbourhood import dilate_within, edge_mean, gaussian, local_mean


def a_scene(seed: int, rows: int, cols: int, classes: int = 3, groups: int = 2):
    random = np.random.default_rng(seed)
    proba = random.dirichlet(np.ones(classes), (rows, cols)).astype(np.float32)
    guide = random.normal(0, 1, (rows, cols, 2)).astype(np.float32)
    return proba, guide, random.integers(0, groups + 1, (rows, cols)).astype(np.int32)


def window(groups, row, col, radius):
    """Yield the pixels of the group of (row, col) in the square round it."""
    for r in range(row - radius, row + radius + 1):
        for c in range(col - radius, col + radius + 1):
            inside = 0 <= r < groups.shape[0] and 0 <= c < groups.shape[1]
            if inside and groups[r, c] == groups[row, col]:
                yield r, c


def slow(values, groups, radius, weight):
    """Return the weighted mean over `window`, pixel by pixel; `weight` of two pixels."""
    out = values.astype(np.float64)
    for row, col in zip(*np.nonzero(groups > 0), strict=True):
        near = list(window(groups, row, col, radius))
        weights = [weight((row, col), other) for other in near]
        out[row, col] = np.average([values[other].astype(np.float64) for other in near], 0, weights)
    return out


sizes = st.integers(1, 9)


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 999), sizes, sizes, st.integers(2, 20), st.sampled_from([1, 3, 5, 9]))
def test_local_mean_is_the_mean_of_the_groups_pixels_in_the_window(seed, rows, cols, classes, width):
    proba, _, groups = a_scene(seed, rows, cols, classes)
    expected = slow(proba, groups, width // 2, lambda *_: 1.0)
    np.testing.assert_allclose(local_mean(proba, groups, [1.0] * width), expected, atol=2e-6)


def test_a_gaussian_kernel_weighs_by_distance():
    proba, _, groups = a_scene(1, 8, 7)
    kernel = gaussian(0.8)
    assert len(kernel) == 7

    def weight(one, other):
        down, right = one[0] - other[0], one[1] - other[1]
        return np.exp(-(down**2 + right**2) / (2 * 0.8**2))

    np.testing.assert_allclose(local_mean(proba, groups, kernel), slow(proba, groups, 3, weight), atol=2e-6)


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 999), sizes, sizes, st.integers(1, 3), st.sampled_from([0.3, 1.0, 4.0]))
def test_edge_mean_weighs_neighbours_by_the_guide(seed, rows, cols, radius, tolerance):
    proba, guide, groups = a_scene(seed, rows, cols)

    def weight(one, other):
        difference = guide[one].astype(np.float64) - guide[other]
        return np.exp(-(difference @ difference) / (2 * tolerance**2))

    found = edge_mean(proba, guide, groups, radius, tolerance)
    np.testing.assert_allclose(found, slow(proba, groups, radius, weight), atol=5e-6)


def test_without_edges_the_edge_mean_is_the_local_mean():
    proba, guide, groups = a_scene(2, 9, 8)
    flat = np.zeros_like(guide)
    expected = local_mean(proba, groups, [1.0] * 5)
    np.testing.assert_allclose(edge_mean(proba, flat, groups, 2, 1.0), expected, atol=1e-6)


def test_contrast_is_the_root_mean_square_distance_of_neighbours():
    _, guide, groups = a_scene(3, 7, 6)
    squares = []
    for row, col in np.ndindex(7, 6):
        for other in ((row + 1, col), (row, col + 1)):
            if other[0] < 7 and other[1] < 6 and groups[row, col] == groups[other] > 0:
                squares.append(((guide[row, col].astype(np.float64) - guide[other]) ** 2).sum())
    assert len(squares) > 5
    assert contrast_of(guide, groups) == pytest.approx(np.sqrt(np.mean(squares)))
    assert contrast_of(in_units_of_contrast(guide, groups), groups) == pytest.approx(1)


@pytest.mark.parametrize("groups", [np.zeros((4, 4), np.int32), np.arange(1, 17).reshape(4, 4)])
def test_a_guide_without_neighbours_or_without_edges_has_no_contrast(groups):
    guide = np.random.default_rng(0).normal(0, 1, (4, 4, 2)).astype(np.float32)
    assert contrast_of(guide, groups) == 0
    np.testing.assert_array_equal(in_units_of_contrast(guide, groups), guide)
    assert contrast_of(np.ones_like(guide), np.ones_like(groups)) == 0


def test_a_guide_that_is_nan_counts_only_inside_groups():
    guide = np.random.default_rng(0).normal(0, 1, (4, 4, 2)).astype(np.float32)
    groups = np.ones((4, 4), np.int32)
    groups[1, 2] = 0
    expected = contrast_of(guide, groups)
    guide[1, 2] = np.nan
    assert contrast_of(guide, groups) == expected
    guide[3, 3, 1] = np.inf
    with pytest.raises(InputError, match="group 0"):
        contrast_of(guide, groups)


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 999), sizes, sizes, st.integers(1, 3), st.integers(1, 4))
def test_dilation_stays_in_the_group(seed, rows, cols, radius, steps):
    random = np.random.default_rng(seed)
    groups = random.integers(0, 3, (rows, cols)).astype(np.int32)
    marked = random.random((rows, cols)) < 0.2
    expected = marked & (groups > 0)
    for _ in range(steps):
        before = expected.copy()
        for row, col in zip(*np.nonzero(before), strict=True):
            for other in window(groups, row, col, radius):
                expected[other] = True
    np.testing.assert_array_equal(dilate_within(marked, groups, radius, steps), expected)
