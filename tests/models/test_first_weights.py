import torch
from torch import nn

from hsi.models.first_weights import draw_weights


def test_weights_are_drawn_biases_zero_and_norms_kept():
    network = nn.Sequential(
        nn.Conv3d(1, 2, 3), nn.BatchNorm3d(2), nn.Conv2d(2, 3, 1, bias=False), nn.Linear(3, 4)
    )
    norm = [parameter.clone() for parameter in network[1].parameters()]
    draw_weights(network, lambda weight: nn.init.constant_(weight, 7.0))
    for layer in (network[0], network[2], network[3]):
        assert (layer.weight == 7).all()
        assert layer.bias is None or (layer.bias == 0).all()
    for before, after in zip(norm, network[1].parameters(), strict=True):
        torch.testing.assert_close(after, before)
