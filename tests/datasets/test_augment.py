"""Flips and rotations against numpy.rot90; dropped pixels; shifted spectra."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hsi.datasets.augment import drop_pixels, flip_rotate, shift_spectra
from hsi.errors import ConfigError


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_flips_and_rotations_are_the_eight_symmetries() -> None:
    patch = torch.arange(2 * 9, dtype=torch.float32).view(1, 2, 3, 3)
    expected = set()
    for k in range(4):
        for rotated in (
            np.rot90(patch[0].numpy(), k, (1, 2)),
            np.rot90(patch[0].numpy()[:, ::-1], k, (1, 2)),
        ):
            expected.add(rotated.tobytes())
    assert len(expected) == 8
    many = flip_rotate(patch.expand(400, -1, -1, -1), seeded(3))
    counts = Counter(one.contiguous().numpy().tobytes() for one in many)
    assert set(counts) == expected
    assert min(counts.values()) > 25  # 50 expected of each


@settings(max_examples=15, deadline=None)
@given(count=st.integers(0, 6), bands=st.integers(1, 4), width=st.integers(1, 6), channels_last=st.booleans())
def test_flips_and_rotations_keep_spectra_and_are_reproducible(
    count: int, bands: int, width: int, channels_last: bool
) -> None:
    patches = torch.randn(count, bands, width, width)
    if channels_last:
        patches = patches.contiguous(memory_format=torch.channels_last)
    before = patches.clone()
    first = flip_rotate(patches, seeded(1))
    again = flip_rotate(patches, seeded(1))
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
    rotated = flip_rotate(patches, seeded(0))
    assert len({one.contiguous().numpy().tobytes() for one in rotated}) == 8
    with pytest.raises(ConfigError, match="square"):
        flip_rotate(torch.zeros(2, 3, 5, 7), torch.Generator())


@settings(max_examples=40, deadline=None)
@given(
    count=st.integers(0, 6),
    bands=st.integers(1, 5),
    width=st.sampled_from([1, 3, 5, 7]),
    share=st.floats(0.01, 0.99),
    channels_last=st.booleans(),
    seed=st.integers(0, 99),
)
def test_whole_pixels_are_dropped_but_never_the_centre(count, bands, width, share, channels_last, seed):
    patches = 1 + torch.rand(count, bands, width, width)
    if channels_last:
        patches = patches.contiguous(memory_format=torch.channels_last)
    before = patches.clone()
    dropped = drop_pixels(patches, share, seeded(seed))
    assert torch.equal(patches, before)
    assert torch.equal(dropped, drop_pixels(patches, share, seeded(seed)))
    zero = dropped == 0
    assert torch.equal(zero.any(dim=1), zero.all(dim=1))
    assert torch.equal(dropped[~zero], patches[~zero])
    assert not zero[:, :, width // 2, width // 2].any()


def test_drop_rates_are_uniform_and_positions_equal():
    zero = drop_pixels(torch.ones(8000, 1, 7, 7), 0.6, seeded(2))[:, 0] == 0
    rates = zero.float().mean(dim=(1, 2)) * 49 / 48
    assert abs(rates.mean() - 0.3) < 0.01
    # Of a rate r drawn evenly from 0 to 0.6, 48 pixels show the spread of r and their own, r (1 - r) / 48.
    variance = 0.6**2 / 12 + (0.3 - 0.6**2 / 3) / 48
    assert abs(rates.var() - variance) < 0.002
    places = zero.float().mean(dim=0).view(-1)
    others = torch.cat([places[:24], places[25:]])
    assert (others - 0.3).abs().max() < 0.03


def test_padding_stays_padding():
    patches = torch.randn(4, 6, 5, 5)
    patches[:, :, 0] = 0
    patches[:, 2] = 0  # a band of zeros alone is no padding
    shifted = shift_spectra(patches, torch.ones(2, 6), seeded(0))
    assert not shifted[:, :, 0].any()
    assert shifted[:, 2, 1:].all()


@settings(max_examples=25, deadline=None)
@given(
    count=st.integers(0, 5),
    bands=st.integers(1, 9),
    width=st.sampled_from([1, 3, 5]),
    fields=st.integers(0, 4),
    seed=st.integers(0, 99),
)
def test_a_patch_is_shifted_as_a_whole_within_the_span_of_the_shifts(count, bands, width, fields, seed):
    patches = torch.randn(count, bands, width, width, generator=seeded(seed))
    before = patches.clone()
    differences = torch.randn(fields, bands, generator=seeded(seed + 1))
    shifted = shift_spectra(patches, differences, seeded(seed))
    assert torch.equal(patches, before)
    assert torch.equal(shifted, shift_spectra(patches, differences, seeded(seed)))
    moved = (shifted - patches).numpy()
    np.testing.assert_allclose(moved, np.broadcast_to(moved[:, :, :1, :1], moved.shape), atol=1e-5)
    for shift in moved[:, :, 0, 0]:  # nothing outside the space that the differences span
        weights = np.linalg.lstsq(differences.numpy().T, shift, rcond=None)[0]
        np.testing.assert_allclose(weights @ differences.numpy(), shift, atol=1e-4)


def test_shifts_have_the_covariance_of_the_differences():
    differences = torch.tensor([[1.0, 2.0, 0.0], [0.5, -1.0, 3.0]])
    shifts = shift_spectra(torch.ones(40000, 3, 1, 1), differences, seeded(3))[:, :, 0, 0] - 1
    assert shifts.mean(dim=0).abs().max() < 0.05
    torch.testing.assert_close(torch.cov(shifts.T), differences.T @ differences, atol=0.15, rtol=0.03)
