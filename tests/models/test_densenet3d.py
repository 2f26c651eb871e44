"""The backbone: its function against PyTorch's own operations, its counts against the published ones."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hsi.models import densenet3d as module
from hsi.models.densenet3d import DenseNet3D, PointwiseMixer


def conv_mixer(in_channels: int, out_channels: int) -> nn.Module:
    """A mixer of a user's own."""
    return nn.Sequential(nn.Conv3d(in_channels, out_channels, 1), nn.Tanh())


def lively(model: DenseNet3D) -> DenseNet3D:
    """Give every batch norm weights and averages that are not those at the start."""
    for part in model.modules():
        if isinstance(part, nn.BatchNorm3d):
            nn.init.uniform_(part.weight, 0.5, 1.5)
            nn.init.normal_(part.bias, std=0.5)
            nn.init.normal_(part.running_mean, std=0.1)  # type: ignore[arg-type]
            nn.init.uniform_(part.running_var, 0.5, 2)  # type: ignore[arg-type]
    return model


def binomial(x: Tensor, axis: int) -> Tensor:
    """Filter by (1, 2, 1) / 4 where all three are there."""
    size = x.shape[axis] - 2
    return sum(tap * x.narrow(axis, at, size) for at, tap in enumerate((0.25, 0.5, 0.25)))  # type: ignore[return-value]


def every_second(x: Tensor, axis: int) -> Tensor:
    return x.index_select(axis, torch.arange(0, x.shape[axis], 2))


def reference(model: DenseNet3D, x: Tensor) -> Tensor:
    """The network written out in PyTorch's functions, in contiguous layout."""

    def norm(x: Tensor, part: nn.BatchNorm3d) -> Tensor:
        averages = (None, None) if part.training else (part.running_mean, part.running_var)
        return F.batch_norm(x, *averages, part.weight, part.bias, training=part.training)

    kernel = model.stem.weight.contiguous()
    if model.antialiased:  # at every pixel, one beyond the border too; filtered; then every second
        x = F.conv3d(x.unsqueeze(1), kernel, stride=(2, 1, 1), padding=(1, 2, 2))
        x = binomial(binomial(x, 3), 4)[:, :, :, ::2, ::2]
    else:
        x = F.conv3d(x.unsqueeze(1), kernel, stride=2, padding=1)
    for i, block in enumerate(model.blocks):
        if i:
            for axis in (2, 3, 4):
                if model.antialiased and x.shape[axis] % 2 and x.shape[axis] > 1:
                    x = every_second(binomial(x, axis), axis)
                else:
                    last = x.shape[axis] // 2 * 2
                    x = sum(every_second(x.narrow(axis, at, last - 1), axis) for at in (0, 1)) / 2
        for layer in block:  # type: ignore[attr-defined]
            if isinstance(layer.mixer, PointwiseMixer):
                first, _, point = layer.mixer
                y = F.conv3d(F.relu(norm(x, first)), point.weight)  # type: ignore[arg-type]
            else:
                y = layer.mixer(x.contiguous())
            z = F.conv3d(F.relu(norm(y, layer.norm)), layer.conv.weight.contiguous(), padding=1, groups=4)
            x = torch.cat([x, z], dim=1)
    return F.linear(F.relu(norm(x, model.norm)).mean(dim=(2, 3, 4)), model.head.weight, model.head.bias)


@pytest.fixture
def small() -> DenseNet3D:
    torch.manual_seed(0)
    return lively(DenseNet3D(16, 5, 11, layers=(2, 2, 2), growth=(4, 8, 8)))


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("mixer", [None, conv_mixer])
@pytest.mark.parametrize(
    ("bands", "patch", "downsampling"),
    [
        (24, 11, "released"), (16, 15, "released"), (17, 17, "released"),
        (24, 11, "antialiased"), (25, 17, "antialiased"), (20, 7, "antialiased"),
    ],
)  # fmt: skip
def test_logits_and_gradients_in_float64(
    training: bool, mixer: module.Mixer, bands: int, patch: int, downsampling: str
) -> None:
    torch.manual_seed(0)
    model = lively(DenseNet3D(bands, 5, patch, mixer=mixer, downsampling=downsampling))
    model.double().train(training)
    x = torch.randn(3, bands, patch, patch, dtype=torch.float64, requires_grad=True)
    got, want = model(x), reference(model, x)
    torch.testing.assert_close(got, want, rtol=1e-10, atol=1e-10)
    grad = torch.randn_like(want)
    leaves = (x, *model.parameters())
    for a, b in zip(
        torch.autograd.grad(got, leaves, grad), torch.autograd.grad(want, leaves, grad), strict=True
    ):
        torch.testing.assert_close(a, b, rtol=1e-7, atol=1e-8 * float(b.abs().max()) + 1e-9)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("mixer", [None, conv_mixer])
def test_logits_in_float32_within_1e_4(training: bool, mixer: module.Mixer) -> None:
    torch.manual_seed(0)
    model = lively(DenseNet3D(32, 5, 11, mixer=mixer)).train(training)
    x = torch.randn(4, 32, 11, 11)
    got = model(x)
    want = reference(model.double(), x.double())
    assert (got - want).abs().max() < 1e-4 * want.abs().max()


def test_running_averages_are_those_of_the_modules() -> None:
    """A batch norm with a hook is called as a module."""

    def averages(hooks: bool) -> list[Tensor]:
        torch.manual_seed(0)
        model = DenseNet3D(16, 5, 11, layers=(2, 2, 2)).double()
        for part in model.modules():
            if hooks and isinstance(part, nn.BatchNorm3d):
                part.register_forward_hook(lambda part, args, out: None)
        for _ in range(3):
            model(torch.randn(4, 16, 11, 11).double())
        return list(model.buffers())

    for a, b in zip(averages(hooks=False), averages(hooks=True), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9)


def test_memory_layout_does_not_matter(small: DenseNet3D) -> None:
    x = torch.randn(3, 16, 11, 11)
    other = x.contiguous(memory_format=torch.channels_last)
    strided = torch.randn(3, 11, 16, 11).transpose(1, 2).copy_(x)
    small.eval()
    expected = small(x)
    assert torch.equal(small(other), expected)
    assert torch.equal(small(strided), expected)
    contiguous = small.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    torch.testing.assert_close(contiguous(x), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("mixer", [None, conv_mixer])
def test_bfloat16_and_autocast(mixer: module.Mixer) -> None:
    """Within 5 % of the largest logit: bfloat16 has 8 bits."""
    torch.manual_seed(0)
    model = lively(DenseNet3D(32, 5, 11, mixer=mixer))
    x = torch.randn(4, 32, 11, 11)
    expected = model.eval()(x).detach()
    with torch.autocast("cpu", torch.bfloat16):
        mixed = model(x)
    half = copy.deepcopy(model).bfloat16()(x.bfloat16())
    for low in (mixed, half):
        assert (low - expected).abs().max() < 0.05 * expected.abs().max()
    with torch.autocast("cpu", torch.bfloat16):
        loss = F.cross_entropy(model.train()(x), torch.tensor([0, 1, 2, 3]))
    loss.backward()  # type: ignore[no-untyped-call]
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


def test_compiles_in_one_graph(small: DenseNet3D) -> None:
    x = torch.randn(2, 16, 11, 11)
    for train in (True, False):
        small.train(train)
        compiled = torch.compile(small, backend="aot_eager", fullgraph=True)
        torch.testing.assert_close(compiled(x), reference(small, x), rtol=1e-4, atol=1e-4)


def test_exports(small: DenseNet3D) -> None:
    x = torch.randn(2, 16, 11, 11)
    program = torch.export.export(small.eval(), (x,))
    torch.testing.assert_close(program.module()(x), small(x), rtol=1e-4, atol=1e-5)


def test_one_mixer_for_each_block() -> None:
    model = DenseNet3D(8, 2, 7, mixer=(PointwiseMixer, conv_mixer, PointwiseMixer))
    kinds = [{type(layer.mixer) for layer in block} for block in model.blocks]  # type: ignore[attr-defined]
    assert kinds == [{PointwiseMixer}, {nn.Sequential}, {PointwiseMixer}]
    torch.testing.assert_close(
        model.eval()(torch.ones(1, 8, 7, 7)), reference(model, torch.ones(1, 8, 7, 7)), rtol=1e-4, atol=1e-5
    )


def test_hooks_see_their_modules(small: DenseNet3D) -> None:
    """A module with a hook is called, as feature extraction and pruning need it."""
    x, seen = torch.randn(2, 16, 11, 11), []
    small.eval()
    expected = small(x)
    layers = [layer for block in small.blocks for layer in block]  # type: ignore[attr-defined]
    for part in (layers[0].conv, layers[1].mixer, layers[2].mixer[0], layers[3].relu, layers[4]):
        part.register_forward_hook(lambda part, args, out: seen.append(part))
    torch.testing.assert_close(small(x), expected, rtol=1e-4, atol=1e-5)
    assert seen == [layers[0].conv, layers[1].mixer, layers[2].mixer[0], layers[3].relu, layers[4]]


def test_replaced_modules_are_used(small: DenseNet3D) -> None:
    x = torch.randn(2, 16, 11, 11)
    small.eval()
    layer = small.blocks[0][0]  # type: ignore[index]
    norm, before = layer.norm, small(x)
    layer.relu = nn.Hardtanh(-0.1, 0.1)
    assert not torch.allclose(small(x), before, atol=1e-3)
    layer.relu = nn.ReLU(inplace=True)
    assert torch.allclose(small(x), before, atol=1e-5)
    layer.norm = nn.SyncBatchNorm(layer.width)
    layer.norm.load_state_dict(norm.state_dict())
    layer.norm.eval()
    torch.testing.assert_close(small(x), before, rtol=1e-4, atol=1e-5)


def test_one_value_a_channel_is_refused_by_pytorch() -> None:
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        DenseNet3D(8, 2, 7)(torch.randn(1, 8, 7, 7))


def test_maps_wider_than_the_fused_operators_take() -> None:
    """For a patch of 35 pixels the modules run instead."""
    torch.manual_seed(0)
    model = lively(DenseNet3D(8, 3, 35, layers=(1, 1, 1), growth=(4, 4, 4))).eval()
    x = torch.randn(2, 8, 35, 35)
    torch.testing.assert_close(model(x), reference(model, x), rtol=1e-4, atol=1e-5)
