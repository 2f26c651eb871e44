"""Every network as PyTorch's exporter takes it, with a free number of patches."""

import pytest
import torch

from hsi.models import build_model

TINY = {"layers": [1, 1, 1], "growth": [4, 4, 4]}
NETWORKS = {
    "densenet3d": TINY,
    "stnet": TINY,
    "kanet": TINY,
    "ekgnet": TINY,
    "wcnet": {**TINY, "levels": 1},
    "sgdscnet": {**TINY, "views": "wd"},
    "cnn1d": {},
    "hybridsn": {},
    "ssrn": {},
    "spectralformer": {},
}


@pytest.mark.parametrize("name", NETWORKS)
def test_exported_program_gives_the_networks_logits(name):
    torch.manual_seed(0)
    patch = 13 if name == "hybridsn" else 7
    network = build_model(name, bands=16, classes=3, patch=patch, **NETWORKS[name]).eval()
    with torch.no_grad():
        for parameter in network.parameters():  # away from their start, where some branches are zero
            parameter.add_(0.05 * torch.randn_like(parameter))
        network.requires_grad_(False)
        patches = torch.randn(5, 16, patch, patch)
        program = torch.export.export(
            network, (patches[:2],), dynamic_shapes=({0: torch.export.Dim("N")},)
        ).module()
        for count in (1, 2, 5):
            some = patches[:count]
            torch.testing.assert_close(program(some), network(some), atol=1e-5, rtol=1e-4)
