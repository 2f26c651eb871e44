import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from hsi.errors import ModelError
from hsi.models.bspline import bspline_basis
from hsi.models.densenet3d import DenseNet3D
from hsi.models.kanet import KANConv3d, KANet, kanet
from hsi.models.registry import build_model, count_macs

SMALL = {"layers": (1, 1, 1), "growth": (4, 4, 4)}


class RowKAN(nn.Module):
    """A KAN layer on rows with efficient-kan's names and shapes."""

    def __init__(self, features, out, grid=5, order=3):
        super().__init__()
        self.base_weight = nn.Parameter(torch.randn(out, features))
        self.spline_weight = nn.Parameter(torch.randn(out, features, grid + order))
        self.spline_scaler = nn.Parameter(torch.randn(out, features))
        knots = (torch.arange(grid + 2 * order + 1) - order) * 0.4 - 1
        self.register_buffer("grid", knots.repeat(features, 1))

    def forward(self, x):
        scaled = (self.spline_weight * self.spline_scaler.unsqueeze(-1)).flatten(1)
        return F.linear(F.silu(x), self.base_weight) + F.linear(
            bspline_basis(x, self.grid, 3).flatten(1), scaled
        )


def test_weights_of_a_row_kan_load_and_go_back(batch):
    torch.manual_seed(0)
    rows, layer = RowKAN(6, 4), KANConv3d(6, 4)
    assert {k: v.shape for k, v in rows.state_dict().items()} == {
        k: v.shape for k, v in layer.state_dict().items()
    }
    layer.load_state_dict(rows.state_dict())
    x = batch(3, 6, 4, 2, 2, dtype=torch.float32)
    expected = rows(x.permute(0, 2, 3, 4, 1).reshape(-1, 6)).view(3, 4, 2, 2, 4).permute(0, 4, 1, 2, 3)
    torch.testing.assert_close(layer(x), expected, rtol=1e-5, atol=1e-5)
    back = RowKAN(6, 4)
    back.load_state_dict(layer.state_dict())
    assert all(
        torch.equal(a, b) for a, b in zip(back.state_dict().values(), rows.state_dict().values(), strict=True)
    )


def test_initial_weights():
    torch.manual_seed(0)
    layer = KANConv3d(20, 30)
    torch.testing.assert_close(layer.grid[7], torch.arange(-3.0, 9.0) * 0.4 - 1)
    samples = torch.einsum(
        "gk,oik->oig", bspline_basis(layer.grid[0, 3:9], layer.grid[0], 3), layer.spline_weight
    )
    assert 0.0098 < samples.abs().max() <= 0.01 + 1e-6
    assert abs(samples.mean()) < 2e-4
    for weight in (layer.base_weight, layer.spline_scaler):
        assert 0.98 / 20**0.5 < weight.abs().max() <= 1 / 20**0.5  # Kaiming-uniform with a = sqrt(5)


def test_macs_count_the_expanded_product():
    plain = count_macs(DenseNet3D(200, 16, 11, mixer=lambda i, o: nn.Conv3d(i, o, 1)), 200, 11)
    channels = [range(16, 48, 8), range(48, 144, 16), range(144, 400, 32)]
    pointwise = sum(
        c * 4 * k * n
        for layers, k, n in zip(channels, (8, 16, 32), (3600, 450, 25), strict=True)
        for c in layers
    )
    assert count_macs(kanet(200, 16, 11), 200, 11) == plain + 8 * pointwise


@pytest.mark.parametrize("options", [{}, {"kernel_size": 3}, {"pre_norm": True}, {"grid": 3, "order": 2}])
def test_network_in_other_forms(batch, options):
    torch.manual_seed(0)
    model = kanet(12, 5, 7, **SMALL, **options).eval()
    x = batch(3, 12, 7, 7, dtype=torch.float32)
    with torch.no_grad():
        eager = model(x)
        torch.testing.assert_close(torch.compile(model, backend="eager", fullgraph=True)(x), eager)
        torch.testing.assert_close(torch.export.export(model, (x,)).module()(x), eager)
        torch.testing.assert_close(copy.deepcopy(model).to(memory_format=torch.contiguous_format)(x), eager)
        torch.testing.assert_close(
            copy.deepcopy(model).double()(x.double()).float(), eager, rtol=1e-4, atol=1e-5
        )
        with torch.autocast("cpu", torch.bfloat16):
            torch.testing.assert_close(model(x).float(), eager, rtol=0.05, atol=0.05)


def test_same_bits_twice(batch):
    def run():
        torch.manual_seed(0)
        model = kanet(20, 5, 9, **SMALL)
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
        for epoch in range(3):
            model.start_epoch(epoch)
            optimizer.zero_grad()
            F.cross_entropy(model(batch(6, 20, 9, 9, dtype=torch.float32)), torch.arange(6) % 5).backward()
            optimizer.step()
        return model.state_dict()

    first, second = run(), run()
    assert all(torch.equal(first[key], second[key]) for key in first)


def test_is_registered():
    model = build_model("kanet", bands=8, classes=3, patch=7, **SMALL)
    assert isinstance(model, KANet)
    assert "KANConv3d(8, 16, kernel_size=(1, 1, 1)" in repr(model)


@pytest.mark.parametrize(
    ("sizes", "options"),
    [
        ((0, 3), {}),
        ((3, 0), {}),
        ((3, 3, 0), {}),
        ((3, 3, (1, 2)), {}),
        ((3, 3, 1, 0), {}),
        ((3, 3, 1, 1, -1), {}),
        ((3, 3), {"grid": 0}),
        ((3, 3), {"order": 0}),
        ((3, 3), {"order": 6}),
        ((3, 3), {"grid_range": (1.0, -1.0)}),
    ],
)
def test_refuses_bad_options(sizes, options):
    with pytest.raises(ModelError):
        KANConv3d(*sizes, **options)


def test_refuses_bad_input_weights_and_kernels():
    layer = KANConv3d(3, 4)
    for shape in [(2, 3, 4, 4), (2, 5, 4, 4, 4)]:
        with pytest.raises(ModelError, match="KANConv3d takes"):
            layer(torch.zeros(shape))
    state = layer.state_dict()
    state["grid"] = state["grid"].flip(1)
    with pytest.raises(ModelError, match="increase"):
        layer.load_state_dict(state)
    with pytest.raises(ModelError, match="odd"):
        kanet(8, 3, 7, kernel_size=2)
