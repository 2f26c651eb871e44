"""Whole scenes and windows: the same bits, groups apart, probabilities that stay probabilities."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hsi.errors import InputError
from hsi.smoothing.methods import CANDIDATES, NONE, Smoothing, blocks, reach, smooth, smooth_window

EACH = [
    NONE,
    Smoothing("mean", {"width": 5}),
    Smoothing("segments", {"scale": 1.0, "min_size": 3}),
    Smoothing("mrf", {"beta": 2.0, "iterations": 4}),
    Smoothing("edges", {"radius": 2}),
    Smoothing("mean+segments", {"width": 3, "scale": 2.0, "min_size": 2}),
    Smoothing("mrf+edges", {"iterations": 3, "radius": 1}),
]
each = pytest.mark.parametrize("smoothing", EACH, ids=str)


def a_scene(seed: int, rows: int, cols: int, classes: int = 3):
    """Return probabilities, guide and groups: two groups of large pieces, NaN where there is no data."""
    random = np.random.default_rng(seed)
    proba = random.dirichlet(np.ones(classes), (rows, cols)).astype(np.float32)
    guide = random.normal(0, 1, (rows, cols, 3)).astype(np.float32)
    pieces = random.integers(0, 3, (-(-rows // 4), -(-cols // 4))).repeat(4, 0).repeat(4, 1)
    groups = pieces[:rows, :cols].astype(np.int32)
    proba[groups == 0], guide[groups == 0] = np.nan, np.nan
    return proba, guide, groups


def reader(*arrays):
    def read(top, bottom, left, right):
        rows, cols = arrays[0].shape[:2]
        assert 0 <= top < bottom <= rows
        assert 0 <= left < right <= cols
        return tuple(array[top:bottom, left:right] for array in arrays)

    return read


@each
@settings(deadline=None, max_examples=25)
@given(data=st.data())
def test_a_window_has_the_bits_of_the_whole(smoothing, data):
    rows, cols = data.draw(st.integers(1, 40)), data.draw(st.integers(1, 40))
    scene = a_scene(data.draw(st.integers(0, 999)), rows, cols, data.draw(st.integers(2, 20)))
    block = data.draw(st.sampled_from([7, 16, 512]))
    whole = smooth(*scene, smoothing, block=block)
    top, left = data.draw(st.integers(0, rows - 1)), data.draw(st.integers(0, cols - 1))
    bottom, right = data.draw(st.integers(top + 1, rows)), data.draw(st.integers(left + 1, cols))
    window = (top, bottom, left, right)
    part = smooth_window(reader(*scene), window, (rows, cols), smoothing, block=block)
    assert part.dtype == np.float32
    np.testing.assert_array_equal(part, whole[top:bottom, left:right])


@pytest.mark.parametrize("smoothing", [one for one in EACH if "segments" not in one.parts], ids=str)
def test_blocks_do_not_show_but_in_segments(smoothing):
    scene = a_scene(0, 33, 29)
    np.testing.assert_array_equal(smooth(*scene, smoothing, block=8), smooth(*scene, smoothing, block=512))


@each
@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 999), rows=st.integers(1, 20), cols=st.integers(1, 20))
def test_a_group_never_sees_another(smoothing, seed, rows, cols):
    proba, guide, groups = a_scene(seed, rows, cols)
    before = smooth(proba, guide, groups, smoothing)
    random = np.random.default_rng(seed + 1)
    other = groups == 2
    proba[other] = random.dirichlet(np.ones(3), int(other.sum()))
    guide[other] = random.normal(0, 30, (int(other.sum()), 3))
    after = smooth(proba, guide, groups, smoothing)
    np.testing.assert_array_equal(before[groups == 1], after[groups == 1])


@each
@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 999), rows=st.integers(1, 20), cols=st.integers(1, 20), classes=st.integers(2, 20))
def test_probabilities_stay_probabilities_and_gaps_stay_gaps(smoothing, seed, rows, cols, classes):
    proba, guide, groups = a_scene(seed, rows, cols, classes)
    given_away = proba.copy()
    found = smooth(proba, guide, groups, smoothing)
    np.testing.assert_array_equal(proba, given_away)
    inside = found[groups > 0]
    assert (inside >= 0).all()
    np.testing.assert_allclose(inside.sum(1), 1, atol=1e-5)
    assert np.isnan(found[groups == 0]).all()


@each
def test_one_pixel_and_groups_of_one_pixel_keep_what_they_had(smoothing):
    for groups in (np.ones((1, 1), np.int32), np.arange(1, 31, dtype=np.int32).reshape(5, 6)):
        random = np.random.default_rng(0)
        proba = random.dirichlet(np.ones(4), groups.shape).astype(np.float32)
        guide = random.normal(0, 1, (*groups.shape, 2)).astype(np.float32)
        np.testing.assert_allclose(smooth(proba, guide, groups, smoothing), proba, rtol=1e-5, atol=2e-6)


@pytest.mark.parametrize("smoothing", [one for one in EACH if "mrf" not in one.parts], ids=str)
def test_averages_leave_a_constant_field(smoothing):
    _, guide, groups = a_scene(3, 20, 21)
    proba = np.broadcast_to(np.float32([0.1, 0.2, 0.7]), (20, 21, 3)).copy()
    np.testing.assert_allclose(smooth(proba, guide, groups, smoothing), proba, rtol=3e-6)


def test_a_combination_is_the_mean_of_its_methods():
    scene = a_scene(4, 18, 15)
    parts = [smooth(*scene, Smoothing("mean", {"width": 3})), smooth(*scene, Smoothing("segments"))]
    both = smooth(*scene, Smoothing("mean+segments", {"width": 3}))
    np.testing.assert_allclose(both, np.mean(parts, axis=0), rtol=1e-6)


EVERY = dict.fromkeys(one for tried in CANDIDATES.values() for one in tried if one != NONE)


@pytest.mark.parametrize("smoothing", EVERY, ids=str)
def test_every_candidate_removes_noise_from_a_map_of_fields(smoothing):
    """Three fields with an edge in the guide; each pixel's probabilities are right in 7 of 10 cases."""
    random = np.random.default_rng(5)
    truth = np.repeat([0, 1, 2], 16)[None].repeat(40, 0)
    seen = np.where(random.random(truth.shape) < 0.3, random.integers(0, 3, truth.shape), truth)
    proba = np.full((*truth.shape, 3), 0.2, np.float32)
    np.put_along_axis(proba, seen[..., None], 0.6, axis=2)
    guide = (truth[..., None] * 8 + random.normal(0, 0.5, (*truth.shape, 2))).astype(np.float32)
    found = smooth(proba, guide, np.ones(truth.shape, np.int32), smoothing)
    before, after = (seen != truth).mean(), (found.argmax(2) != truth).mean()
    assert before > 0.15
    assert after < before / 2


@each
@settings(deadline=None, max_examples=15)
@given(seed=st.integers(0, 999), rows=st.integers(1, 16), cols=st.integers(1, 16))
def test_reach_holds_every_pixel_that_a_marked_one_changes(smoothing, seed, rows, cols):
    proba, guide, groups = a_scene(seed, rows, cols)
    random = np.random.default_rng(seed)
    marked = random.random((rows, cols)) < 0.05
    other = proba.copy()
    used = marked & (groups > 0)
    other[used] = random.dirichlet(np.ones(3), int(used.sum()))
    before, after = (smooth(values, guide, groups, smoothing, block=9) for values in (proba, other))
    changed = ~((before == after) | np.isnan(before)).all(axis=2)
    reached = reach(marked, guide, groups, smoothing, block=9)
    assert not (changed & ~reached).any()
    assert reached[marked].all()


def test_reach_is_no_larger_than_the_window_of_a_mean():
    groups = np.ones((9, 9), np.int32)
    groups[:, 6:] = 2
    marked = np.zeros((9, 9), bool)
    marked[4, 4] = True
    guide = np.zeros((9, 9, 1), np.float32)
    expected = np.zeros((9, 9), bool)
    expected[2:7, 2:6] = True
    np.testing.assert_array_equal(reach(marked, guide, groups, Smoothing("mean", {"width": 5})), expected)
    np.testing.assert_array_equal(reach(marked, guide, groups, NONE), marked)
    everywhere = reach(marked, guide, groups, Smoothing("segments"))
    np.testing.assert_array_equal(everywhere, groups == 1)


def test_blocks_cover_a_scene_once():
    times = np.zeros((23, 17), int)
    for top, bottom, left, right in blocks((23, 17), 10):
        times[top:bottom, left:right] += 1
    assert (times == 1).all()


@each
def test_bad_input_is_told(smoothing):
    proba, guide, groups = a_scene(6, 12, 12)
    groups[:] = 1
    with pytest.raises(InputError, match="group 0"):
        smooth(proba, guide, groups, smoothing)
    with pytest.raises(InputError, match="one scene"):
        smooth(proba, guide[:5], groups, smoothing)
    with pytest.raises(InputError, match="shape"):
        reach(np.zeros((3, 3), bool), guide, groups, smoothing)
