"""Attention along one axis against softmax(q k' / sqrt(width)) v, written out line by line."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from hsi.models.kernels import attention
from hsi.models.kernels.attention import attend, attention_weights


def plain_attend(qkv: Tensor, heads: int, axis: int) -> Tensor:
    """Attention as it is defined: one line and one head at a time, differentiable."""
    if axis == 2:
        return plain_attend(qkv.transpose(1, 2), heads, 1).transpose(1, 2)
    n, _, lines, width3 = qkv.shape
    width = width3 // 3 // heads
    samples = []
    for i in range(n):
        columns = []
        for j in range(lines):
            q, k, v = qkv[i, :, j].chunk(3, dim=-1)
            parts = []
            for h in range(heads):
                cut = slice(h * width, (h + 1) * width)
                weights = torch.softmax(q[:, cut] @ k[:, cut].T / math.sqrt(width), dim=-1)
                parts.append(weights @ v[:, cut])
            columns.append(torch.cat(parts, dim=-1))
        samples.append(torch.stack(columns, dim=1))
    return torch.stack(samples)


def grid(*shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(*shape, dtype=dtype, generator=torch.Generator().manual_seed(sum(shape)))


@settings(max_examples=40, deadline=None)
@given(
    n=st.integers(1, 3),
    a=st.sampled_from([1, 2, 3, 7, 70]),
    b=st.integers(1, 5),
    heads=st.integers(1, 4),
    width=st.sampled_from([1, 3, 8, 16, 20]),
    axis=st.sampled_from([1, 2]),
    cache=st.sampled_from([1, 10_000, 2**21]),
)
def test_equals_the_definition_forward_and_backward(
    n: int, a: int, b: int, heads: int, width: int, axis: int, cache: int
) -> None:
    """All ways of the fast path: short and long lines, narrow and wide heads, one part or many."""
    qkv = grid(n, a, b, 3 * heads * width).requires_grad_()
    weight = grid(n, a, b, heads * width)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(attention, "SCORE_BYTES", cache)
        out = attend(qkv, heads, axis)
        (grad,) = torch.autograd.grad((out * weight).sum(), qkv)
    expected = plain_attend(qkv, heads, axis)
    (expected_grad,) = torch.autograd.grad((expected * weight).sum(), qkv)
    torch.testing.assert_close(out, expected)
    torch.testing.assert_close(grad, expected_grad)


@pytest.mark.parametrize("axis", [1, 2])
@pytest.mark.parametrize("width", [2, 16])
def test_gradcheck(axis: int, width: int) -> None:
    qkv = grid(2, 3, 4, 3 * 2 * width).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: attend(x, 2, axis), (qkv,))


def test_any_strides_give_the_same() -> None:
    qkv = grid(2, 5, 3, 24)
    strided = qkv.permute(3, 1, 0, 2).contiguous().permute(2, 1, 3, 0)
    assert not strided.is_contiguous()
    for axis in (1, 2):
        torch.testing.assert_close(attend(strided, 2, axis), attend(qkv, 2, axis))


def test_large_scores_do_not_overflow() -> None:
    qkv = grid(1, 6, 2, 24, dtype=torch.float32) * 1e4
    out = attend(qkv, 2, 1)
    torch.testing.assert_close(out, plain_attend(qkv, 2, 1))
    assert out.isfinite().all()


def test_same_bits_twice() -> None:
    qkv = grid(4, 40, 9, 96, dtype=torch.float32).requires_grad_()
    runs = []
    for _ in range(2):
        out = attend(qkv, 4, 1)
        runs.append((out, torch.autograd.grad(out.square().sum(), qkv)[0]))
    assert all(torch.equal(first, second) for first, second in zip(*runs, strict=True))


@pytest.mark.parametrize("axis", [1, 2])
def test_the_fused_kernel_used_elsewhere_gives_the_same(axis: int) -> None:
    qkv = grid(2, 12, 5, 96, dtype=torch.float32)
    traced = torch.compile(attend, backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(traced(qkv, 4, axis), attend(qkv, 4, axis), rtol=1e-5, atol=1e-5)
    half = attend(qkv.bfloat16(), 4, axis)
    assert half.dtype == torch.bfloat16
    torch.testing.assert_close(half.float(), attend(qkv, 4, axis), rtol=0.05, atol=0.05)


@pytest.mark.parametrize("axis", [1, 2])
def test_weights_reproduce_the_output(axis: int) -> None:
    qkv = grid(2, 4, 5, 36)
    weights = attention_weights(qkv, 3, axis)  # (N, lines, heads, queries, keys)
    torch.testing.assert_close(weights.sum(-1), torch.ones_like(weights[..., 0]))
    values = qkv[..., 24:].unflatten(-1, (3, 4))
    letters = "nlhqk,nklhw->nqlhw" if axis == 1 else "nlhqk,nlkhw->nlqhw"
    torch.testing.assert_close(torch.einsum(letters, weights, values).flatten(3), attend(qkv, 3, axis))
