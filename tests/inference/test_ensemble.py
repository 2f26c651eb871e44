"""Runs joined: the mean of calibrated probabilities, smoothed within regions, scored with its leakage."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage
from scipy.special import softmax
from sklearn.covariance import LedoitWolf
from sklearn.neighbors import NearestNeighbors

import hsi
from hsi.errors import ConfigError, RunError
from hsi.inference.ensemble import Ensemble, How
from hsi.inference.joined import open_ensemble, open_joined
from hsi.inference.run import ensemble
from hsi.training import train_runs


@pytest.fixture(scope="module")
def demo():
    return hsi.load_scene("demo")


@pytest.fixture(scope="module")
def joined(tmp_path_factory):
    """Two models on one disjoint split of the demo scene, joined by the training itself."""
    out = tmp_path_factory.mktemp("joined") / "two"
    options = {"protocol": "disjoint", "patch": 7, "epochs": 2, "device": "cpu", "smooth": "mean"}
    train_runs("cnn1d,forest", "demo", out=out, **options)
    return out


@pytest.fixture(scope="module")
def members(joined):
    return [hsi.open_run(joined / name) for name in ("cnn1d", "forest")]


def whole_logits(run, scene):
    logits = np.empty((scene.rows, scene.cols, scene.classes))
    for window, values, _ in run.classify(scene, device="cpu"):
        logits[window.slices] = values
    return logits


def mean_in_regions(values, regions, width):
    """Average over squares within each region, in double precision."""
    out = np.zeros_like(values)
    for region in np.unique(regions):
        inside = (regions == region).astype(float)
        count = ndimage.convolve(inside, np.ones((width, width)), mode="constant")
        for c in range(values.shape[2]):
            total = ndimage.convolve(values[..., c] * inside, np.ones((width, width)), mode="constant")
            out[..., c] = np.where(inside > 0, total / np.maximum(count, 1), out[..., c])
    return out


def test_the_joined_probabilities_are_those_of_an_independent_computation(members, demo):
    both = ensemble(members)
    logits = [whole_logits(run, demo) for run in members]
    temperatures = [run.postprocessing.calibration.temperature for run in members]
    mean = np.mean([softmax(z / t, axis=2) for z, t in zip(logits, temperatures, strict=True)], axis=0)
    with both.classified(demo, smooth="mean", how=How(device="cpu")) as classified:
        width = classified.post.smoothing["width"]
        got = np.empty(mean.shape)
        for tile in classified.tiles:
            got[tile.window.slices] = tile.proba
        after = classified.post.after.temperature
    smoothed = mean_in_regions(mean, members[0].split.regions, width)
    np.testing.assert_allclose(got, softmax(np.log(smoothed) / after, axis=2), atol=2e-5)


def test_the_temperature_is_where_confidence_fits_validation_pixels_best(members, demo):
    for run in members:
        val = run.split.val
        logits = run.logits_of(demo, val, device="cpu").astype(float)
        targets = demo.labels.ravel()[val] - 1

        right = logits.argmax(axis=1) == targets
        fitted = run.postprocessing.calibration.temperature

        def loss(temperature, logits=logits, right=right):
            confidence = softmax(logits / temperature, axis=1).max(axis=1)
            return -np.log(np.where(right, confidence, 1 - confidence)).mean()

        # A pixel in n + 2 counts as the opposite, so the least loss without that lies close by.
        assert loss(fitted) <= min(loss(fitted * 1.3), loss(fitted / 1.3)) + 0.02


def test_the_map_and_the_scores_of_a_run_agree_with_and_without_smoothing(members, demo):
    for run in members:
        test, true = run.split.test, demo.labels.ravel()[run.split.test]
        for smooth, scores in (
            (None, run.metrics["test"]),
            ("none", run.metrics["smoothing"]["unsmoothed"]["test"]),
        ):
            labels = run.predict(demo, smooth=smooth, device="cpu").ravel()[test]
            assert (labels == true).mean() == pytest.approx(scores["oa"], abs=1e-9)
            assert run.evaluate(demo, smooth=smooth, device="cpu").oa == pytest.approx(scores["oa"])


def test_smoothing_crosses_no_region(members, demo):
    run = members[0]
    assert run.metrics["leakage"] == {"centre": 0.0, "overlap": 0.0}
    train = run.split.regions == 1
    cube = demo.cube.astype(np.float32)
    cube[train] = cube[train].mean(axis=0)
    before = run.predict(demo, device="cpu")
    after = run.predict(replace(demo, cube=cube), device="cpu")
    np.testing.assert_array_equal(before[~train], after[~train])
    assert (before[train] != after[train]).any()


def test_smoothing_a_random_split_says_how_much_it_leaks(tmp_path, demo):
    run = hsi.train(
        model="knn", dataset="demo", scheme="random", train=0.02, val=0.02, patch=3, smooth="mean",
        device="cpu", out=tmp_path / "run",
    )  # fmt: skip
    reach = run.metrics["smoothing"]["width"] // 2
    trained = np.zeros(demo.labels.shape, bool)
    trained.ravel()[run.split.train] = True
    seen = ndimage.binary_dilation(trained, np.ones((3, 3)))
    share = ndimage.binary_dilation(seen, np.ones((2 * reach + 1,) * 2)).ravel()[run.split.test].mean()
    assert run.metrics["leakage"]["centre"] == pytest.approx(share)
    assert share > run.split.leakage(3).centre


def test_small_tiles_and_a_file_on_disk_change_nothing(members, demo, monkeypatch, tmp_path):
    both = ensemble(members)
    maps = []
    for budget, in_memory in ((1, 0), (2**26, 2**28)):
        monkeypatch.setattr("hsi.inference.whole_scene.IN_MEMORY_BYTES", in_memory)
        name = tmp_path / f"{in_memory}.npy"
        hsi.map_scene(both, demo, name, proba=True, smooth="mean", device="cpu", budget=budget)
        maps.append(np.load(name.with_name(f"{in_memory}-proba.npy")))
    np.testing.assert_array_equal(*maps)
    assert not list(tmp_path.glob("tmp*"))


def test_a_joined_folder_opens_and_scores_as_it_says(joined, members, demo):
    about = json.loads((joined / "ensemble.json").read_text())
    assert about["members"] == ["cnn1d", "forest"]
    assert about["weights"] == [0.5, 0.5]
    opened = open_ensemble(joined)
    evaluation = opened.evaluate(demo, device="cpu")
    assert evaluation.scores().oa == pytest.approx(about["test"]["oa"])
    assert evaluation.post.smoothing == opened.fitted.smoothing
    assert [run.path for run in open_joined([joined]).members] == [run.path for run in members]
    with pytest.raises(RunError, match="not a run folder"):
        open_joined([joined, joined])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        '{"members": [], "weights": []}',
        '{"members": ["cnn1d"], "weights": [2]}',
        '{"weights": [1]}',
    ],
)
def test_a_damaged_ensemble_is_told_as_such(text, tmp_path):
    (tmp_path / "ensemble.json").write_text(text)
    with pytest.raises(RunError, match=r"ensemble\.json' is damaged|is not a run folder"):
        open_ensemble(tmp_path)


def test_weights(members, demo):
    alone = ensemble(members, [1, 1e-12])
    first = ensemble(members[:1])
    test = members[0].split.test
    one, two = (
        which.evaluate(demo, smooth="none", device="cpu").proba.argmax(axis=1) for which in (alone, first)
    )
    np.testing.assert_array_equal(one, two)
    assert len(one) == len(test)
    for weights in ([1], [1, 0], [1, float("nan")], [1, -1]):
        with pytest.raises(ConfigError, match="Give 2 weights above 0"):
            ensemble(members, weights)
    with pytest.raises(ConfigError, match="no runs to join"):
        ensemble([])


def test_runs_that_cannot_be_joined(members, demo, tmp_path):
    other = hsi.train(
        model="knn",
        dataset="demo",
        protocol="disjoint",
        seed=1,
        patch=7,
        device="cpu",
        out=tmp_path / "other",
    )
    with pytest.raises(RunError, match="have different splits, so that test pixels of one may have trained"):
        ensemble([members[0], other]).evaluate(demo, device="cpu")
    stranger = hsi.open_run(other.path)
    stranger.metrics["class_names"] = ["a", "b"]
    with pytest.raises(RunError, match="have different classes"):
        Ensemble((members[0], stranger))


def test_prediction_sets_of_more_coverage_hold_more_classes(members, demo):
    evaluation = ensemble(members[:1]).evaluate(demo, device="cpu")
    low, high = evaluation.sets(0.5), evaluation.sets(0.95)
    assert low["mean_size"] < high["mean_size"]
    assert low["test_coverage"] < high["test_coverage"]
    for coverage in (0, 1, 90):
        with pytest.raises(ConfigError, match="coverage must be above 0 and below 1"):
            evaluation.sets(coverage)


def test_pixels_unlike_training_ones_are_rejected(members, demo, tmp_path):
    run = members[0]
    features = run.preprocess.transform(demo.cube).reshape(-1, run.preprocess.bands)
    train, val = features[run.split.train], features[run.split.val]
    classes = demo.labels.ravel()[run.split.train]
    within = train - np.stack([train[classes == k].mean(axis=0) for k in classes])
    precision = np.linalg.inv(LedoitWolf(assume_centered=True).fit(within).covariance_)
    neighbours = NearestNeighbors(n_neighbors=5, metric="mahalanobis", metric_params={"VI": precision})
    neighbours.fit(train)
    of_val = np.sort(neighbours.kneighbors(val)[0][:, -1])
    limit = of_val[len(of_val) - 1 - int(0.1 * len(of_val))]
    expected = neighbours.kneighbors(features)[0][:, -1] > limit
    plain = run.predict(demo, device="cpu").ravel()
    labels = run.predict(demo, reject=0.1, device="cpu").ravel()
    near = np.isclose(neighbours.kneighbors(features)[0][:, -1], limit, rtol=1e-4)
    np.testing.assert_array_equal((labels == 0)[~near], expected[~near])
    np.testing.assert_array_equal(labels[labels > 0], plain[labels > 0])
    assert (labels[run.split.val] == 0).mean() <= 0.1
    made = hsi.map_scene(run, demo, tmp_path / "a.npy", reject=0.1, device="cpu")
    np.testing.assert_array_equal(np.load(tmp_path / "a.npy").ravel(), labels)
    assert made.rejected == (labels == 0).sum() > 0
    told = ensemble([run]).evaluate(demo, reject=0.1, device="cpu").facts()["rejection"]
    assert told["test_share"] == pytest.approx((labels[run.split.test] == 0).mean())
    for rate in (0, 1, 5):
        with pytest.raises(ConfigError, match="reject must be above 0 and below 1"):
            run.predict(demo, reject=rate, device="cpu")


def test_rejected_pixels_without_data_have_a_value_of_their_own(members, demo, tmp_path):
    cube = demo.cube.astype(np.float32)
    cube[0, :5] = np.nan
    made = hsi.map_scene(members[0], replace(demo, cube=cube), tmp_path / "a.npy", reject=0.1, device="cpu")
    labels = np.load(tmp_path / "a.npy")
    assert made.missing == 5
    assert set(labels[0, :5]) == {255}
    assert (labels == 255).sum() == 5


def test_a_run_of_an_older_version_is_joined_as_it_is(members, demo):
    old = hsi.open_run(members[0].path)
    old.__dict__["postprocessing"] = type(old.postprocessing)(type(old.postprocessing.calibration)())
    evaluation = ensemble([old]).evaluate(demo, smooth="none", device="cpu")
    logits = old.logits_of(demo, old.split.test, device="cpu")
    np.testing.assert_allclose(evaluation.proba, softmax(logits, axis=1), atol=1e-5)
    with pytest.raises(RunError, match="older runs did not keep; train it again"):
        evaluation.sets(0.9)


def test_several_models_are_refused_where_one_is_trained(tmp_path):
    with pytest.raises(ConfigError, match="names several models"):
        hsi.train(model="svm,forest", dataset="demo", out=tmp_path / "run")
    for model, options, message in (
        ("svm,svm", {}, "named twice"),
        ("svm,forest", {"runs": 2}, "joined on one split"),
        ("svm,forest", {"folds": 3}, "joined on one split"),
        ("svm,forest", {"model_options": {"levels": 2}}, "None of svm, forest has an option 'levels'"),
        ("svm,fores", {}, "Did you mean 'forest'"),
    ):
        with pytest.raises(hsi.InputError, match=message):
            train_runs(model, "demo", protocol="disjoint", out=tmp_path / "group", **options)
