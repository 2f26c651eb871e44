"""Isolated pixels, counted one by one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from hsi.errors import InputError
from hsi.scoring.map_texture import isolated_share


def counted(labels, down, right):
    """Look at each pixel and its two neighbours."""
    rows, cols = labels.shape
    isolated = triples = 0
    for row in range(down, rows - down):
        for col in range(right, cols - right):
            before, here, after = (int(labels[row + i * down, col + i * right]) for i in (-1, 0, 1))
            if 0 not in (before, here, after):
                triples += 1
                isolated += before == after != here
    return isolated / triples if triples else float("nan")


@settings(max_examples=60, deadline=None)
@given(
    arrays(
        np.uint8,
        st.tuples(st.integers(0, 7), st.integers(0, 7)),
        elements=st.integers(0, 3),
    )
)
def test_equals_a_count_pixel_by_pixel(labels):
    found = isolated_share(labels)
    np.testing.assert_allclose(found, [counted(labels, 0, 1), counted(labels, 1, 0)])


def test_stripes_checkerboards_fields_and_noise():
    row, col = np.indices((40, 60))
    assert isolated_share(1 + col % 2) == (1.0, 0.0)
    assert isolated_share(1 + row % 2) == (0.0, 1.0)
    assert isolated_share(1 + (row + col) % 2) == (1.0, 1.0)
    assert isolated_share(1 + col // 2 % 2) == (0.0, 0.0)
    noise = np.random.default_rng(0).integers(1, 5, (500, 500))
    np.testing.assert_allclose(isolated_share(noise), (4 - 1) / 4**2, rtol=0.02)


@pytest.mark.parametrize("bad", [np.zeros((3, 3)), np.zeros(3, int), np.zeros((2, 3, 4), int)])
def test_other_arrays_are_refused(bad):
    with pytest.raises(InputError, match="integers"):
        isolated_share(bad)
