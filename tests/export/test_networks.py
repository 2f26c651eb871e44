"""Every network as a graph with a free number of patches: traced, and exported as ONNX does."""

import warnings

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


def network(name):
    """A network whose parameters are all off their start, so that no branch of it is zero."""
    torch.manual_seed(0)
    patch = 13 if name == "hybridsn" else 7
    made = build_model(name, bands=16, classes=3, patch=patch, **NETWORKS[name]).eval()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return made.requires_grad_(False), torch.randn(5, 16, patch, patch)


def check(form, made, patches):
    with torch.no_grad():
        for count in (1, 2, 5):
            torch.testing.assert_close(form(patches[:count]), made(patches[:count]), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", NETWORKS)
def test_traced(name):
    made, patches = network(name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of PyTorch: deprecation, and shapes taken for constants
        traced = torch.jit.trace(made, patches[:2], check_trace=False)
    check(traced, made, patches)


@pytest.mark.parametrize("name", NETWORKS)
def test_exported(name):
    made, patches = network(name)
    with torch.no_grad():
        program = torch.export.export(made, (patches[:2],), dynamic_shapes=({0: torch.export.Dim("N")},))
    check(program.module(), made, patches)
