"""Lost pixels: which, how many, and what stays."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hsi.datasets.augment_pixels import drop_pixels


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@settings(max_examples=40, deadline=None)
@given(
    count=st.integers(0, 6),
    bands=st.integers(1, 5),
    width=st.sampled_from([1, 3, 5, 7]),
    share=st.floats(0.01, 0.99),
    channels_last=st.booleans(),
    seed=st.integers(0, 99),
)
def test_whole_pixels_are_lost_and_never_the_centre(count, bands, width, share, channels_last, seed):
    patches = 1 + torch.rand(count, bands, width, width)
    if channels_last:
        patches = patches.contiguous(memory_format=torch.channels_last)
    before = patches.clone()
    dropped = drop_pixels(patches, share, seeded(seed))
    assert torch.equal(patches, before)
    assert torch.equal(dropped, drop_pixels(patches, share, seeded(seed)))
    gone = dropped == 0
    assert torch.equal(gone.any(dim=1), gone.all(dim=1))
    assert torch.equal(dropped[~gone], patches[~gone])
    assert not gone[:, :, width // 2, width // 2].any()


def test_rates_are_even_from_none_to_the_share_and_all_places_alike():
    gone = drop_pixels(torch.ones(8000, 1, 7, 7), 0.6, seeded(2))[:, 0] == 0
    rates = gone.float().mean(dim=(1, 2)) * 49 / 48
    assert abs(rates.mean() - 0.3) < 0.01
    # Of a rate r drawn evenly from 0 to 0.6, 48 pixels show the spread of r and their own, r (1 - r) / 48.
    variance = 0.6**2 / 12 + (0.3 - 0.6**2 / 3) / 48
    assert abs(rates.var() - variance) < 0.002
    places = gone.float().mean(dim=0).view(-1)
    others = torch.cat([places[:24], places[25:]])
    assert (others - 0.3).abs().max() < 0.03
