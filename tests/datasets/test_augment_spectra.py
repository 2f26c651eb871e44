"""Jittered and shifted spectra and lost bands, against their definitions."""

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hsi.datasets.augment_spectra import drop_bands, jitter_spectra, shift_spectra

SIZES = {"count": st.integers(0, 5), "bands": st.integers(1, 9), "width": st.sampled_from([1, 3, 5])}


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@settings(max_examples=25, deadline=None)
@given(**SIZES, strength=st.floats(0.01, 2), seed=st.integers(0, 99))
def test_a_patch_gets_one_gain_and_a_shift_for_each_band(count, bands, width, strength, seed):
    patches = torch.randn(count, bands, width, width, generator=seeded(seed)).double()
    before = patches.clone()
    jittered = jitter_spectra(patches, strength, seeded(seed))
    assert torch.equal(patches, before)
    assert torch.equal(jittered, jitter_spectra(patches, strength, seeded(seed)))
    for old, new in zip(patches.numpy(), jittered.numpy(), strict=True):
        # Least squares finds one gain and `bands` shifts that explain the whole patch.
        unknowns = np.zeros((old.size, 1 + bands))
        unknowns[:, 0] = old.ravel()
        unknowns[np.arange(old.size), 1 + np.arange(old.size) // width**2] = 1
        found = np.linalg.lstsq(unknowns, new.ravel(), rcond=None)[0]
        np.testing.assert_allclose(unknowns @ found, new.ravel(), atol=1e-6)


def test_gain_and_shift_have_the_spread_that_was_asked_for():
    ones, twos = torch.ones(20000, 2, 1, 1), torch.full((20000, 2, 1, 1), 2.0)
    one, two = (jitter_spectra(x, 0.3, seeded(7))[:, :, 0, 0] for x in (ones, twos))
    gain = two - one  # the same draws, so (2 g + b) - (g + b)
    shift = one - gain
    torch.testing.assert_close(gain[:, 0], gain[:, 1])
    for draws, mean in ((gain[:, 0], 1), (shift[:, 0], 0), (shift[:, 1], 0)):
        assert abs(draws.mean() - mean) < 0.01
        assert abs(draws.std() - 0.3) < 0.01
    correlations = torch.corrcoef(torch.stack([gain[:, 0], shift[:, 0], shift[:, 1]])) - torch.eye(3)
    assert correlations.abs().max() < 0.03


def test_padding_stays_padding():
    patches = torch.randn(4, 6, 5, 5)
    patches[:, :, 0] = 0
    patches[:, 2] = 0  # a band of zeros alone is no padding
    shifted = shift_spectra(patches, torch.ones(2, 6), seeded(0))
    for changed in (jitter_spectra(patches, 0.5, seeded(0)), shifted):
        assert not changed[:, :, 0].any()
        assert changed[:, 2, 1:].all()


@settings(max_examples=25, deadline=None)
@given(**SIZES, fields=st.integers(0, 4), seed=st.integers(0, 99))
def test_a_patch_is_shifted_as_a_whole_along_the_differences(count, bands, width, fields, seed):
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


@settings(max_examples=40, deadline=None)
@given(**SIZES, share=st.floats(0.01, 0.99), seed=st.integers(0, 99))
def test_lost_bands_are_one_run_no_longer_than_asked(count, bands, width, share, seed):
    patches = 1 + torch.rand(count, bands, width, width)
    before = patches.clone()
    dropped = drop_bands(patches, share, seeded(seed))
    assert torch.equal(patches, before)
    assert torch.equal(dropped, drop_bands(patches, share, seeded(seed)))
    for old, new in zip(patches, dropped, strict=True):
        gone = (new == 0).all(dim=(1, 2))
        assert torch.equal(new[~gone], old[~gone])
        run = gone.nonzero().view(-1)
        assert len(run) <= min(bands - 1, max(1, round(share * bands)))
        assert len(run) == 0 or run[-1] - run[0] + 1 == len(run)


def test_length_and_place_of_lost_bands_are_drawn_evenly():
    gone = drop_bands(torch.ones(24000, 8, 1, 1), 0.25, seeded(1))[:, :, 0, 0] == 0
    lengths = torch.bincount(gone.sum(dim=1), minlength=9) / 24000
    assert torch.allclose(lengths[:3], torch.full((3,), 1 / 3), atol=0.02)
    assert not lengths[3:].any()
    places = torch.bincount(gone[gone.sum(dim=1) == 2].int().argmax(dim=1), minlength=8) / 8000
    assert torch.allclose(places[:7], torch.full((7,), 1 / 7), atol=0.02)
    assert not places[7]
