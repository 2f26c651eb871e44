"""Flips and turns against numpy.rot90, and what they must keep."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hsi.datasets.augment import flip_rotate
from hsi.errors import ConfigError


def test_flips_and_turns_are_the_eight_symmetries() -> None:
    patch = torch.arange(2 * 9, dtype=torch.float32).view(1, 2, 3, 3)
    expected = set()
    for k in range(4):
        for turned in (np.rot90(patch[0].numpy(), k, (1, 2)), np.rot90(patch[0].numpy()[:, ::-1], k, (1, 2))):
            expected.add(turned.tobytes())
    assert len(expected) == 8
    many = flip_rotate(patch.expand(400, -1, -1, -1), torch.Generator().manual_seed(3))
    counts: dict[bytes, int] = {}
    for one in many:
        key = one.contiguous().numpy().tobytes()
        counts[key] = counts.get(key, 0) + 1
    assert set(counts) == expected
    assert min(counts.values()) > 25  # 50 expected of each


@settings(max_examples=15, deadline=None)
@given(count=st.integers(0, 6), bands=st.integers(1, 4), width=st.integers(1, 6), channels_last=st.booleans())
def test_flips_and_turns_keep_spectra_and_repeat(
    count: int, bands: int, width: int, channels_last: bool
) -> None:
    patches = torch.randn(count, bands, width, width)
    if channels_last:
        patches = patches.contiguous(memory_format=torch.channels_last)
    before = patches.clone()
    first = flip_rotate(patches, torch.Generator().manual_seed(1))
    again = flip_rotate(patches, torch.Generator().manual_seed(1))
    assert torch.equal(first, again)
    assert torch.equal(patches, before)
    for old, new in zip(patches, first, strict=True):
        spectra = [sorted(map(tuple, x.reshape(bands, -1).T.tolist())) for x in (old, new)]
        assert spectra[0] == spectra[1]
        middle = width // 2
        if width % 2:
            assert torch.equal(old[:, middle, middle], new[:, middle, middle])


def test_flips_draw_separately_for_each_patch_and_refuse_oblong_ones() -> None:
    patches = torch.randn(1, 3, 5, 5).expand(64, -1, -1, -1)
    turned = flip_rotate(patches, torch.Generator().manual_seed(0))
    assert len({one.contiguous().numpy().tobytes() for one in turned}) == 8
    with pytest.raises(ConfigError, match="square"):
        flip_rotate(torch.zeros(2, 3, 5, 7), torch.Generator())
