from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.stats.proportion import proportion_confint

from hsi.errors import InputError
from hsi.scoring.distance import DISTANCE_BINS, DistanceBin, bin_by_distance, distance_to_nearest


@given(st.integers(1, 12), st.integers(1, 12), st.integers(0, 999), st.integers(1, 20))
def test_distances_equal_the_nearest_of_all_pairs(rows: int, cols: int, seed: int, count: int) -> None:
    random = np.random.default_rng(seed)
    train = np.unique(random.integers(0, rows * cols, count))
    pixels = np.arange(rows * cols)
    down = np.abs(pixels[:, None] // cols - train // cols)
    right = np.abs(pixels[:, None] % cols - train % cols)
    expected = np.maximum(down, right).min(axis=1)
    assert np.array_equal(distance_to_nearest(train, pixels, (rows, cols)), expected)


@given(st.lists(st.tuples(st.integers(1, 200), st.booleans()), max_size=60))
def test_bins_equal_a_count_one_by_one(answers: list[tuple[int, bool]]) -> None:
    distance = np.array([d for d, _ in answers], np.int64)
    right = np.array([r for _, r in answers], bool)
    bins = bin_by_distance(distance, right)
    assert sum(one.pixels for one in bins) == len(answers)
    assert [one.nearest for one in bins] == list(DISTANCE_BINS[: len(bins)])
    if bins:
        assert bins[-1].pixels
    for one in bins:
        inside = [r for d, r in answers if one.nearest <= d <= (one.farthest or np.inf)]
        assert (one.pixels, one.right) == (len(inside), sum(inside))
        assert one.oa == (pytest.approx(sum(inside) / len(inside)) if inside else None)


@given(st.integers(1, 5000), st.floats(0, 1))
def test_intervals_are_wilsons(pixels: int, share: float) -> None:
    right = int(share * pixels)
    low, high = DistanceBin(1, 1, pixels, right).interval
    assert (low, high) == pytest.approx(proportion_confint(right, pixels, 0.05, "wilson"), abs=1e-9)


def test_an_empty_bin_has_no_accuracy() -> None:
    empty = bin_by_distance(np.array([1, 4]), np.array([True, False]))[1]
    assert empty.as_dict() == {
        "nearest": 2, "farthest": 2, "pixels": 0, "right": 0, "oa": None, "interval": None,
    }  # fmt: skip


def test_the_last_bin_has_no_end() -> None:
    (*_, last) = bin_by_distance(np.array([65, 900]), np.array([True, False]))
    assert (last.nearest, last.farthest, last.pixels) == (65, None, 2)


@pytest.mark.parametrize(
    ("distance", "right", "bins", "words"),
    [
        ([1, 2], [True, True], (1, 1, 3), "must rise"),
        ([1, 2], [True, True], (), "must rise"),
        ([1, 2], [True], (1, 3), "2 distances, but 1 answers"),
        ([0, 2], [True, True], (1, 3), "distance of 0 lies before the first bin"),
    ],
)
def test_bad_input_is_refused(distance: list, right: list, bins: tuple, words: str) -> None:
    with pytest.raises(InputError, match=words):
        bin_by_distance(np.array(distance), np.array(right), bins)


def test_refuses_no_training_pixel() -> None:
    with pytest.raises(InputError, match="need training pixels"):
        distance_to_nearest(np.array([], np.int64), np.array([1]), (3, 3))
