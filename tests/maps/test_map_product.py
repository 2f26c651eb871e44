"""The values of each layer, against SciPy and NumPy in double precision."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import softmax
from scipy.stats import entropy

from hsi.datasets.scene import default_palette, to_lab, to_rgb
from hsi.errors import InputError
from hsi.maps.map_product import KINDS, MapProduct, rejected_color

PROBA = softmax(np.random.default_rng(0).normal(0, 3, (4, 5, 3)), axis=2).astype(np.float32)
MISSING = np.zeros((4, 5), bool)
MISSING[1, 2] = True


def product(kind, classes=3, **fields):
    names = tuple(f"n{number}" for number in range(classes))
    return MapProduct(kind, 4, 5, names, ("#112233",) * classes, **fields)


def test_labels_and_probabilities():
    labels = product("map").values(PROBA, MISSING)
    assert labels.dtype == np.uint8
    assert labels[1, 2] == 0
    np.testing.assert_array_equal(labels[~MISSING], PROBA.argmax(axis=2)[~MISSING] + 1)
    given_before = PROBA.copy()
    proba = product("proba").values(PROBA, MISSING)
    assert np.isnan(proba[1, 2]).all()
    np.testing.assert_array_equal(proba[~MISSING], PROBA[~MISSING])
    np.testing.assert_array_equal(PROBA, given_before)


def test_a_rejected_pixel_is_0_and_one_without_data_255():
    rejected = np.zeros((4, 5), bool)
    rejected[0, :2] = rejected[1, 2] = True
    layer = product("map", rejects=True)
    labels = layer.values(PROBA, MISSING, rejected)
    assert labels[1, 2] == 255 == layer.no_data
    np.testing.assert_array_equal(labels == 0, rejected & ~MISSING)
    kept = ~rejected & ~MISSING
    np.testing.assert_array_equal(labels[kept], PROBA.argmax(axis=2)[kept] + 1)
    with pytest.raises(InputError, match="rejects=True"):
        product("map").values(PROBA, MISSING, rejected)


@settings(max_examples=60, deadline=None)
@given(
    classes=st.integers(1, 7), seed=st.integers(0, 2**32 - 1), sharp=st.sampled_from([0.0, 1.0, 30.0, 300.0])
)
def test_fractions(classes, seed, sharp):
    logits = sharp * np.random.default_rng(seed).normal(size=(3, 4, classes))
    proba = softmax(logits, axis=2).astype(np.float32)
    there = np.zeros((3, 4), bool)
    exact = proba.astype(np.float64)
    ordered = np.sort(exact, axis=2)
    second = ordered[..., -2] if classes > 1 else np.zeros((3, 4))
    expected = {
        "confidence": ordered[..., -1],
        "margin": ordered[..., -1] - second,
        "entropy": entropy(exact, base=classes, axis=2) if classes > 1 else np.zeros((3, 4)),
    }
    for kind, values in expected.items():
        found = product(kind, classes).values(proba, there)
        assert found.dtype == np.float32
        assert found.min() >= 0
        assert found.max() <= 1
        np.testing.assert_allclose(found, values, atol=2e-6)


def test_fractions_of_missing_pixels_are_nan_and_nothing_else_is():
    proba = PROBA.copy()
    proba[1, 2] = 0
    for kind in ("proba", "confidence", "margin", "entropy"):
        values = product(kind).values(proba, MISSING)
        lost = np.isnan(values) if values.ndim == 2 else np.isnan(values).all(axis=2)
        np.testing.assert_array_equal(lost, MISSING)


def test_set_sizes():
    sizes = np.arange(20).reshape(4, 5) % 4
    values = product("set_size").values(PROBA, MISSING, set_size=sizes)
    assert (values.dtype, values[1, 2]) == (np.uint8, 255)
    np.testing.assert_array_equal(values[~MISSING], sizes[~MISSING])
    with pytest.raises(InputError, match="needs the sizes of the prediction sets"):
        product("set_size").values(PROBA, MISSING)


def test_shapes_types_and_no_data():
    assert product("proba").shape == (4, 5, 3)
    assert {product(kind).shape for kind in KINDS if kind != "proba"} == {(4, 5)}
    whole = [
        ("map", False, 255, np.uint8, 0), ("map", False, 256, np.uint16, 0),
        ("map", True, 254, np.uint8, 255), ("map", True, 255, np.uint16, 65535),
        ("set_size", False, 254, np.uint8, 255), ("set_size", False, 255, np.uint16, 65535),
    ]  # fmt: skip
    for kind, rejects, classes, dtype, no_data in whole:
        layer = product(kind, classes, rejects=rejects)
        assert (layer.dtype, layer.no_data) == (dtype, no_data)
    assert math.isnan(product("entropy", rejects=True).no_data)


def test_an_unknown_layer_is_refused():
    with pytest.raises(InputError, match=r"no layer 'variance'.*entropy"):
        product("variance")


@pytest.mark.parametrize("classes", [2, 9, 16, 24])
def test_the_colour_of_rejected_pixels_is_no_classs(classes):
    palette = default_palette(classes)
    for colors in (palette, ("#8c8c8c", *palette), ("#8c8c8c", "#ff00ff", "#909090")):
        own = to_lab(to_rgb((rejected_color(colors),)))
        assert np.linalg.norm(to_lab(to_rgb((*colors, "#000000"))) - own, axis=1).min() > 10


def test_the_legend_has_what_can_occur():
    assert [entry.value for entry in product("map").legend] == [1, 2, 3]
    first, *classes = product("map", rejects=True).legend
    assert first[:2] == (0, "not recognised")
    assert [(entry.value, entry.name) for entry in classes] == [(1, "n0"), (2, "n1"), (3, "n2")]
