from dataclasses import replace

import numpy as np
import pytest

from hsi.report import map_data
from hsi.report.classified import classify
from hsi.report.map_data import run_data, scene_data, step_of
from hsi.report.packing import unpack


def numbers(text, kind, *shape):
    return np.frombuffer(unpack(text), kind).reshape(shape)


@pytest.fixture(params=[1, 2], ids=["whole", "every second pixel"])
def step(request, monkeypatch):
    if request.param == 2:
        monkeypatch.setattr(map_data, "MOST_PIXELS", 150)
    return request.param


def test_arrays_are_those_of_the_run(runs, step):
    run = runs[0]
    scene = run.load_scene()
    classified = classify(run, scene, device="cpu")
    assert step_of(scene) == step
    shape = (24 // step, 20 // step)
    shared, own = scene_data(scene), run_data(run, scene, classified, "net")
    assert (shared["rows"], shared["cols"]) == shape
    assert np.array_equal(numbers(shared["truth"], "<u2", *shape), scene.labels[::step, ::step])
    assert np.array_equal(numbers(own["predicted"], "<u2", *shape), classified.labels[::step, ::step])
    confidence = numbers(own["confidence"], "<u2", *shape) / 1000
    assert np.allclose(confidence, classified.confidence[::step, ::step], atol=0.0006)
    parts = np.zeros(480, int)
    for value, pixels in enumerate((run.split.train, run.split.val, run.split.test), start=1):
        parts[pixels] = value
    assert np.array_equal(numbers(own["part"], "<u2", *shape), parts.reshape(24, 20)[::step, ::step])
    spectra = shared["spectra"]
    codes = numbers(spectra["codes"], "u1", 12, shape[0] * shape[1])
    scores = np.array(spectra["low"])[:, None] + np.array(spectra["step"])[:, None] * codes
    restored = np.array(spectra["mean"]) + scores.T @ np.array(spectra["basis"])
    true = scene.cube[::step, ::step].reshape(-1, 12).astype(float)
    assert np.abs(restored - true).max() < 0.02 * np.ptp(true)


def test_a_class_without_pixels_has_no_mean(runs):
    scene = runs[0].load_scene()
    more = replace(scene, class_names=(*scene.class_names, "None"), colors=(*scene.colors, "#010203"))
    classes = scene_data(more)["classes"]
    assert classes[3] is None
    assert np.allclose(classes[0]["mean"], scene.cube[scene.labels == 1].mean(axis=0), rtol=1e-5)
