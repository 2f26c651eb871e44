"""Mean field of the Potts model: against a slow loop, against the exact marginals, and its limits."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hsi.smoothing.potts import mean_field


def a_scene(seed: int, rows: int, cols: int, classes: int, groups: int = 2):
    random = np.random.default_rng(seed)
    proba = random.dirichlet(np.ones(classes), (rows, cols)).astype(np.float32)
    guide = random.normal(0, 1, (rows, cols, 2)).astype(np.float32)
    return proba, guide, random.integers(0, groups + 1, (rows, cols)).astype(np.int32)


def pair_weight(guide, groups, one, other, beta, contrast):
    """Return what a pair of neighbours costs if their labels differ; 0 for pixels that are no neighbours."""
    down, right = abs(one[0] - other[0]), abs(one[1] - other[1])
    if max(down, right) != 1 or groups[one] != groups[other] or groups[one] == 0:
        return 0.0
    difference = guide[one].astype(np.float64) - guide[other]
    return beta * np.exp(-(difference @ difference) / (2 * contrast**2)) / np.hypot(down, right)


def slow(proba, guide, groups, beta, contrast, iterations):
    pixels = list(np.ndindex(groups.shape))
    prior = np.maximum(proba.astype(np.float64), 1e-6)
    belief = proba.astype(np.float64)
    for _ in range(iterations):
        updated = belief.copy()
        for one in pixels:
            if groups[one] > 0:
                message = sum(
                    pair_weight(guide, groups, one, other, beta, contrast) * belief[other] for other in pixels
                )
                updated[one] = prior[one] * np.exp(message)
                updated[one] /= updated[one].sum()
        belief = updated
    return belief


sizes = st.integers(1, 5)


@settings(deadline=None, max_examples=50)
@given(
    st.integers(0, 999), sizes, sizes, st.integers(2, 20), st.sampled_from([0.0, 0.7, 3.0]), st.integers(1, 4)
)
def test_each_update_is_that_of_the_formula(seed, rows, cols, classes, beta, iterations):
    proba, guide, groups = a_scene(seed, rows, cols, classes)
    found = mean_field(proba, guide, groups, beta, 1.5, iterations)
    expected = slow(proba, guide, groups, beta, 1.5, iterations)
    np.testing.assert_allclose(found, expected, atol=2e-5)


def test_marginals_are_near_the_exact_ones_where_neighbours_pull_weakly():
    proba, guide, groups = a_scene(4, 2, 3, 2, groups=0)
    groups += 1
    beta, contrast = 0.3, 2.0
    pixels = list(np.ndindex(groups.shape))
    exact = np.zeros((2, 3, 2))
    for labels in itertools.product((0, 1), repeat=6):
        chosen = dict(zip(pixels, labels, strict=True))
        energy = -sum(np.log(proba[pixel][label]) for pixel, label in chosen.items())
        for one, other in itertools.combinations(pixels, 2):
            if chosen[one] != chosen[other]:
                energy += pair_weight(guide, groups, one, other, beta, contrast)
        for pixel, label in chosen.items():
            exact[pixel][label] += np.exp(-energy)
    exact /= exact.sum(2, keepdims=True)
    found = mean_field(proba, guide, groups, beta, contrast, 30)
    without = np.abs(proba - exact).max()
    assert without > 0.04  # the field does something
    assert np.abs(found - exact).max() < without / 3


def test_beta_0_leaves_probabilities_as_they_are():
    proba, guide, groups = a_scene(5, 6, 5, 4)
    np.testing.assert_allclose(mean_field(proba, guide, groups, 0.0, 1.0, 5), proba, atol=1e-6)


@pytest.mark.parametrize("classes", [2, 7])
def test_no_preference_stays_none_and_a_constant_field_keeps_its_order(classes):
    guide, groups = np.zeros((6, 7, 1), np.float32), np.ones((6, 7), np.int32)
    flat = np.full((6, 7, classes), 1 / classes, np.float32)
    np.testing.assert_allclose(mean_field(flat, guide, groups, 2.0, 1.0, 10), flat, atol=1e-6)
    one = np.random.default_rng(0).dirichlet(np.ones(classes)).astype(np.float32)
    constant = np.broadcast_to(one, (6, 7, classes)).copy()
    found = mean_field(constant, guide, groups, 1.0, 1.0, 10)
    assert (found.argmax(2) == one.argmax()).all()


def test_a_lone_wrong_pixel_is_outvoted_unless_an_edge_stands_round_it():
    proba = np.full((7, 7, 2), (0.7, 0.3), np.float32)
    proba[3, 3] = (0.3, 0.7)
    guide, groups = np.zeros((7, 7, 1), np.float32), np.ones((7, 7), np.int32)
    assert mean_field(proba, guide, groups, 1.0, 1.0, 10)[3, 3].argmax() == 0
    guide[3, 3] = 10
    assert mean_field(proba, guide, groups, 1.0, 1.0, 10)[3, 3].argmax() == 1
