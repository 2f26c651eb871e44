"""Coverage of prediction sets by simulation, for exchangeable pixels and for pixels in groups."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import softmax

from hsi.confidence.conformal import (
    EVERY_CLASS,
    SCORES,
    ConformalSets,
    conformal_threshold,
    evaluate_sets,
    fit_sets,
    nonconformity,
    prediction_sets,
)
from hsi.errors import InputError


def pixels(rng, n, classes=5, shift=None):
    """Probabilities of an overconfident classifier, and true classes; `shift` is added to the truth alone."""
    logits = 2 * rng.normal(size=(n, classes))
    truth = softmax(logits + (0 if shift is None else shift), axis=1)
    targets = (truth.cumsum(axis=1) < rng.random((n, 1))).sum(axis=1).clip(0, classes - 1)
    return softmax(2 * logits, axis=1), targets


@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize(("n", "coverage"), [(19, 0.9), (120, 0.9), (120, 0.75)])
def test_exchangeable_pixels_are_covered_at_the_rate_asked_for(score, n, coverage):
    rng = np.random.default_rng(n)
    held = []
    for _ in range(400):
        proba, targets = pixels(rng, n + 50)
        threshold = conformal_threshold(proba[:n], targets[:n], coverage, score=score)
        # Without the most likely class, which is added to each set, the theory's upper bound holds, too.
        own = nonconformity(proba[n:], score)[np.arange(50), targets[n:]]
        held.append([(own <= threshold).mean()])
        sets = prediction_sets(proba[n:], threshold, score=score)
        held[-1].append(evaluate_sets(sets, targets[n:]).coverage)
    plain, with_top = np.mean(held, axis=0)
    error = 3 * np.std(held, axis=0)[0] / math.sqrt(len(held))
    assert coverage - error <= plain <= coverage + 1 / (n + 1) + error
    assert with_top >= plain


def in_groups(rng, groups, size):
    """Pixels that are nearly as sure as the others of their group, as those of a field are."""
    certainty = np.repeat(2 * rng.normal(size=groups), size) + 0.1 * rng.normal(size=groups * size)
    own = 1 / (1 + np.exp(-certainty))
    return np.stack([own, 1 - own], axis=1), np.zeros(groups * size, int), np.repeat(np.arange(groups), size)


def test_pixels_of_new_groups_are_covered_only_if_groups_are_counted():
    rng = np.random.default_rng(0)
    pooled, grouped = [], []
    for _ in range(2000):
        proba, targets, group = in_groups(rng, 13, 8)
        old, new = group < 12, group == 12
        for found, regions in ((pooled, None), (grouped, group[old])):
            sets = fit_sets(proba[old], targets[old], 0.9, regions=regions)
            own = nonconformity(proba[new])[np.arange(8), targets[new]]
            found.append((own <= sets.threshold).mean())
    error = 3 * np.std(pooled) / math.sqrt(len(pooled))
    assert np.mean(pooled) < 0.9 - error  # 11 of 13 groups in the limit, 0.846
    assert np.mean(grouped) >= 0.9 - 3 * np.std(grouped) / math.sqrt(len(grouped))


def test_groups_of_one_pixel_are_plain_conformal_prediction():
    proba, targets = pixels(np.random.default_rng(3), 80)
    for coverage in (0.5, 0.8, 0.9, 0.95):
        grouped = fit_sets(proba, targets, coverage, regions=np.arange(80))
        assert grouped.threshold == conformal_threshold(proba, targets, coverage)
        assert (grouped.rule, grouped.groups) == ("hierarchical", 80)


@settings(max_examples=60, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 6), min_size=1, max_size=12),
    coverage=st.floats(0.05, 0.95),
    seed=st.integers(0, 99),
)
def test_the_threshold_of_groups_is_the_weighted_quantile(sizes, coverage, seed):
    group = np.repeat(np.arange(len(sizes)) * 10 - 3, sizes)
    proba, targets = pixels(np.random.default_rng(seed), len(group))
    found = fit_sets(proba, targets, coverage, regions=group)
    weighed = sorted(
        (1 - proba[i, targets[i]], 1 / sizes[(group[i] + 3) // 10] / (len(sizes) + 1))
        for i in range(len(group))
    )
    total, expected = 0.0, None
    for score, weight in weighed:
        total += weight
        if total >= coverage - 1e-12:
            expected = score
            break
    if expected is None:
        assert found.rule == "largest"
        assert len(sizes) / (len(sizes) + 1) < coverage
        assert "too few" in found.notes[0]
    else:
        assert found.rule == "hierarchical"
        assert found.threshold == expected


def test_too_few_groups_take_the_largest_threshold_of_one_and_say_so():
    rng = np.random.default_rng(5)
    proba, targets, group = in_groups(rng, 3, 200)
    found = fit_sets(proba, targets, 0.9, regions=group)
    alone = [conformal_threshold(proba[group == g], targets[group == g], 0.9) for g in range(3)]
    assert found.threshold == max(alone)
    assert found.rule == "largest"
    assert "3 validation groups are too few for prediction sets of 90 % (9 are needed)" in found.notes[0]
    single = fit_sets(proba[:1], targets[:1], 0.9, regions=[4])
    assert single.threshold == EVERY_CLASS
    assert single(proba).all()
    assert len(single.notes) == 2


def test_too_few_pixels_rule_out_no_class():
    proba, targets = pixels(np.random.default_rng(1), 8)
    found = fit_sets(proba, targets, 0.9)
    assert found.threshold == EVERY_CLASS
    assert found(proba).all()
    assert "no class out" in found.notes[0]
    assert fit_sets(*pixels(np.random.default_rng(1), 9), 0.9).threshold < EVERY_CLASS


def test_the_rank_is_that_of_the_definition():
    # Nine pixels at 90 %: ceil(10 x 0.9) = 9, the largest score; ten at 50 %: ceil(5.5) = 6.
    proba = np.array([[p, 1 - p] for p in np.arange(1, 11) / 20 + 0.45])
    targets = np.zeros(10, int)
    scores = np.sort(1 - proba[:, 0])
    assert conformal_threshold(proba[:9], targets[:9], 0.9) == (1 - proba[:9, 0]).max()
    assert conformal_threshold(proba, targets, 0.5) == scores[5]


def test_sets_by_hand():
    proba = np.array([[0.6, 0.3, 0.1], [0.4, 0.35, 0.25], [0.05, 0.9, 0.05]], np.float32)
    expected = [[True, True, False], [True, True, True], [False, True, False]]
    np.testing.assert_array_equal(prediction_sets(proba, 0.75), expected)
    np.testing.assert_array_equal(
        prediction_sets(proba, 0.2), np.eye(3, dtype=bool)[[0, 0, 1]]
    )  # never empty
    np.testing.assert_allclose(nonconformity(proba[:1], "aps"), [[0.6, 0.9, 1.0]], rtol=1e-6)
    scored = evaluate_sets(prediction_sets(proba, 0.75), [1, 2, 1], regions=[4, 4, 9])
    assert (scored.pixels, scored.coverage, scored.size, scored.single) == (3, 1.0, 2.0, 1 / 3)
    assert scored.by_region == {4: (2, 1.0, 2.5, 0.0), 9: (1, 1.0, 1.0, 1.0)}


def test_coverage_by_region_and_its_summary():
    sets = np.array([[1, 0], [1, 0], [1, 1], [0, 1]], bool)
    scored = evaluate_sets(sets, [0, 1, 1, 0], regions=[1, 1, 1, 2])
    assert scored.by_region[1] == (3, pytest.approx(2 / 3), pytest.approx(4 / 3), pytest.approx(2 / 3))
    assert scored.lowest == 0
    assert scored.mean_of_regions == pytest.approx(1 / 3)
    table = json.loads(json.dumps(scored.as_dict()))
    assert table["coverage"] == 0.5
    assert table["regions"][1] == {"region": 2, "pixels": 1, "coverage": 0.0, "size": 1.0, "single": 1.0}
    alone = evaluate_sets(sets, [0, 1, 1, 0])
    assert alone.lowest == alone.mean_of_regions == 0.5
    assert "regions" not in alone.as_dict()
    nothing = evaluate_sets(np.zeros((0, 2), bool), np.zeros(0, int))
    assert math.isnan(nothing.coverage)
    assert nothing.as_dict()["coverage"] is None


def test_whole_maps_keep_their_shape_and_a_pixel_its_set():
    proba, targets = pixels(np.random.default_rng(0), 12 * 7)
    found = fit_sets(np.float32(proba), targets, 0.8)
    image = np.float32(proba).reshape(12, 7, 5)
    assert found(image).shape == (12, 7, 5)
    np.testing.assert_array_equal(found(image).reshape(-1, 5), found(np.float32(proba)))
    many = np.random.default_rng(0).dirichlet(np.ones(2), 300_000).astype(np.float32)
    np.testing.assert_array_equal(found(many)[-3:], found(many[-3:]))


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 999), st.sampled_from(SCORES))
def test_more_coverage_never_takes_a_class_out(seed, score):
    proba, targets = pixels(np.random.default_rng(seed), 40)
    less, more = (fit_sets(proba, targets, coverage, score=score)(proba) for coverage in (0.6, 0.9))
    assert (more | ~less).all()
    assert evaluate_sets(more, targets).coverage >= 0.9  # on the very pixels it was fitted on


def test_sets_survive_json():
    proba, targets, group = in_groups(np.random.default_rng(0), 12, 5)
    for regions in (None, group):
        found = fit_sets(proba, targets, 0.9, regions=regions)
        assert ConformalSets.from_dict(json.loads(json.dumps(found.as_dict()))) == found
    for damaged in ({}, {**found.as_dict(), "threshold": "high"}, {**found.as_dict(), "score": "best"}):
        with pytest.raises(InputError, match=r"fit them again|must be one of"):
            ConformalSets.from_dict(damaged)


@pytest.mark.parametrize(
    ("proba", "targets", "coverage", "options", "words"),
    [
        ([[0.5, 0.5]], [0], 0.0, {}, "coverage must be"),
        ([[0.5, 0.5]], [0], 1.0, {}, "coverage must be"),
        ([[0.5, 0.5]], [0], math.nan, {}, "coverage must be"),
        ([[0.5, 0.5]], [2], 0.9, {}, "from 0 to 1"),
        ([[5.0, 0.5]], [0], 0.9, {}, "not logits"),
        ([[0.5, 0.5]], [0], 0.9, {"score": "best"}, "must be one of lac, aps"),
        ([[0.5, 0.5]], [0], 0.9, {"regions": [1, 2]}, "regions must be"),
        (np.zeros((0, 2)), np.zeros(0, int), 0.9, {}, "need validation pixels"),
    ],
)
def test_bad_input_is_told_in_one_sentence(proba, targets, coverage, options, words):
    with pytest.raises(InputError, match=words):
        fit_sets(proba, np.array(targets), coverage, **options)


def test_sets_of_nothing_are_refused():
    with pytest.raises(InputError, match="Probabilities must be"):
        prediction_sets(0.5, 0.5)
    with pytest.raises(InputError, match="regions must be"):
        evaluate_sets([[True, False]], [0], regions=[1, 2])
