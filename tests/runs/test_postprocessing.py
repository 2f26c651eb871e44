"""How logits of a run become probabilities, written and read back."""

from __future__ import annotations

import json

import numpy as np
import pytest

from hsi.confidence.calibration import Calibration
from hsi.errors import RunError
from hsi.runs.postprocessing import POSTPROCESSING, Guide, Postprocessing
from hsi.smoothing.choice import Smoothing

FEATURES, CLASSES, PIXELS = 5, 3, 7


def made() -> Postprocessing:
    random = np.random.default_rng(0)
    features = random.normal(size=(6, 8, FEATURES)).astype(np.float32)
    guide, _ = Guide.fit(features, np.ones((6, 8), np.int32), np.arange(20))
    return Postprocessing(
        Calibration(temperature=1.5),
        Smoothing("mean+segments", {"width": 7}),
        Calibration(temperature=0.5),
        guide,
        random.integers(0, CLASSES, PIXELS),
        np.arange(PIXELS),
        random.normal(size=(PIXELS, CLASSES)).astype(np.float32),
        random.dirichlet(np.ones(CLASSES), PIXELS).astype(np.float32),
    )


def test_what_is_read_is_what_was_written(tmp_path):
    post = made()
    post.save(tmp_path)
    found = Postprocessing.load(tmp_path, FEATURES, CLASSES, PIXELS)
    assert found is not None
    assert found.as_dict() == post.as_dict()
    for name in ("val_targets", "val_fields", "val_logits", "val_proba"):
        np.testing.assert_array_equal(getattr(found, name), getattr(post, name))
    features = np.random.default_rng(1).normal(size=(4, FEATURES)).astype(np.float32)
    np.testing.assert_array_equal(found.guide(features), post.guide(features))


def test_an_older_run_has_none(tmp_path):
    assert Postprocessing.load(tmp_path, FEATURES, CLASSES, PIXELS) is None


@pytest.mark.parametrize("sizes", [(4, CLASSES, PIXELS), (FEATURES, 4, PIXELS), (FEATURES, CLASSES, 8)])
def test_a_file_of_another_run_is_refused(sizes, tmp_path):
    made().save(tmp_path)
    with pytest.raises(RunError, match=rf"{POSTPROCESSING}' is damaged"):
        Postprocessing.load(tmp_path, *sizes)


@pytest.mark.parametrize(
    "change",
    [
        {"smoothing": {"method": "magic"}},
        {"smoothing": {"method": "mean", "width": 2}},
        {"smoothing": None},
        {"calibration": {"method": "temperature", "temperature": -1}},
        {"after": []},
    ],
)
def test_damage_is_told_as_such(change, tmp_path):
    post = made()
    post.save(tmp_path)
    with np.load(tmp_path / POSTPROCESSING) as archive:
        arrays = dict(archive)
    arrays["about"] = np.array(json.dumps({**post.as_dict(), **change}))
    np.savez(tmp_path / POSTPROCESSING, **arrays)
    with pytest.raises(RunError, match="is damaged"):
        Postprocessing.load(tmp_path, FEATURES, CLASSES, PIXELS)
    (tmp_path / POSTPROCESSING).write_bytes(b"PK\x03\x04")
    with pytest.raises(RunError, match="is damaged"):
        Postprocessing.load(tmp_path, FEATURES, CLASSES, PIXELS)


def test_the_guide_is_the_principal_components_of_the_training_pixels():
    from sklearn.decomposition import PCA

    random = np.random.default_rng(2)
    features = (random.normal(size=(9, 9, 12)) * np.arange(12, 0, -1)).astype(np.float32)
    train = np.arange(0, 81, 2)
    _, values = Guide.fit(features, np.ones((9, 9), np.int32), train)
    expected = PCA(6).fit(features.reshape(-1, 12)[train].astype(float)).transform(features.reshape(-1, 12))
    got = values.reshape(-1, 6)
    for one, other in zip(got.T, expected.T, strict=True):
        assert abs(np.corrcoef(one, other)[0, 1]) == pytest.approx(1, abs=1e-5)
    across = [np.diff(values, axis=axis) for axis in (0, 1)]
    squared = np.concatenate([(step.astype(float) ** 2).sum(axis=2).ravel() for step in across])
    assert np.sqrt(squared.mean()) == pytest.approx(1, rel=1e-4)


def test_windows_do_not_change_the_guide():
    features = np.random.default_rng(3).normal(size=(17, 13, 40)).astype(np.float32)
    guide, values = Guide.fit(features, np.ones((17, 13), np.int32), np.arange(100))
    np.testing.assert_array_equal(guide(features[3:5, 7:8]), values[3:5, 7:8])
