"""The spectral angle mapper against the `spectral` library, the matched filter against slow loops."""

from __future__ import annotations

import numpy as np
import pytest
import spectral
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.covariance import ledoit_wolf

from hsi.config import MEASURED_MODELS
from hsi.errors import ModelError, RunError
from hsi.models import SpectralMatching, build_model, list_models, model_entry
from hsi.runs.checkpoint import load_weights, save_weights

BANDS, CLASSES, PATCH = 7, 4, 3
KINDS = ["sam", "matched-filter"]


def patches_of(spectra: NDArray[np.float64]) -> torch.Tensor:
    """Put each spectrum ``(n, bands)`` into the centre of a patch of other values."""
    patches = torch.rand(len(spectra), spectra.shape[1], PATCH, PATCH) * 9
    patches[:, :, PATCH // 2, PATCH // 2] = torch.from_numpy(spectra).float()
    return patches


def scene(count: int = 400, seed: int = 0) -> NDArray[np.float64]:
    """Return correlated spectra of about 0.3, one band far brighter than the others."""
    random = np.random.default_rng(seed)
    mixed = random.normal(size=(count, BANDS)) @ random.normal(size=(BANDS, BANDS))
    return (0.3 + 0.05 * mixed) * np.where(np.arange(BANDS) == 2, 40, 1)


def model(kind: str, spectra: NDArray[np.float64], classes: list[int]) -> SpectralMatching:
    """Return a model with spectra of a library, fitted beside training pixels that are nonsense."""
    made = build_model(kind, bands=BANDS, classes=CLASSES, patch=PATCH)
    assert isinstance(made, SpectralMatching)
    if made.needs_background:
        made.set_background(scene())
    made.set_spectra(spectra, np.array(classes))
    made.fit(torch.rand(5, BANDS), torch.arange(5) % 3, np.arange(5), seed=0, balanced=False)
    return made


LIBRARY, LIBRARY_CLASSES = scene(5, seed=9), [0, 1, 1, 3, 3]


def test_angles_are_those_of_the_spectral_library() -> None:
    pixels = scene(50, seed=3)
    angles = spectral.spectral_angles(pixels[None], LIBRARY)[0]
    scores = model("sam", LIBRARY, LIBRARY_CLASSES)(patches_of(pixels)).numpy()
    expected = np.stack([angles[:, 0], angles[:, 1:3].min(axis=1), angles[:, 3:5].min(axis=1)], axis=1)
    np.testing.assert_allclose(-scores[:, [0, 1, 3]], expected, atol=2e-6)
    assert (scores[:, 2] == -np.inf).all()


def test_brightness_does_not_matter_to_angles() -> None:
    pixels = scene(20, seed=4)
    sam = model("sam", LIBRARY * 10_000, LIBRARY_CLASSES)
    torch.testing.assert_close(sam(patches_of(pixels)), sam(patches_of(pixels * 321)), atol=1e-6, rtol=0)


def test_the_matched_filter_is_its_formula() -> None:
    background, pixels = scene(), scene(30, seed=5)
    mean, spread = background.mean(axis=0), background.std(axis=0)
    covariance = ledoit_wolf((background - mean) / spread)[0] * np.outer(spread, spread)
    inverse = np.linalg.inv(covariance)
    scores = model("matched-filter", LIBRARY, LIBRARY_CLASSES)(patches_of(pixels)).numpy()
    for label in (0, 1, 3):
        target = LIBRARY[np.array(LIBRARY_CLASSES) == label].mean(axis=0) - mean
        for pixel, score in zip(pixels, scores[:, label], strict=True):
            slow = sum(
                (pixel[i] - mean[i]) * inverse[i, j] * target[j] for i in range(BANDS) for j in range(BANDS)
            )
            assert score == pytest.approx(slow / (target @ inverse @ target), rel=1e-3, abs=1e-4)
    assert (scores[:, 2] == -np.inf).all()


def test_the_matched_filter_gives_1_for_a_class_and_0_for_the_mean_of_the_scene() -> None:
    found = model("matched-filter", LIBRARY[:3], [0, 1, 3])
    own = found(patches_of(LIBRARY[:3])).numpy()
    assert own[[0, 1, 2], [0, 1, 3]] == pytest.approx(1, abs=1e-4)
    mean = found(patches_of(scene().mean(axis=0)[None])).numpy()
    assert mean[0, [0, 1, 3]] == pytest.approx(0, abs=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_bands_without_a_value_are_not_used(kind: str) -> None:
    spectra = LIBRARY.copy()
    spectra[:, 4] = np.nan
    pixels = scene(20, seed=6)
    other = pixels.copy()
    other[:, 4] = 1e4
    found = model(kind, spectra, LIBRARY_CLASSES)
    assert torch.equal(found(patches_of(pixels)), found(patches_of(other)))
    assert found(patches_of(pixels))[:, [0, 1, 3]].isfinite().all()


def test_a_band_that_never_varies_is_no_part_of_the_filter() -> None:
    made = build_model("mf", bands=BANDS, classes=CLASSES, patch=PATCH)
    assert isinstance(made, SpectralMatching)
    background = scene()
    background[:, 1] = 5
    made.set_background(background)
    made.set_spectra(LIBRARY, np.array(LIBRARY_CLASSES))
    made.fit(torch.zeros(0, BANDS), torch.zeros(0), np.zeros(0, np.int64), seed=0, balanced=False)
    assert (made.filters[:, 1] == 0).all()
    assert made(patches_of(LIBRARY[:1]))[0, 0] == pytest.approx(1, abs=1e-4)


def test_a_scene_without_any_variation_is_refused() -> None:
    made = build_model("mf", bands=BANDS, classes=CLASSES, patch=PATCH)
    assert isinstance(made, SpectralMatching)
    with pytest.raises(ModelError, match="set_background"):
        made.fit(torch.rand(4, BANDS), torch.arange(4), np.arange(4), seed=0, balanced=False)
    made.set_background(np.ones((9, BANDS)))
    with pytest.raises(ModelError, match="varies"):
        made.fit(torch.rand(4, BANDS), torch.arange(4), np.arange(4), seed=0, balanced=False)


def test_without_a_library_the_spectra_are_the_means_of_the_training_pixels() -> None:
    pixels, targets = scene(60, seed=7), torch.arange(60) % 3
    made = build_model("sam", bands=BANDS, classes=CLASSES, patch=PATCH)
    with pytest.raises(ModelError, match="call fit"):
        made(patches_of(pixels))
    made.fit(torch.from_numpy(pixels).float(), targets, np.arange(60), seed=0, balanced=False)
    means = np.stack([pixels[targets.numpy() == label].mean(axis=0) for label in range(3)])
    expected = spectral.spectral_angles(pixels[None], means)[0]
    np.testing.assert_allclose(-made(patches_of(pixels)).numpy()[:, :3], expected, atol=2e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_a_saved_model_needs_no_library(kind: str, tmp_path) -> None:
    found = model(kind, LIBRARY, LIBRARY_CLASSES)
    save_weights(tmp_path / "best.safetensors", found, {})
    loaded = build_model(kind, bands=BANDS, classes=CLASSES, patch=PATCH)
    load_weights(tmp_path / "best.safetensors", loaded)
    patches = patches_of(scene(20, seed=8))
    assert torch.equal(loaded(patches), found(patches))
    for sizes in ({"bands": BANDS + 1, "classes": CLASSES}, {"bands": BANDS, "classes": 3}):
        with pytest.raises(RunError, match="another kind or size"):
            load_weights(tmp_path / "best.safetensors", build_model(kind, patch=PATCH, **sizes))


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from(KINDS))
def test_any_values_give_one_class_with_a_spectrum(seed: int, kind: str) -> None:
    random = np.random.default_rng(seed)
    pixels = random.choice([0.0, 1e-30, -3.0, 0.2, 1e6], (6, BANDS))
    spectra = random.choice([0.0, 0.1, 0.9, 1e4], (4, BANDS))
    found = model(kind, spectra, [0, 1, 1, 3])(patches_of(pixels))
    assert not found.isnan().any()
    assert set(found.argmax(dim=1).tolist()) <= {0, 1, 3}


def test_names_are_those_that_the_options_know() -> None:
    assert set(KINDS) <= set(list_models())
    names = [model_entry(name) for name in KINDS]
    assert all(entry.baseline for entry in names)
    assert {word for entry in names for word in (entry.name, *entry.aliases)} == set(MEASURED_MODELS)
