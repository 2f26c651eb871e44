"""WaveletConv3d against its formulas written with PyWavelets and SciPy, and the network built of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import numpy as np
import pytest
import pywt
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from torch import Tensor, nn

from hsi.errors import ModelError
from hsi.models.wavelet import AXES, SUBBANDS
from hsi.models.wcnet import WaveletConv3d, WaveletMixer, wcnet


def randomise(module: nn.Module) -> None:
    for parameter in module.parameters():
        nn.init.normal_(parameter)


def depthwise(x: np.ndarray, kernels: np.ndarray) -> np.ndarray:
    """Convolve each channel of each sample alone: `x` (N, C, D, H, W), `kernels` (C, 1, k, k, k)."""
    return np.stack(
        [
            [
                ndimage.correlate(plane, kernel[0], mode="constant")
                for plane, kernel in zip(sample, kernels, strict=True)
            ]
            for sample in x
        ]
    )


def slow_operator(module: WaveletConv3d, x: Tensor) -> np.ndarray:
    """The operator by its definition, with PyWavelets' filters and SciPy's convolution."""
    state = {name: p.detach().numpy() for name, p in module.named_parameters()}
    axes, keys = AXES[module.axes], SUBBANDS[module.axes]
    low, levels = x.detach().numpy(), []
    for i in range(module.levels):
        ends = [
            (0, n % 2 if axis in axes else 0) for axis, n in zip((-3, -2, -1), low.shape[2:], strict=True)
        ]
        padded = np.pad(low, [(0, 0), (0, 0), *ends])
        parts = pywt.dwtn(padded, module.wavelet, mode="zero", axes=axes)
        stacked = np.stack([parts[key] for key in keys], axis=2)
        flat = stacked.reshape(stacked.shape[0], -1, *stacked.shape[3:])
        scale = state[f"band_scales.{i}"].reshape(1, -1, 1, 1, 1)
        convolved = scale * depthwise(flat, state[f"band_convs.{i}.weight"])
        levels.append((convolved.reshape(stacked.shape), low.shape[2:]))
        low = parts[keys[0]]
    z = 0.0
    for convolved, (depth, height, width) in reversed(levels):
        parts = {key: convolved[:, :, b] for b, key in enumerate(keys)}
        parts[keys[0]] = parts[keys[0]] + z
        z = pywt.idwtn(parts, module.wavelet, mode="zero", axes=axes)[..., :depth, :height, :width]
    base = depthwise(x.detach().numpy(), state["base.weight"]) + state["base.bias"].reshape(1, -1, 1, 1, 1)
    return state["base_scale"].reshape(1, -1, 1, 1, 1) * base + z


@pytest.mark.parametrize("wavelet", ["haar", "db2"])
@settings(max_examples=25, deadline=None)
@given(
    size=st.tuples(st.integers(1, 9), st.integers(1, 6), st.integers(1, 6)),
    channels=st.integers(1, 3),
    kernel_size=st.sampled_from((1, 3, 5)),
    levels=st.integers(1, 3),
    axes=st.sampled_from(("dhw", "hw")),
    seed=st.integers(0, 2**16),
)
def test_equals_the_definition(
    wavelet: str,
    size: tuple[int, int, int],
    channels: int,
    kernel_size: int,
    levels: int,
    axes: str,
    seed: int,
) -> None:
    torch.manual_seed(seed)
    module = WaveletConv3d(channels, kernel_size, levels, wavelet=wavelet, axes=axes).double()
    randomise(module)
    x = torch.randn(2, channels, *size, dtype=torch.float64)
    np.testing.assert_allclose(module(x).detach().numpy(), slow_operator(module, x), atol=1e-10)


def general(module: WaveletConv3d) -> WaveletConv3d:
    """The same operator on the path of any wavelet."""
    module.haar = False
    return module


@settings(max_examples=15, deadline=None)
@given(
    size=st.tuples(st.integers(1, 9), st.integers(1, 6), st.integers(1, 6)),
    levels=st.integers(1, 3),
    axes=st.sampled_from(("dhw", "hw")),
    seed=st.integers(0, 2**16),
)
def test_haar_path_equals_general_path(size: tuple[int, int, int], levels: int, axes: str, seed: int) -> None:
    torch.manual_seed(seed)
    module = WaveletConv3d(3, 3, levels, axes=axes).double()
    randomise(module)
    x = torch.randn(3, 3, *size, dtype=torch.float64, requires_grad=True)
    inputs = [x, *module.parameters()]
    fast = module(x)
    grad = torch.randn_like(fast)
    fast_grads = torch.autograd.grad(fast, inputs, grad)
    slow = general(module)(x)
    torch.testing.assert_close(fast, slow)
    for a, b in zip(fast_grads, torch.autograd.grad(slow, inputs, grad), strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize(
    ("size", "levels", "axes", "wavelet"),
    [
        ((4, 2, 3), 1, "dhw", "haar"),
        ((5, 3, 2), 2, "dhw", "haar"),
        ((3, 1, 1), 2, "dhw", "haar"),
        ((2, 3, 1), 1, "hw", "haar"),
        ((3, 2, 1), 2, "dhw", "db2"),
    ],
)
def test_gradients(size: tuple[int, int, int], levels: int, axes: str, wavelet: str) -> None:
    torch.manual_seed(0)
    module = WaveletConv3d(1, 3, levels, wavelet=wavelet, axes=axes).double()
    randomise(module)
    names = [name for name, _ in module.named_parameters()]
    values = [p.detach().clone().requires_grad_() for p in module.parameters()]
    x = torch.randn(2, 1, *size, dtype=torch.float64, requires_grad=True)

    def call(x: Tensor, *values: Tensor) -> Tensor:
        return torch.func.functional_call(module, dict(zip(names, values, strict=True)), (x,))

    assert torch.autograd.gradcheck(call, (x, *values), fast_mode=True)


@pytest.mark.parametrize("wavelet", ["haar", "db2", "bior2.2"])
@pytest.mark.parametrize("size", [(8, 6, 4), (5, 3, 7), (9, 1, 1)])
def test_delta_kernels_give_the_input_back(wavelet: str, size: tuple[int, int, int]) -> None:
    """One level only: with two the low band is counted twice, by design."""
    module = WaveletConv3d(2, wavelet=wavelet).double()
    nn.init.zeros_(module.base.weight)
    nn.init.ones_(module.band_scales[0])
    with torch.no_grad():
        kernels = cast(Tensor, module.band_convs[0].weight).zero_()
        kernels[:, :, 1, 1, 1] = 1
    x = torch.randn(2, 2, *size, dtype=torch.float64)
    torch.testing.assert_close(module(x), x)


def test_start_and_counts() -> None:
    module = WaveletConv3d(6, levels=2)
    assert module.base_scale.eq(1).all()
    assert module.base.bias is not None
    assert module.base.bias.eq(0).all()
    assert all(scale.eq(1).all() for scale in module.band_scales)
    assert sum(p.numel() for p in module.parameters()) == 6 * 27 + 12 + 2 * (8 * 6 * 27 + 8 * 6)
    flat = WaveletConv3d(6, 5, levels=1, axes="hw")
    assert sum(p.numel() for p in flat.parameters()) == 6 * 125 + 12 + 4 * 6 * 125 + 4 * 6


def test_any_memory_layout() -> None:
    torch.manual_seed(0)
    module = WaveletConv3d(4, levels=2)
    x = torch.randn(3, 4, 7, 5, 6)
    expected = module(x)
    last = x.contiguous(memory_format=torch.channels_last_3d)
    wide = torch.randn(3, 8, 7, 5, 12)
    wide[:, ::2, :, :, ::2] = x
    for other in (last, wide[:, ::2, :, :, ::2], x.transpose(2, 4).contiguous().transpose(2, 4)):
        torch.testing.assert_close(module(other), expected)
    assert module(last).is_contiguous(memory_format=torch.channels_last_3d)
    assert module(x[:0]).shape == (0, 4, 7, 5, 6)


def test_same_bits_twice() -> None:
    module = WaveletConv3d(8, levels=2)
    x = torch.randn(4, 8, 20, 6, 6, requires_grad=True)
    first, second = (
        torch.autograd.grad(module(x).square().sum(), [x, *module.parameters()]) for _ in range(2)
    )
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize("wavelet", ["haar", "db2"])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_mixed_precision(dtype: torch.dtype, wavelet: str) -> None:
    torch.manual_seed(0)
    module = WaveletConv3d(4, levels=2, wavelet=wavelet)
    x = torch.randn(2, 4, 9, 5, 3, requires_grad=True)
    inputs = [x, *module.parameters()]
    expected = module(x)
    with torch.autocast("cpu", dtype=dtype):
        half = module(x)
    assert half.dtype == dtype
    atol = 0.02 * float(expected.detach().abs().max())
    torch.testing.assert_close(half.float(), expected, atol=atol, rtol=0)
    grads = torch.autograd.grad(expected.square().sum(), inputs)
    for a, b in zip(torch.autograd.grad(half.float().square().sum(), inputs), grads, strict=True):
        assert a.dtype == torch.float32
        torch.testing.assert_close(a, b, atol=0.03 * float(b.abs().max()), rtol=0)


@pytest.mark.parametrize("wavelet", ["haar", "db2"])
def test_compiles_and_exports_in_one_graph(wavelet: str) -> None:
    module = WaveletConv3d(3, levels=1, wavelet=wavelet)
    x = torch.randn(2, 3, 5, 2, 1, requires_grad=True)
    inputs = [x, *module.parameters()]
    expected = module(x)
    compiled = torch.compile(module, fullgraph=True, backend="aot_eager")(x)
    torch.testing.assert_close(compiled, expected)
    grads = torch.autograd.grad(expected.square().sum(), inputs)
    for a, b in zip(torch.autograd.grad(compiled.square().sum(), inputs), grads, strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-4)
    exported = torch.export.export(module.eval(), (x.detach(),)).module()
    torch.testing.assert_close(exported(x.detach()), expected.detach())


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: WaveletConv3d(0), "at least 1 channel"),
        (lambda: WaveletConv3d(4, 2), "odd"),
        (lambda: WaveletConv3d(4, levels=0), "at least 1 level"),
        (lambda: WaveletConv3d(4, axes="d"), "axes must be"),
        (lambda: WaveletConv3d(4, band_scale=0.0), "above 0; got 0.0"),
        (lambda: WaveletConv3d(4, band_scale=float("nan")), "above 0; got nan"),
        (lambda: WaveletConv3d(4, wavelet="db"), "no discrete wavelet"),
        (lambda: WaveletConv3d(4)(torch.ones(1, 3, 2, 2, 2)), r"needs \(N, 4, D, H, W\)"),
        (lambda: WaveletConv3d(4)(torch.ones(4, 2, 2, 2)), r"needs \(N, 4, D, H, W\)"),
    ],
)
def test_bad_input(call: Callable[[], object], words: str) -> None:
    with pytest.raises(ModelError, match=words):
        call()


def test_mixer_changes_the_width_only() -> None:
    assert WaveletMixer(6, 8, levels=2)(torch.randn(2, 6, 5, 3, 1)).shape == (2, 8, 5, 3, 1)


@pytest.mark.parametrize(("axes", "wavelet"), [("dhw", "haar"), ("hw", "haar"), ("dhw", "db2")])
def test_sub_bands_are_those_of_pywavelets(axes: str, wavelet: str) -> None:
    conv = WaveletConv3d(2, levels=2, axes=axes, wavelet=wavelet)
    x = torch.randn(3, 2, 5, 4, 3, dtype=torch.float64)
    low = x.numpy()
    for parts in conv.sub_bands(x):
        transformed = [axis % 5 for axis in AXES[axes]]
        low = np.pad(low, [(0, n % 2 if axis in transformed else 0) for axis, n in enumerate(low.shape)])
        expected = pywt.dwtn(low, wavelet, mode="zero", axes=transformed)
        assert parts.shape[2] == len(expected)
        for i, key in enumerate(SUBBANDS[axes]):
            np.testing.assert_allclose(parts[:, :, i], expected[key], atol=1e-12)
        low = expected["a" * len(transformed)]


def test_options_reach_the_blocks() -> None:
    options = {"kernel_size": 5, "wavelet": "db2", "axes": "hw", "band_scale": 0.25, "layers": (1, 2, 1)}
    model = wcnet(20, 3, 7, levels=(2, 3, 1), **options)  # type: ignore[arg-type]
    blocks = [m for m in model.modules() if isinstance(m, WaveletConv3d)]
    assert [m.levels for m in blocks] == [2, 3, 3, 1]
    assert {(m.base.kernel_size, m.wavelet, m.axes) for m in blocks} == {((5, 5, 5), "db2", "hw")}
    assert all((scale == 0.25).all() for m in blocks for scale in m.band_scales)


@pytest.mark.parametrize("init", ["released", "kaiming"])
def test_wavelets_start_as_strong_as_the_base_convolution_at_any_width(init: str) -> None:
    """By the variance of both parts of the output, for white noise."""
    torch.manual_seed(0)
    model = wcnet(16, 3, 7, layers=(1, 8, 8), init=init)
    blocks = [m for m in model.modules() if isinstance(m, WaveletConv3d)]
    assert max(m.channels for m in blocks) > 350
    for block in (blocks[0], blocks[-1]):
        x = torch.randn(4, block.channels, 8, 8, 8)
        with torch.no_grad():
            base = block.base(x)
            wavelets = block(x) - base
        assert 0.5 < float(wavelets.var() / base.var()) < 2


@pytest.mark.parametrize(
    ("levels", "patch", "words"),
    [((1, 2), 7, "levels"), ((1, 0, 1), 7, "at least 1 level"), (1, 8, "odd")],
)
def test_bad_levels_and_sizes(levels: int | tuple[int, ...], patch: int, words: str) -> None:
    with pytest.raises(ModelError, match=words):
        wcnet(20, 3, patch, levels=levels)
