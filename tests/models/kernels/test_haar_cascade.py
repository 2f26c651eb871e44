"""The unnormalised Haar passes against the general transform."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hsi.models.kernels import haar_cascade
from hsi.models.kernels.haar_cascade import haar_merge, haar_split
from hsi.models.wavelet import dwt3d
from hsi.models.wcnet import WaveletConv3d

AXES = st.sampled_from(((1,), (2,), (3,), (1, 2), (1, 3), (2, 3), (1, 2, 3)))


@settings(max_examples=30, deadline=None)
@given(size=st.tuples(*[st.integers(1, 7)] * 3), axes=AXES, seed=st.integers(0, 2**16))
def test_merge_is_the_adjoint_of_split(size: tuple[int, int, int], axes: tuple[int, ...], seed: int) -> None:
    torch.manual_seed(seed)
    x = torch.randn(2, *size, 3, dtype=torch.float64)
    bands = haar_split(x, axes)
    y = torch.randn_like(bands)
    torch.testing.assert_close((bands * y).sum(), (x * haar_merge(y, axes, size)).sum())
    torch.testing.assert_close(haar_merge(bands, axes, size), x * 2 ** len(axes))


@pytest.mark.parametrize(("name", "axes"), [("dhw", (1, 2, 3)), ("hw", (2, 3))])
@pytest.mark.parametrize("size", [(4, 6, 2), (5, 3, 3), (3, 1, 2)])
def test_split_is_the_transform(name: str, axes: tuple[int, ...], size: tuple[int, int, int]) -> None:
    x = torch.randn(2, 3, *size, dtype=torch.float64)
    ours = haar_split(x.permute(0, 2, 3, 4, 1), axes).permute(0, 5, 4, 1, 2, 3)
    torch.testing.assert_close(ours, dwt3d(x, "haar", "zero", name) * 2 ** (len(axes) / 2))


def test_chunks_make_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    module = WaveletConv3d(3, levels=2).double()
    x = torch.randn(5, 3, 6, 5, 4, dtype=torch.float64, requires_grad=True)
    inputs = [x, *module.parameters()]
    whole = module(x)
    grads = torch.autograd.grad(whole.square().sum(), inputs)
    monkeypatch.setattr(haar_cascade, "CHUNK_BYTES", 2 * x[0].numel() * 8)
    parts = module(x)
    torch.testing.assert_close(parts, whole)
    for a, b in zip(torch.autograd.grad(parts.square().sum(), inputs), grads, strict=True):
        torch.testing.assert_close(a, b)
