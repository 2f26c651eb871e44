"""SG-DSCNet: its block against its parts, its options, and the positions that it samples."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import map_coordinates
from torch import nn
from torch.nn import functional as F

from hsi.errors import ModelError
from hsi.models.kernels.snake import outward_sum, snake_conv3d
from hsi.models.registry import model_entry
from hsi.models.sgdscnet import SnakeConv3d, SnakeMixer, SnakeTemplates, sgdscnet

AXES = "whd"


def slow_view(module: SnakeTemplates, which: int, x: torch.Tensor) -> torch.Tensor:
    """One view in training mode, from torch's own layers, the whole offset head and the bare operator."""
    head = module.offsets
    y = F.conv3d(x, head.conv.weight, head.conv.bias, padding=1)
    y = torch.tanh(F.batch_norm(y, None, None, head.norm.weight, head.norm.bias, True))
    first = sum(module.channels[:which])
    points, axes = module.points[which], len(module.moves[which])
    steps = y[:, first : first + module.channels[which]].unflatten(1, (points - 1, axes)).flip(2)
    if axes == 1:  # the spectral axis, which comes first here, stays
        steps = torch.cat((torch.zeros_like(steps), steps), 2)
    weight = module.weights[which]
    width = weight.shape[0]
    bias = module.bias[which * width : (which + 1) * width]
    y = snake_conv3d(x, outward_sum(steps, 1), weight, bias, axis=module.views[which])
    plain = module.plain.out_channels if module.plain is not None else 0
    part = slice(plain + which * width, plain + (which + 1) * width)
    return F.relu(F.group_norm(y, max(1, width // 4), module.norm.weight[part], module.norm.bias[part]))


def vary(module: nn.Module, seed: int = 0) -> nn.Module:
    """Move every parameter off its initial value, so that none is invisible."""
    torch.manual_seed(seed)
    with torch.no_grad():
        for p in module.parameters():
            p.add_(0.3 * torch.randn_like(p))
    return module


@pytest.mark.parametrize("sizes", [(6, 5, 4), (7, 1, 1), (4, 3, 1), (1, 1, 1)])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"points": 5},
        {"points": (3, 5, 3)},
        {"spectral_offsets": False},
        {"spectral_offsets": False, "points": 5, "views": "hd"},
        {"views": "wdh"},
    ],
)
def test_templates_equal_their_parts(sizes, options):
    module = vary(SnakeTemplates(3, 4, plain=8, **options).double())
    x = torch.randn(3, 3, *sizes, dtype=torch.float64)
    plain = F.conv3d(x, module.plain.weight)
    expected = [F.relu(F.group_norm(plain, 2, module.norm.weight[:8], module.norm.bias[:8]))]
    expected += [slow_view(module, i, x) for i in range(len(module.views))]
    torch.testing.assert_close(module(x), torch.cat(expected, 1))


@pytest.mark.parametrize("axis", AXES)
def test_one_view_equals_its_parts(axis):
    module = vary(SnakeConv3d(5, 8, axis=axis, points=5).double())
    x = torch.randn(2, 5, 4, 6, 5, dtype=torch.float64)
    torch.testing.assert_close(module(x), slow_view(module, 0, x))


def test_gradcheck_of_the_whole_block():
    torch.manual_seed(1)
    module = SnakeMixer(2, 8).double()
    x = torch.randn(2, 2, 4, 3, 2, dtype=torch.float64, requires_grad=True)
    parameters = dict(module.named_parameters())

    def run(x, *values):
        return torch.func.functional_call(module, dict(zip(parameters, values, strict=True)), (x,))

    # A fixed seed that has no whole position and no ReLU at 0 within the step of the differences.
    inputs = (x, *parameters.values())
    assert torch.autograd.gradcheck(run, inputs, eps=1e-7, atol=1e-4, nondet_tol=1e-12, fast_mode=True)


def test_gradient_reaches_the_offset_heads_but_not_the_fixed_centres():
    module = SnakeTemplates(4, 4)
    module(torch.randn(2, 4, 6, 5, 5)).square().sum().backward()
    grad = module.offsets.conv.weight.grad.flatten(1).abs().sum(1)
    moving = sum(module.channels)
    assert (grad[:moving] > 0).all()
    assert (grad[moving:] == 0).all()


def test_zero_start_is_straight_and_then_learns_to_move():
    module = SnakeConv3d(3, 4, axis="w", zero_start=True).double()
    x = torch.randn(2, 3, 5, 4, 6, dtype=torch.float64)
    straight = F.conv3d(
        F.pad(x, (1, 1, 0, 0, 0, 0), mode="replicate"), module.weights[0].view(4, 3, 1, 1, 3), module.bias
    )
    torch.testing.assert_close(module(x), F.relu(F.group_norm(straight, 1)))
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    module(x).pow(3).sum().backward()
    assert module.offsets.norm.weight.grad[:4].abs().min() > 0
    optimizer.step()
    optimizer.zero_grad()
    module(x).pow(3).sum().backward()
    assert module.offsets.conv.weight.grad.abs().sum() > 0


def test_statistics_of_the_offset_head_follow_torch():
    module = SnakeConv3d(3, 4, axis="d")
    x = torch.randn(4, 3, 5, 4, 4)
    norm = nn.BatchNorm3d(6)
    norm(module.offsets.conv(x))
    module(x)
    own = module.offsets.norm
    torch.testing.assert_close(own.running_mean[:4], norm.running_mean[:4])
    torch.testing.assert_close(own.running_var[:4], norm.running_var[:4])
    assert own.num_batches_tracked == 1


def test_dropping_views_keeps_one_and_the_mean():
    torch.manual_seed(0)
    module = SnakeTemplates(2, 4, plain=4, view_drop=0.6)
    x = torch.randn(1, 2, 3, 3, 3)
    module.eval()
    assert torch.equal(module(x), module(x))
    ones = torch.ones(20_000, 16, 1, 1, 1)
    kept = module._drop_views(ones)[:, :, 0, 0, 0]
    assert torch.equal(kept[:, :4], torch.ones(20_000, 4))
    views = kept[:, 4:].view(-1, 3, 4)
    assert torch.equal(views.amin(2), views.amax(2))
    assert ((views[..., 0] > 0).sum(1) >= 1).all()
    torch.testing.assert_close(views.mean((0, 2)), torch.ones(3), atol=0.03, rtol=0)
    module.train()
    assert not torch.equal(module(x), module(x))


def test_width_stays_when_views_are_left_out():
    for views in ("w", "wd", "whd"):
        assert SnakeMixer(5, 16, views=views)(torch.randn(2, 5, 4, 3, 3)).shape == (2, 16, 4, 3, 3)


def test_float64_and_autocast():
    model = vary(sgdscnet(16, 4, 9, layers=(1, 1, 1)), 4)
    x = torch.randn(8, 16, 9, 9)
    model.eval()
    with torch.no_grad():
        exact = model.double()(x.double())
        model.float()
        torch.testing.assert_close(model(x).double(), exact, atol=1e-4, rtol=1e-4)
    model.train()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = model(x).square().mean()
    loss.backward()
    for name, p in model.named_parameters():
        # Only the block: torch's own grouped convolution may give NaN on CPU in bfloat16 on maps this small.
        if ".mixer." in name:
            assert p.grad is None or torch.isfinite(p.grad).all(), name
    model.eval()
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        low = model(x).double()
    with torch.no_grad():
        exact = model(x).double()
    assert (low - exact).abs().max() < 0.1 * exact.abs().max()


def test_layout_out_is_channels_last():
    module = SnakeMixer(5, 16)
    for layout in (torch.contiguous_format, torch.channels_last_3d):
        x = torch.randn(2, 5, 4, 3, 3).contiguous(memory_format=layout)
        assert module(x).is_contiguous(memory_format=torch.channels_last_3d)


def test_aliases():
    for word in ("sgdscnet", "SG-DSCNet", "sg_dscnet"):
        assert model_entry(word).name == "sgdscnet"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"points": 4}, "odd"),
        ({"points": 1}, "odd"),
        ({"points": (3, 3)}, "one number of points"),
        ({"views": ""}, "views"),
        ({"views": "ww"}, "views"),
        ({"views": "xy"}, "axis"),
        ({"view_drop": 1.0}, "view_drop"),
        ({"view_drop": -0.1}, "view_drop"),
    ],
)
def test_bad_options_are_named(options, message):
    with pytest.raises(ModelError, match=message):
        sgdscnet(16, 4, 9, **options)


def test_bad_widths_are_named():
    with pytest.raises(ModelError, match="multiple of 4"):
        SnakeMixer(4, 10)
    with pytest.raises(ModelError, match="multiple of 4"):
        SnakeConv3d(4, 9)
    with pytest.raises(ModelError, match="at least one channel"):
        SnakeConv3d(0, 4)
    with pytest.raises(ModelError, match="axis"):
        SnakeConv3d(4, 4, axis="wh")
    with pytest.raises(ModelError, match="plain template"):
        SnakeTemplates(4, 4, plain=6)


SIZES = st.tuples(st.integers(1, 5), st.integers(1, 4), st.integers(1, 4))
OPTIONS = st.fixed_dictionaries(
    {
        "views": st.sampled_from(["whd", "w", "d", "hd", "dw"]),
        "points": st.sampled_from([3, 5]),
        "spectral_offsets": st.booleans(),
    }
)


@settings(max_examples=25, deadline=None)
@given(sizes=SIZES, options=OPTIONS, seed=st.integers(0, 99))
def test_positions_are_those_that_forward_samples(sizes, options, seed):
    """The output follows from the positions: SciPy samples there, then weights, GroupNorm and ReLU."""
    torch.manual_seed(seed)
    module = SnakeTemplates(2, 4, **options).double().eval()
    x = torch.randn(2, 2, *sizes, dtype=torch.float64)
    with torch.no_grad():
        expected = module(x)
        positions = list(module.positions(x))
    assert len(positions) == len(module.views)
    sums = []
    biases = module.bias.detach().chunk(len(module.views))
    for position, weight, bias in zip(positions, module.weights, biases, strict=True):
        assert position.shape == (2, weight.shape[2], 3, *sizes)
        y = np.zeros((2, 4, *sizes)) + bias.numpy().reshape(1, -1, 1, 1, 1)
        for n, channel, j in np.ndindex(2, 2, weight.shape[2]):
            sampled = map_coordinates(x[n, channel].numpy(), position[n, j].numpy(), order=1, mode="nearest")
            y[n] += weight.detach().numpy()[:, channel, j].reshape(-1, 1, 1, 1) * sampled
        sums.append(torch.from_numpy(y))
    norm = module.norm
    found = F.relu(F.group_norm(torch.cat(sums, 1), norm.num_groups, norm.weight, norm.bias, norm.eps))
    np.testing.assert_allclose(found.detach(), expected, atol=1e-4)


@pytest.mark.parametrize("view", "whd")
def test_points_lie_on_the_axis_and_inside_the_volume(view):
    module = SnakeTemplates(3, 4, views=view, points=5).eval()
    with torch.no_grad():
        (position,) = module.positions(torch.randn(2, 3, 4, 5, 6))
    own = "dhw".index(view)
    voxels = torch.stack(torch.meshgrid(*map(torch.arange, (4, 5, 6)), indexing="ij"))
    for j in range(5):
        straight = (voxels[own] + j - 2).clamp(0, position.shape[3 + own] - 1)
        assert torch.equal(position[:, j, own], straight.float().expand(2, -1, -1, -1))
    assert torch.equal(position[:, 2], voxels.float().expand(2, -1, -1, -1, -1))  # the centre stays
    for axis, size in enumerate((4, 5, 6)):
        assert position[:, :, axis].min() >= 0
        assert position[:, :, axis].max() <= size - 1
    away = (position - voxels).abs().amax(dim=(0, 3, 4, 5))
    for axis in {0, 1, 2} - {own}:
        assert (away[:, axis] <= torch.tensor([2.0, 1.0, 0.0, 1.0, 2.0]) + 1e-6).all()
