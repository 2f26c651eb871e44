from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from hsi.report import map_data
from hsi.report.map_data import pack, pack_spectra, run_data, scene_data, step_of, unpack
from hsi.report.pictures import classify


def numbers(text, kind, *shape):
    return np.frombuffer(unpack(text), kind).reshape(shape)


@pytest.fixture(params=[1, 2], ids=["whole", "every second pixel"])
def step(request, monkeypatch):
    if request.param == 2:
        monkeypatch.setattr(map_data, "MAX_PIXELS", 150)
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


KINDS = st.sampled_from([np.uint8, np.uint16, ">u2", np.float32])


@given(arrays.arrays(KINDS, arrays.array_shapes(max_dims=3), elements={"allow_nan": False}))
def test_comes_back_little_endian(array):
    text = pack(array)
    assert text.isascii()
    little = array.dtype.newbyteorder("<")
    assert np.array_equal(np.frombuffer(unpack(text), little).reshape(array.shape), array)


def test_takes_row_major_order_whatever_lies_in_memory():
    array = np.arange(6, dtype=np.uint16).reshape(2, 3)
    assert pack(np.asfortranarray(array)) == pack(array)


def test_says_how_far_the_restored_spectra_are_off():
    random = np.random.default_rng(0)
    spectra = (random.normal(size=(500, 3)) @ random.normal(size=(3, 100)) * 300 + 2000).round()
    packed = pack_spectra(spectra)
    assert packed.codes.shape == (64, 500)
    wrong = packed.restore() - spectra.astype(float)
    spread = spectra - spectra.mean(axis=0)
    assert packed.relative_error == pytest.approx(np.sqrt((wrong**2).mean() / (spread**2).mean()), rel=1e-3)
    assert packed.relative_error < 0.02
    assert np.corrcoef(packed.restore()[7], spectra[7])[0, 1] > 0.999


def test_a_large_scene_has_fewer_components(monkeypatch):
    monkeypatch.setattr(map_data, "MAX_BYTES", 2000)
    monkeypatch.setattr(map_data, "PCA_SAMPLES", 40)
    packed = pack_spectra(np.random.default_rng(1).normal(size=(400, 30)))
    assert packed.codes.shape == (5, 400)
    assert 0.5 < packed.relative_error < 1


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (6, 1), (3, 20)])
def test_the_same_spectrum_everywhere(shape):
    packed = pack_spectra(np.full(shape, 41.0))
    assert np.allclose(packed.restore(), 41)
    assert packed.relative_error == 0
