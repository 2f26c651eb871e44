"""The backbone: its function against PyTorch's own operations, its counts against the published ones."""

from __future__ import annotations

import copy
import math
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from hsi.errors import ModelError
from hsi.models import densenet3d as module
from hsi.models.densenet3d import GROWTH, LAYERS, DenseNet3D, PointwiseMixer
from hsi.models.registry import build_model


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


def reference(model: DenseNet3D, x: Tensor) -> Tensor:
    """The network written out in PyTorch's functions, in contiguous layout."""

    def norm(x: Tensor, part: nn.BatchNorm3d) -> Tensor:
        averages = (None, None) if part.training else (part.running_mean, part.running_var)
        return F.batch_norm(x, *averages, part.weight, part.bias, training=part.training)

    x = F.conv3d(x.unsqueeze(1), model.stem.weight.contiguous(), stride=2, padding=1)
    for i, block in enumerate(model.blocks):
        x = F.avg_pool3d(x, 2) if i else x
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
@pytest.mark.parametrize(("bands", "patch"), [(24, 11), (16, 15), (17, 17)])
def test_logits_and_gradients_in_float64(training: bool, mixer: module.Mixer, bands: int, patch: int) -> None:
    torch.manual_seed(0)
    model = lively(DenseNet3D(bands, 5, patch, mixer=mixer)).double().train(training)
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


def test_running_averages_are_those_of_the_modules(monkeypatch: pytest.MonkeyPatch) -> None:
    def averages() -> list[Tensor]:
        torch.manual_seed(0)
        model = DenseNet3D(16, 5, 11, layers=(2, 2, 2)).double()
        for _ in range(3):
            model(torch.randn(4, 16, 11, 11).double())
        return list(model.buffers())

    ours = averages()
    monkeypatch.setattr(module, "runs_fused", lambda x: False)
    for a, b in zip(ours, averages(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9)


@settings(max_examples=8, deadline=None)
@given(
    bands=st.integers(8, 20),
    patch=st.sampled_from([7, 9, 11, 13]),
    samples=st.integers(1, 3),
    large=st.booleans(),
)
def test_batch_gives_what_its_samples_give(bands: int, patch: int, samples: int, large: bool) -> None:
    torch.manual_seed(bands)
    model = lively(DenseNet3D(bands, 4, patch, mixer=conv_mixer if large else None)).eval()
    x = torch.randn(samples, bands, patch, patch)
    with torch.no_grad():
        whole = model(x)
        one_by_one = torch.cat([model(sample.unsqueeze(0)) for sample in x])
    assert whole.shape == (samples, 4)
    torch.testing.assert_close(whole, one_by_one, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(whole, model(x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("patch", [7, 9, 11, 17])
def test_training_step_has_finite_gradients_everywhere(patch: int) -> None:
    torch.manual_seed(0)
    model = DenseNet3D(8, 3, patch)
    loss = F.cross_entropy(model(torch.randn(4, 8, patch, patch)), torch.tensor([0, 1, 2, 0]))
    loss.backward()  # type: ignore[no-untyped-call]
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


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


def test_same_bits_twice(small: DenseNet3D) -> None:
    x = torch.randn(3, 16, 11, 11)

    def step() -> list[Tensor]:
        out = small(x)
        return [out, *torch.autograd.grad(out.square().sum(), tuple(small.parameters()))]

    assert all(torch.equal(a, b) for a, b in zip(step(), step(), strict=True))


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


@pytest.mark.parametrize(
    ("bands", "classes", "count"), [(200, 16, 585_184), (103, 9, 582_377), (176, 13, 583_981)]
)
def test_parameters_of_the_published_layout(bands: int, classes: int, count: int) -> None:
    model = build_model("densenet3d", bands=bands, classes=classes, patch=11)
    assert sum(p.numel() for p in model.parameters()) == count


@pytest.mark.parametrize(("classes", "count"), [(16, 1_795_088), (9, 1_789_481), (13, 1_792_685)])
def test_parameters_of_the_large_variant(classes: int, count: int) -> None:
    model = DenseNet3D(200, classes, 11, layers=(14, 14, 14))
    assert sum(p.numel() for p in model.parameters()) == count


def test_names_of_parameters_are_fixed() -> None:
    model = DenseNet3D(8, 2, 7, layers=(1,), growth=(4,))
    assert {name: tuple(p.shape) for name, p in model.named_parameters()} == {
        "stem.weight": (8, 1, 3, 3, 3),
        "blocks.0.0.mixer.0.weight": (8,),
        "blocks.0.0.mixer.0.bias": (8,),
        "blocks.0.0.mixer.2.weight": (16, 8, 1, 1, 1),
        "blocks.0.0.norm.weight": (16,),
        "blocks.0.0.norm.bias": (16,),
        "blocks.0.0.conv.weight": (4, 4, 3, 3, 3),
        "norm.weight": (12,),
        "norm.bias": (12,),
        "head.weight": (2, 12),
        "head.bias": (2,),
    }


def test_initialisation_leaves_out_the_third_dimension() -> None:
    torch.manual_seed(0)
    model = DenseNet3D(8, 2, 7)
    for part in model.modules():
        if isinstance(part, nn.Conv3d):
            expected = math.sqrt(2 / (part.kernel_size[0] * part.kernel_size[1] * part.out_channels))
            assert abs(float(part.weight.detach().std()) / expected - 1) < 5 / math.sqrt(
                2 * part.weight.numel()
            )
    assert not model.head.bias.any()
    torch.manual_seed(0)
    other = DenseNet3D(8, 2, 7, init="kaiming").stem.weight.detach()
    assert abs(float(other.std()) / math.sqrt(2 / (27 * 16)) - 1) < 0.25


def test_one_mixer_for_each_block() -> None:
    model = DenseNet3D(8, 2, 7, mixer=(PointwiseMixer, conv_mixer, PointwiseMixer))
    kinds = [{type(layer.mixer) for layer in block} for block in model.blocks]  # type: ignore[attr-defined]
    assert kinds == [{PointwiseMixer}, {nn.Sequential}, {PointwiseMixer}]
    torch.testing.assert_close(
        model.eval()(torch.ones(1, 8, 7, 7)), reference(model, torch.ones(1, 8, 7, 7)), rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize(
    "bad",
    [
        lambda i, o: nn.Conv3d(i, o + 1, 1),
        lambda i, o: nn.Conv3d(i, o, 3),
        lambda i, o: nn.Conv3d(i, o, 1, stride=(2, 1, 1)),
        lambda i, o: nn.Flatten(),
    ],
)
def test_bad_mixer_is_named(bad: module.Mixer) -> None:
    model = DenseNet3D(16, 2, 9, mixer=bad)
    with pytest.raises(ModelError, match="A mixer must keep N, D, H, W and return out_channels channels"):
        model(torch.zeros(2, 16, 9, 9))


@pytest.mark.parametrize(
    ("sizes", "options", "message"),
    [
        ((8, 2, 8), {}, "must be odd"),
        ((8, 2, 5), {}, "at least 7 pixels"),
        ((7, 2, 7), {}, "at least 8 bands"),
        ((8, 1, 7), {}, "at least 2 classes"),
        ((8, 2, 7), {"growth": (8, 16)}, "one positive number for each dense block"),
        ((8, 2, 7), {"layers": (), "growth": ()}, "one positive number for each dense block"),
        ((8, 2, 7), {"layers": (0, 1, 1)}, "one positive number for each dense block"),
        ((8, 2, 7), {"growth": (8, 16, 30)}, "multiple of 4"),
        ((8, 2, 7), {"mixer": (PointwiseMixer,) * 2}, "give one mixer or 3; got 2"),
        ((8, 2, 7), {"init": "xavier"}, "'released' or 'kaiming', not 'xavier'"),
    ],
)
def test_bad_sizes_and_options(sizes: tuple[int, int, int], options: dict[str, object], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        DenseNet3D(*sizes, **options)  # type: ignore[arg-type]


def test_defaults_are_the_released_ones() -> None:
    assert LAYERS == (4, 6, 8)
    assert GROWTH == (8, 16, 32)


def fused_calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Note which fused operators run from now on."""
    calls: list[str] = []
    for name in ("dense_block", "norm_relu_conv", "halve"):
        original = getattr(module, name)

        def note(*args: object, _name: str = name, _original: object = original) -> object:
            calls.append(_name)
            return _original(*args)  # type: ignore[operator]

        monkeypatch.setattr(module, name, note)
    return calls


def test_fused_operators_are_what_runs(small: DenseNet3D, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = fused_calls(monkeypatch)
    small(torch.randn(2, 16, 11, 11))
    assert calls == ["dense_block", "halve", "dense_block", "halve", "dense_block"]
    calls.clear()
    DenseNet3D(16, 5, 11, layers=(2, 1, 1), mixer=conv_mixer)(torch.randn(2, 16, 11, 11))
    assert calls == ["norm_relu_conv"] * 2 + ["halve", "norm_relu_conv"] * 2


def test_hooks_see_their_modules(small: DenseNet3D) -> None:
    """Feature extraction and pruning hang on calls of modules; where a hook waits, modules run."""
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


def test_maps_wider_than_folding_pays() -> None:
    """A patch of 35 pixels is wider than the folding pays; the modules run instead."""
    torch.manual_seed(0)
    model = lively(DenseNet3D(8, 3, 35, layers=(1, 1, 1), growth=(4, 4, 4))).eval()
    x = torch.randn(2, 8, 35, 35)
    torch.testing.assert_close(model(x), reference(model, x), rtol=1e-4, atol=1e-5)


def test_partial_builds_a_block() -> None:
    """A block's options reach its mixers through functools.partial, as the five networks do it."""

    def mixer(in_channels: int, out_channels: int, *, bias: bool) -> nn.Module:
        return nn.Conv3d(in_channels, out_channels, 1, bias=bias)

    model = DenseNet3D(8, 2, 7, mixer=partial(mixer, bias=True), layers=(1,), growth=(4,))
    assert model(torch.zeros(2, 8, 7, 7)).shape == (2, 2)
