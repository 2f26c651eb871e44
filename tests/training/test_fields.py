"""Fields of training pixels against a brute-force search; their differences against a slow count."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hsi.training.fields import MAX_STEP, MIN_FIELDS, field_differences, field_groups


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


def test_outer_products_sum_to_the_covariance_of_field_means():
    random = np.random.default_rng(0)
    targets = random.integers(0, 3, 400)
    groups = 4 * targets + random.integers(0, 4, 400)
    spectra = random.normal(0, 1, (400, 5)) + random.normal(0, 1, (12, 5))[groups]
    rows = field_differences(torch.from_numpy(spectra), targets, groups).numpy()
    of_field = np.stack([spectra[groups == group].mean(axis=0) for group in groups])
    of_class = np.stack([spectra[targets == label].mean(axis=0) for label in targets])
    np.testing.assert_allclose(rows.T @ rows, (of_field - of_class).T @ (of_field - of_class) / 400)


def test_the_only_field_of_a_class_has_no_difference():
    spectra = torch.randn(20, 4)
    targets = np.repeat([0, 1], 10)
    assert field_differences(spectra, targets, targets).abs().max() < 1e-6


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_differences_keep_dtype_and_features(dtype):
    rows = field_differences(torch.randn(6, 3, dtype=dtype), np.zeros(6, np.int64), np.arange(6) // 2)
    assert rows.dtype == dtype
    assert rows.shape == (3, 3)


COLS = 60


def chains(places: np.ndarray) -> list[set[int]]:
    """Return the connected sets of pixels, by flood fill."""
    apart = np.abs(places[:, None] - places[None]).max(axis=2)
    if len(places) > 1:
        others = apart + np.where(np.eye(len(places)), 10**6, 0)
        near = max(MAX_STEP, 3 * np.median(others.min(axis=1)))
    else:
        near = MAX_STEP
    left, found = set(range(len(places))), []
    while left:
        reached, edge = set(), {left.pop()}
        while edge:
            reached |= edge
            edge = {j for i in edge for j in np.flatnonzero(apart[i] <= near).tolist()} - reached
        left -= reached
        found.append(reached)
    return found


@settings(max_examples=80, deadline=None)
@given(seed=st.integers(0, 10_000), count=st.integers(1, 120), classes=st.integers(1, 4))
def test_groups_are_fields_or_pieces_of_one(seed, count, classes):
    random = np.random.default_rng(seed)
    pixels = np.sort(random.choice(50 * COLS, count, replace=False))
    targets = random.integers(0, classes, count)
    # blobs, so that there are several fields
    targets = np.where((pixels // COLS) // 17 == (pixels % COLS) // 20, targets, 0)
    fields = field_groups(pixels, targets, COLS)
    places = np.stack([pixels // COLS, pixels % COLS], axis=1)
    assert fields.group.min() >= 0
    for label in np.unique(targets):
        own = np.flatnonzero(targets == label)
        pieces = [set(np.flatnonzero(fields.group[own] == n).tolist()) for n in np.unique(fields.group[own])]
        whole = chains(places[own])
        assert all(any(piece <= field for field in whole) for piece in pieces)
        assert (label in fields.cut) == (len(pieces) > len(whole))
        if label not in fields.cut:
            assert sorted(map(sorted, pieces)) == sorted(map(sorted, whole))
        largest = max(len(piece) for piece in pieces)
        assert largest == 1 or (len(pieces) >= MIN_FIELDS and 2 * largest <= len(own))
    classes_of_group = {(int(g), int(t)) for g, t in zip(fields.group, targets, strict=True)}
    assert len(classes_of_group) == len(np.unique(fields.group))


def test_three_separate_fields_stay_whole_and_a_single_one_is_cut():
    rows, cols = np.mgrid[0:50, 0:COLS]
    apart = (rows < 8) & (cols % 20 < 8)  # three fields, 12 columns between them
    single = (rows >= 30) & (rows < 34) & (cols < 40)
    labels = np.where(apart, 1, np.where(single, 2, 0)).ravel()
    pixels = np.flatnonzero(labels)
    fields = field_groups(pixels, labels[pixels], COLS)
    assert fields.cut == (2,)
    column = pixels % COLS
    for number in range(3):
        inside = (labels[pixels] == 1) & (column // 20 == number)
        assert len(np.unique(fields.group[inside])) == 1
    pieces = [column[fields.group == n] for n in np.unique(fields.group[labels[pixels] == 2])]
    spans = sorted((piece.min(), piece.max()) for piece in pieces)
    assert all(before[1] < after[0] for before, after in pairwise(spans))
    assert len(spans) >= MIN_FIELDS


def test_sparse_pixels_of_one_field_are_not_split():
    random = np.random.default_rng(0)
    rows = np.arange(200)[:, None].repeat(200, axis=1)
    field = np.flatnonzero(((rows < 80) | (rows >= 130)).ravel())
    pixels = np.sort(random.choice(field, 300, replace=False))  # one in a hundred
    fields = field_groups(pixels, np.ones(300, int), 200)
    north = set(fields.group[pixels // 200 < 80])
    south = set(fields.group[pixels // 200 >= 130])
    assert not north & south
    assert len(north | south) < 15  # stragglers at the edges only
