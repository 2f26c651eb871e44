"""Novelty scores against SciPy and scikit-learn, and that new ground scores higher than known ground."""

from __future__ import annotations

import io
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import mahalanobis
from scipy.special import logsumexp, softmax
from scipy.stats import entropy as scipy_entropy
from sklearn.covariance import LedoitWolf
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import NearestNeighbors

from hsi.confidence import novelty
from hsi.confidence.novelty import (
    DEFAULT,
    FEATURE_SCORES,
    LOGIT_SCORES,
    ClassDistance,
    NeighbourDistance,
    fit_feature_score,
    read_feature_score,
    threshold_at,
)
from hsi.errors import InputError


def known_ground(rng, n=300, width=6, classes=4):
    """Features of classes that lie apart along one axis each, and vary most along another."""
    targets = rng.integers(0, classes, n)
    centres = 6 * np.eye(classes, width) + 3
    stretch = np.linspace(0.3, 2, width)
    return centres[targets] + stretch * rng.normal(size=(n, width)), targets


@given(st.integers(2, 6), st.integers(0, 99), st.floats(0.2, 30))
@settings(max_examples=40, deadline=None)
def test_scores_of_logits_equal_scipy(classes, seed, scale):
    logits = scale * np.random.default_rng(seed).normal(size=(3, 5, classes))
    proba = softmax(logits, axis=-1)
    np.testing.assert_allclose(novelty.energy(logits), -logsumexp(logits, axis=-1), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(
        novelty.energy(logits, 2.5), -2.5 * logsumexp(logits / 2.5, axis=-1), rtol=1e-5, atol=1e-5
    )
    np.testing.assert_allclose(novelty.uncertainty(logits), 1 - proba.max(axis=-1), atol=1e-6)
    np.testing.assert_allclose(novelty.low_logit(logits), -logits.max(axis=-1), rtol=1e-6)
    np.testing.assert_allclose(novelty.entropy(logits), scipy_entropy(proba, axis=-1), atol=1e-6)


@pytest.mark.parametrize("name", LOGIT_SCORES)
def test_a_score_of_logits_rises_with_doubt_and_ignores_classes_without_training_pixels(name):
    score = LOGIT_SCORES[name]
    sure, unsure = np.array([9.0, 0.0, 0.0]), np.array([1.0, 0.9, 0.8])
    assert score(unsure) > score(sure)
    with_missing = np.insert(unsure, 1, -np.inf)
    assert score(with_missing) == score(unsure)
    found = score([[-np.inf] * 4, [0.0] * 4])
    assert found[0] == found[1]
    assert found.dtype == np.float32
    with pytest.raises(InputError, match="Logits must be"):
        score(3.0)


@pytest.mark.parametrize("relative", [False, True])
def test_class_distances_equal_scipy(relative):
    rng = np.random.default_rng(0)
    features, targets = known_ground(rng)
    targets = 2 * targets  # a class without training pixels between any two
    score = ClassDistance.fit(features, targets, relative=relative)
    assert score.name == FEATURE_SCORES[relative]
    means = {k: features[targets == k].mean(axis=0) for k in set(targets.tolist())}
    within = features - np.stack([means[k] for k in targets.tolist()])
    inverse = np.linalg.inv(LedoitWolf(assume_centered=True).fit(within).covariance_)
    middle = features.mean(axis=0)
    overall = np.linalg.inv(LedoitWolf().fit(features).covariance_)
    new = 4 * rng.normal(size=(50, 6))
    expected = []
    for row in new:
        nearest = min(mahalanobis(row, mean, inverse) ** 2 for mean in means.values())
        expected.append(nearest - (mahalanobis(row, middle, overall) ** 2 if relative else 0))
    np.testing.assert_allclose(score(new), expected, rtol=2e-4, atol=1e-3)


@pytest.mark.parametrize("name", NeighbourDistance.names)
@pytest.mark.parametrize("k", [1, 5, 40])
def test_neighbour_distances_equal_scikit_learn(name, k):
    rng = np.random.default_rng(1)
    features, targets = known_ground(rng, 60)
    new = 5 * rng.normal(size=(30, 6))
    score = NeighbourDistance.fit(features, targets, name=name, k=k)
    bank, points, metric = features, new, {}
    if name == "neighbours-unit":
        bank, points = (part / np.linalg.norm(part, axis=1, keepdims=True) for part in (bank, points))
    if name == "neighbours-whitened":
        within = features - np.stack([features[targets == k].mean(axis=0) for k in targets])
        inverse = np.linalg.inv(LedoitWolf(assume_centered=True).fit(within).covariance_)
        metric = {"metric": "mahalanobis", "metric_params": {"VI": inverse}, "algorithm": "brute"}
    expected = NearestNeighbors(n_neighbors=k, **metric).fit(bank).kneighbors(points)[0][:, -1]
    np.testing.assert_allclose(score(new), expected, rtol=1e-4, atol=1e-5)
    few = NeighbourDistance.fit(features[:3], targets[:3], name=name, k=k)
    assert few.k == min(k, 3)


@pytest.mark.parametrize("name", FEATURE_SCORES)
def test_new_ground_scores_higher_whatever_the_shape(name):
    rng = np.random.default_rng(2)
    features, targets = known_ground(rng)
    score = fit_feature_score(name, features, targets)
    assert score.name == name
    assert score.width == 6
    known, _ = known_ground(rng, 200)
    new = np.array([3, 3, 3, 3, 12, 9.0]) + 0.5 * rng.normal(size=(200, 6))
    found = np.concatenate([score(known), score(new)])
    assert roc_auc_score(np.repeat([0, 1], 200), found) > 0.97
    image = known.reshape(10, 20, 6)
    assert score(image).shape == (10, 20)
    assert score(image).dtype == np.float32
    np.testing.assert_allclose(score(image).ravel(), score(known), rtol=1e-5)
    assert float(score(known[0])) == pytest.approx(float(score(known)[0]), rel=1e-5)


@pytest.mark.parametrize("name", FEATURE_SCORES)
def test_a_score_survives_a_file(name):
    rng = np.random.default_rng(3)
    features, targets = known_ground(rng)
    score = fit_feature_score(name, features, targets)
    file = io.BytesIO()
    np.savez(file, **score.as_arrays())
    file.seek(0)
    again = read_feature_score(dict(np.load(file)))
    assert type(again) is type(score)
    assert again.name == name
    np.testing.assert_array_equal(again(features), score(features))


@pytest.mark.parametrize("name", FEATURE_SCORES)
def test_constant_features_and_single_pixels_of_a_class_do_no_harm(name):
    rng = np.random.default_rng(4)
    features, targets = known_ground(rng, 12)
    features[:, 2] = 0  # a dead unit
    features[0], targets[0] = 0, 9
    score = fit_feature_score(name, features, targets)
    assert np.isfinite(score(np.vstack([features, np.zeros((1, 6)), 1e3 * np.ones((1, 6))]))).all()


def test_a_great_many_training_pixels_are_thinned_evenly_and_rare_classes_kept(monkeypatch):
    monkeypatch.setattr(novelty, "MOST_NEIGHBOURS", 50)
    features = np.arange(1000.0)[:, None]
    targets = np.zeros(1000, int)
    targets[500:503] = 4
    score = NeighbourDistance.fit(features, targets, k=1)
    assert len(score.bank) == 50
    assert (score.bank[0], score.bank[-1]) == (0, 999)
    assert set(score.bank.ravel()) >= {500, 501, 502}
    assert score(features).max() < 12


def test_a_pixel_has_its_score_whatever_lies_beside_it():
    rng = np.random.default_rng(6)
    features, targets = known_ground(rng, 200)
    image = rng.normal(size=(50, 60, 6)).astype(np.float32)
    for name in FEATURE_SCORES:
        score = fit_feature_score(name, features, targets)
        whole = score(image)
        np.testing.assert_array_equal(score(image[7:9, 3:40]), whole[7:9, 3:40])


@given(st.lists(st.floats(-5, 5), min_size=1, max_size=200), st.floats(0, 0.99))
def test_a_threshold_rejects_at_most_the_rate_and_no_lower_one_does(scores, rate):
    threshold = threshold_at(scores, rate)
    values = np.array(scores)
    assert (values > threshold).mean() <= rate + 1e-9
    assert threshold in values
    lower = values[values < threshold]
    if len(lower):
        assert (values > lower.max()).mean() > rate - 1e-9


def test_the_rate_is_exact_without_ties():
    values = np.random.default_rng(0).normal(size=1000)
    for rate in (0.0, 0.01, 0.05, 0.1, 0.29, 0.5):
        assert (values > threshold_at(values, rate)).sum() == round(1000 * rate)
    assert threshold_at(values, 0) == values.max()


@pytest.mark.parametrize(
    ("scores", "rate", "words"),
    [([], 0.1, "validation pixels"), ([math.nan], 0.1, "validation pixels"), ([1.0], 1.0, "rate to reject"),
     ([1.0], -0.1, "rate to reject"), ([1.0], math.nan, "rate to reject")],
)  # fmt: skip
def test_a_threshold_of_nothing_is_refused(scores, rate, words):
    with pytest.raises(InputError, match=words):
        threshold_at(scores, rate)


@pytest.mark.parametrize(
    ("features", "targets", "words"),
    [
        (np.zeros(4), np.zeros(4, int), "Features must be"),
        (np.zeros((4, 0)), np.zeros(4, int), "Features must be"),
        (np.full((4, 2), np.nan), np.zeros(4, int), "not finite"),
        (np.zeros((4, 2)), np.zeros(3, int), "a class for each of 4"),
        (np.zeros((4, 2)), np.array([0, -1, 0, 0]), "leave unlabelled pixels out"),
        (np.zeros((1, 2)), np.zeros(1, int), "two training pixels"),
        (np.zeros((0, 2)), np.zeros(0, int), "two training pixels"),
    ],
)
def test_bad_features_are_told_in_one_sentence(features, targets, words):
    with pytest.raises(InputError, match=words):
        fit_feature_score("mahalanobis", features, targets)


def test_bad_names_neighbours_and_widths_are_told():
    with pytest.raises(InputError, match=r"Unknown novelty score 'neighbors'.*Did you mean 'neighbours'"):
        fit_feature_score("neighbors", np.zeros((4, 2)), np.zeros(4, int))
    with pytest.raises(InputError, match="neighbour must be 1 or more"):
        NeighbourDistance.fit(np.zeros((4, 2)), np.zeros(4, int), k=0)
    with pytest.raises(InputError, match="Unknown novelty score"):
        NeighbourDistance.fit(np.zeros((4, 2)), np.zeros(4, int), name="energy")
    assert DEFAULT in FEATURE_SCORES
    for name in FEATURE_SCORES:
        score = fit_feature_score(name, *known_ground(np.random.default_rng(0)))
        with pytest.raises(InputError, match="of 6 features"):
            score(np.zeros((3, 5)))


@pytest.mark.parametrize("name", FEATURE_SCORES)
def test_damaged_arrays_are_told(name):
    good = fit_feature_score(name, *known_ground(np.random.default_rng(0))).as_arrays()
    damages = [dict(list(good.items())[1:])]
    first = next(iter(good))
    damages += [{**good, first: good[first][:, :-1]}] if first != "bank" else [{**good, "k": np.array(0)}]
    damages += [{**good, first: np.array(["a"])}, {**good, first: good[first] * np.nan}]
    for arrays in damages:
        with pytest.raises(InputError, match="damaged"):
            read_feature_score(arrays)
