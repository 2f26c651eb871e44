"""Differences between fields of one class, against a slow count pixel by pixel."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hsi.training.field_differences import field_differences


def slow(spectra, targets, groups):
    rows = []
    for group in sorted(set(groups)):
        (label,) = {targets[i] for i in range(len(groups)) if groups[i] == group}
        own = [spectra[i] for i in range(len(groups)) if groups[i] == group]
        of_class = [spectra[i] for i in range(len(groups)) if targets[i] == label]
        rows.append((np.mean(own, axis=0) - np.mean(of_class, axis=0)) * (len(own) / len(groups)) ** 0.5)
    return np.array(rows)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 30), st.integers(1, 6), st.integers(1, 4), st.integers(0, 99))
def test_each_row_is_a_field_against_its_class(pixels, bands, classes, seed):
    random = np.random.default_rng(seed)
    targets = random.integers(0, classes, pixels) + 5  # classes need not start at 0, nor groups
    groups = 10 * targets + random.integers(0, 3, pixels)
    spectra = random.normal(3, 2, (pixels, bands))
    found = field_differences(torch.from_numpy(spectra), targets, groups)
    np.testing.assert_allclose(found.numpy(), slow(spectra, targets, groups), atol=1e-12)


def test_what_they_add_up_to_is_the_covariance_of_field_means():
    random = np.random.default_rng(0)
    targets = random.integers(0, 3, 400)
    groups = 4 * targets + random.integers(0, 4, 400)
    spectra = random.normal(0, 1, (400, 5)) + random.normal(0, 1, (12, 5))[groups]
    rows = field_differences(torch.from_numpy(spectra), targets, groups).numpy()
    of_field = np.stack([spectra[groups == group].mean(axis=0) for group in groups])
    of_class = np.stack([spectra[targets == label].mean(axis=0) for label in targets])
    np.testing.assert_allclose(rows.T @ rows, (of_field - of_class).T @ (of_field - of_class) / 400)


def test_one_field_a_class_differs_from_nothing():
    spectra = torch.randn(20, 4)
    targets = np.repeat([0, 1], 10)
    assert field_differences(spectra, targets, targets).abs().max() < 1e-6


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_it_keeps_type_and_bands(dtype):
    rows = field_differences(torch.randn(6, 3, dtype=dtype), np.zeros(6, np.int64), np.arange(6) // 2)
    assert rows.dtype == dtype
    assert rows.shape == (3, 3)
