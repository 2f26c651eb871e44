"""What a layer makes of logits."""

import numpy as np
from scipy.special import softmax

from hsi.mapping.layer import Layer

LOGITS = np.random.default_rng(0).normal(0, 3, (4, 5, 3)).astype(np.float32)
MISSING = np.zeros((4, 5), bool)
MISSING[1, 2] = True


def layer(kind, classes=3):
    names = tuple(f"n{number}" for number in range(classes))
    return Layer(kind, 4, 5, names, ("#112233",) * classes)


def test_values():
    labels = layer("map").values(LOGITS, MISSING)
    assert labels.dtype == np.uint8
    assert labels[1, 2] == 0
    np.testing.assert_array_equal(labels[~MISSING], LOGITS.argmax(axis=2)[~MISSING] + 1)
    proba, confidence = (layer(kind).values(LOGITS, MISSING) for kind in ("proba", "confidence"))
    expected = softmax(LOGITS.astype(np.float64), axis=2)
    expected[1, 2] = np.nan
    np.testing.assert_allclose(proba, expected, rtol=1e-5)
    np.testing.assert_allclose(confidence, expected.max(axis=2), rtol=1e-5)
    assert proba.dtype == confidence.dtype == np.float32


def test_a_class_that_cannot_be_has_probability_zero():
    logits = np.array([[[0.0, -np.inf, -1.0]]], np.float32)
    proba = layer("proba").values(logits, np.zeros((1, 1), bool))
    np.testing.assert_allclose(
        proba[0, 0], [1 / (1 + np.exp(-1)), 0, np.exp(-1) / (1 + np.exp(-1))], rtol=1e-6
    )


def test_shapes_and_types():
    assert layer("proba").shape == (4, 5, 3)
    assert layer("map").shape == layer("confidence").shape == (4, 5)
    assert layer("map", 255).dtype == np.uint8
    assert layer("map", 256).dtype == np.uint16
