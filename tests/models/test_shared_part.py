"""Cutting a patch and computing is computing and cutting."""

import pytest
import torch

from hsi.models import build_model, list_models
from hsi.models.shared_part import SharesPixels

BANDS = 14


@pytest.mark.parametrize(("name", "patch"), [("ssrn", 3), ("ssrn", 7), ("hybridsn", 9), ("hybridsn", 13),
                                             ("hybridsn", 5), ("cnn1d", 1), ("cnn1d", 5)])  # fmt: skip
def test_windows_of_the_shared_part_are_the_shared_part_of_windows(name, patch):
    torch.manual_seed(0)
    network = build_model(name, bands=BANDS, classes=3, patch=patch).eval().double()
    assert isinstance(network, SharesPixels)
    image = torch.randn(1, BANDS, patch + 4, patch + 6, dtype=torch.float64)
    with torch.no_grad():
        features = network.shared_part(image)
        side = patch - network.shrinks_by
        assert features.shape[2:] == (side + 4, side + 6)
        for row, col in ((0, 0), (4, 6), (2, 5)):
            expected = network(image[..., row : row + patch, col : col + patch])
            window = features[..., row : row + side, col : col + side]
            torch.testing.assert_close(network.after_shared(window), expected)


def test_who_shares():
    networks = {name: build_model(name, bands=20, classes=3, patch=9) for name in list_models()}
    assert {name for name, network in networks.items() if isinstance(network, SharesPixels)} == {
        "ssrn", "hybridsn", "cnn1d",
    }  # fmt: skip
