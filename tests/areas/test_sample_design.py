"""How a sample is shared among strata and drawn."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hsi.areas import allocate_sample, draw_sample, map_strata, sample_size
from hsi.errors import InputError

PIXELS = [200_000, 150_000, 3_200_000, 6_450_000]


def test_the_sample_size_of_olofsson_2014():
    assert sample_size(PIXELS, [0.70, 0.60, 0.90, 0.95], 0.01) == 641


def test_a_small_map_needs_fewer_units():
    assert sample_size([40, 60], [0.8, 0.8], 0.01) < sample_size([40_000, 60_000], [0.8, 0.8], 0.01)


def test_the_allocation_of_olofsson_2014():
    """75 to each rare class, the rest in proportion; there 165 and 325, rounded to a sum of 640."""
    sizes = allocate_sample(PIXELS, 641, minimum=75)
    assert sizes[:2] == [75, 75]
    assert sizes[2:] == pytest.approx([491 * 320 / 965, 491 * 645 / 965], abs=1)


@given(
    st.lists(st.integers(0, 5_000), min_size=1, max_size=12).filter(any),
    st.integers(2, 60),
    st.integers(1, 3_000),
)
def test_an_allocation_keeps_its_bounds(pixels, minimum, n):
    least = sum(min(minimum, one) for one in pixels)
    if n < least or n > sum(pixels):
        with pytest.raises(InputError):
            allocate_sample(pixels, n, minimum)
        return
    sizes = allocate_sample(pixels, n, minimum)
    assert sum(sizes) == n
    assert all(min(minimum, one) <= size <= one for one, size in zip(pixels, sizes, strict=True))
    free = [(size - 1) / one for one, size in zip(pixels, sizes, strict=True) if size > min(minimum, one)]
    bounded = [(size + 1) / one for one, size in zip(pixels, sizes, strict=True) if size < one]
    if free and bounded:  # nobody has a whole unit more than its share while another lacks one
        assert max(free) <= min(bounded) + 1e-9


def test_a_sample_is_drawn_without_replacement_and_in_random_order():
    labels = np.repeat([[0, 1, 1, 1, 2, 2, 3, 3]], 50, axis=0)
    rejected = np.zeros(labels.shape, bool)
    rejected[:, 7] = True
    strata = map_strata(np.where(rejected, 0, labels), 3, rejected)
    sample = draw_sample(strata, 60, minimum=10, seed=3)
    assert len(sample) == 60
    assert len({*zip(sample.rows.tolist(), sample.cols.tolist(), strict=True)}) == 60
    np.testing.assert_array_equal(strata[sample.rows, sample.cols], sample.strata)
    assert sample.stratum_pixels == {1: 150, 2: 100, 3: 50, 4: 50}
    assert {number: int((sample.strata == number).sum()) for number in sample.sizes} == sample.sizes
    assert (np.diff(sample.strata) < 0).any()
    again = draw_sample(strata, 60, minimum=10, seed=3)
    np.testing.assert_array_equal(again.rows, sample.rows)
    assert not np.array_equal(draw_sample(strata, 60, minimum=10, seed=4).rows, sample.rows)


def test_every_pixel_of_a_stratum_is_as_likely():
    strata = np.array([[1] * 8, [2] * 8])
    times = np.zeros(strata.shape)
    for seed in range(800):
        sample = draw_sample(strata, 6, seed=seed)
        times[sample.rows, sample.cols] += 1
    assert times.sum() == 800 * 6
    assert abs(times - 300).max() < 5 * np.sqrt(800 * 3 / 8 * 5 / 8)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: allocate_sample([10, 10], 30), "cannot be drawn from 20"),
        (lambda: allocate_sample([0, 0], 1), "cannot be drawn from 0"),
        (lambda: allocate_sample([100, 100], 3), "draw 4 or more"),
        (lambda: allocate_sample([100, 100], 30, minimum=1), "at least 2"),
        (lambda: sample_size([10], [0.5], 0), "above 0"),
        (lambda: sample_size([10], [1.5], 0.1), "user's accuracy"),
        (lambda: sample_size([10, 10], [0.5], 0.1), "user's accuracy"),
        (lambda: map_strata(np.array([[1, 4]]), 3), "classes 0 to 3"),
        (lambda: map_strata(np.array([1, 2]), 3), "rows, cols"),
    ],
)
def test_designs_that_make_no_sense_are_refused(call, words):
    with pytest.raises(InputError, match=words):
        call()
