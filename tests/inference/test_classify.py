"""Maps do not depend on tiles, and a dense prefix gives what patch by patch gives."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hsi.datasets.patches import PatchCutter
from hsi.inference.classify import classify_scene
from hsi.inference.predict import predict_labels, predict_logits
from hsi.inference.tiles import SceneBlocks
from hsi.models import build_model, list_models
from hsi.models.protocols import DensePrefix

ROWS, COLS, BANDS, CLASSES = 35, 66, 10, 4
CUBE = np.random.default_rng(0).normal(size=(ROWS, COLS, BANDS)).astype(np.float32)
REGIONS = (np.add.outer(np.arange(ROWS) // 9, np.arange(COLS) // 13) % 3).astype(np.uint8)
SMALL = {"densenet3d": {"layers": [1, 1, 1], "growth": [4, 4, 4]}}
PATCH = {"densenet3d": 7, "ssrn": 5, "hybridsn": 11, "cnn1d": 3}


def build(name, patch=None):
    torch.manual_seed(0)
    return build_model(
        name, bands=BANDS, classes=CLASSES, patch=patch or PATCH[name], **SMALL.get(name, {})
    ).eval()


def whole(model, patch, budget=2**30, **options):
    """Return the logits of all tiles, and the number of tiles."""
    blocks = SceneBlocks(CUBE, np.copy, BANDS, patch, **options)
    logits = np.full((ROWS, COLS, CLASSES), np.nan, np.float32)
    count = 0
    for window, found, _ in classify_scene(model, blocks, CLASSES, budget=budget):
        logits[window.top : window.bottom, window.left : window.right] = found
        count += 1
    return logits, count


NETWORKS = {name: build(name) for name in PATCH}
IN_ONE_TILE = {name: whole(model, PATCH[name], regions=REGIONS) for name, model in NETWORKS.items()}


@settings(max_examples=12, deadline=None)
@given(name=st.sampled_from(["hybridsn", "cnn1d", "ssrn", "densenet3d"]), budget=st.integers(1, 600_000))
def test_tiles_of_any_size_give_the_same_bits(name, budget):
    logits, count = whole(NETWORKS[name], PATCH[name], budget, regions=REGIONS)
    expected, one = IN_ONE_TILE[name]
    assert one == 1
    assert 1 <= count <= 6
    np.testing.assert_array_equal(logits, expected)


def test_little_memory_makes_several_tiles():
    assert whole(NETWORKS["cnn1d"], 3, 1)[1] == 6


@pytest.mark.parametrize("name", list(PATCH))
@pytest.mark.parametrize("padding", ["zeros", "reflect"])
@pytest.mark.parametrize("regions", [None, REGIONS], ids=["one", "regions"])
def test_logits_are_those_of_patch_by_patch(name, padding, regions):
    model, patch = NETWORKS[name], PATCH[name]
    assert isinstance(model, DensePrefix) == (name != "densenet3d")
    logits, _ = whole(model, patch, regions=regions, padding=padding)
    cutter = PatchCutter(CUBE, patch, regions=regions, padding=padding)
    pixels = np.arange(ROWS * COLS)
    expected = predict_logits(model, cutter, pixels).numpy().reshape(logits.shape)
    np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max())
    labels = predict_labels(model, cutter, pixels).reshape(ROWS, COLS)
    np.testing.assert_array_equal(logits.argmax(axis=2) + 1, labels)


def test_a_network_that_pads_its_patches_is_right():
    model = build("hybridsn", patch=5)
    logits, _ = whole(model, 5)
    expected = predict_logits(model, PatchCutter(CUBE, 5), np.arange(ROWS * COLS)).numpy()
    np.testing.assert_array_equal(logits.argmax(axis=2).ravel(), expected.argmax(axis=1))


def test_the_prefix_sees_a_pixel_once_a_cell():
    model = build("ssrn")
    seen = []
    model.spectral.register_forward_hook(lambda module, args, out: seen.append(args[0][0, 0, 0].numel()))
    whole(model, 5)
    side = [(32 + 4, 3 + 4), (32 + 4, 32 + 4, 2 + 4)]
    assert sorted(seen) == sorted(rows * cols for rows in side[0] for cols in side[1])


PREFIX_BANDS = 14


@pytest.mark.parametrize(("name", "patch"), [("ssrn", 3), ("ssrn", 7), ("hybridsn", 9), ("hybridsn", 13),
                                             ("hybridsn", 5), ("cnn1d", 1), ("cnn1d", 5)])  # fmt: skip
def test_windows_of_the_prefix_are_the_prefix_of_windows(name, patch):
    torch.manual_seed(0)
    network = build_model(name, bands=PREFIX_BANDS, classes=3, patch=patch).eval().double()
    assert isinstance(network, DensePrefix)
    image = torch.randn(1, PREFIX_BANDS, patch + 4, patch + 6, dtype=torch.float64)
    with torch.no_grad():
        features = network.prefix(image)
        side = patch - network.prefix_shrinks_by
        assert features.shape[2:] == (side + 4, side + 6)
        for row, col in ((0, 0), (4, 6), (2, 5)):
            expected = network(image[..., row : row + patch, col : col + patch])
            window = features[..., row : row + side, col : col + side]
            torch.testing.assert_close(network.after_prefix(window), expected)


def test_which_networks_have_a_prefix():
    networks = {name: build_model(name, bands=20, classes=3, patch=9) for name in list_models()}
    assert {name for name, network in networks.items() if isinstance(network, DensePrefix)} == {
        "ssrn", "hybridsn", "cnn1d",
    }  # fmt: skip
