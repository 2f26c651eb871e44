"""Fields of training pixels against a brute-force search for chains."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from hsi.training.field_groups import NEAR, PIECES, field_groups

COLS = 60


def chains(places: np.ndarray) -> list[set[int]]:
    """Sets of pixels that steps within reach lead through, by flooding."""
    apart = np.abs(places[:, None] - places[None]).max(axis=2)
    if len(places) > 1:
        others = apart + np.where(np.eye(len(places)), 10**6, 0)
        near = max(NEAR, 3 * np.median(others.min(axis=1)))
    else:
        near = NEAR
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
def test_groups_are_fields_or_parts_of_one(seed, count, classes):
    random = np.random.default_rng(seed)
    pixels = np.sort(random.choice(50 * COLS, count, replace=False))
    targets = random.integers(0, classes, count)
    # blobs, so that there are fields to tell apart
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
        assert largest == 1 or (len(pieces) >= PIECES and 2 * largest <= len(own))
    classes_of_group = {(int(g), int(t)) for g, t in zip(fields.group, targets, strict=True)}
    assert len(classes_of_group) == len(np.unique(fields.group))


def test_three_fields_apart_stay_whole_and_one_field_is_cut():
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
    assert len(spans) >= PIECES


def test_thin_pixels_of_one_field_are_not_taken_for_many():
    random = np.random.default_rng(0)
    rows = np.arange(200)[:, None].repeat(200, axis=1)
    field = np.flatnonzero(((rows < 80) | (rows >= 130)).ravel())
    pixels = np.sort(random.choice(field, 300, replace=False))  # one in a hundred
    fields = field_groups(pixels, np.ones(300, int), 200)
    north = set(fields.group[pixels // 200 < 80])
    south = set(fields.group[pixels // 200 >= 130])
    assert not north & south
    assert len(north | south) < 15  # stragglers at the edges, no more
