"""Multi-head softmax attention along one axis of a grid of tokens: many short sequences, narrow heads.

The function is scaled dot-product attention (Vaswani et al., arXiv 1706.03762, equation 1). Sequences here
have 1 to about 100 tokens and heads of 8 to 32 channels, thousands of them at a time, where fused kernels,
built for long sequences, are mostly overhead. On a CPU the score matrices are computed here by batched
products, a few thousand at a time, so that they stay in the cache; the backward pass recomputes them unless
they are small. Elsewhere, and under `torch.compile` or export, PyTorch's fused kernel is called.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from hsi.models.kernels.dispatch import runs_eagerly

SCORE_BYTES = 2 * 2**20
"""Size of the score matrices per chunk and thread: that of a second-level cache."""


def attend(qkv: Tensor, heads: int, axis: int) -> Tensor:
    """Multi-head self-attention along axis 1 or 2 of a grid, each line along that axis being one sequence.

    `qkv` ``(N, A, B, 3 * dim)`` holds queries, keys and values side by side; `heads` divides dim, and the
    scale is 1 / sqrt(dim / heads). Returns ``(N, A, B, dim)``, heads side by side, without output projection.
    """
    plain = qkv.device.type == "cpu" and qkv.dtype in (torch.float32, torch.float64)
    if plain and runs_eagerly():
        return cast(Tensor, _CachedAttention.apply(qkv, heads, axis))
    q, k, v = _split_heads(qkv, 3, heads, axis).flatten(2, 3).unbind(0)
    return _merge_heads(F.scaled_dot_product_attention(q, k, v), heads, axis)


def attention_weights(qkv: Tensor, heads: int, axis: int) -> Tensor:
    """Return the weights of `attend`, ``(N, lines, heads, length, length)``; the last axis sums to one."""
    q, k, _ = _split_heads(qkv, 3, heads, axis).unbind(0)
    return torch.softmax(q @ k.mT * q.shape[-1] ** -0.5, dim=-1)


def _split_heads(x: Tensor, parts: int, heads: int, axis: int) -> Tensor:
    """``(N, A, B, parts * dim)`` to a view ``(parts, N, lines, heads, length, head width)``."""
    width = x.shape[-1] // (parts * heads)
    order = (3, 0, 2, 4, 1, 5) if axis == 1 else (3, 0, 1, 4, 2, 5)
    return x.unflatten(-1, (parts, heads, width)).permute(order)


def _merge_heads(x: Tensor, heads: int, axis: int) -> Tensor:
    """``(N, lines * heads, length, head width)`` to ``(N, A, B, dim)``."""
    order = (0, 3, 1, 2, 4) if axis == 1 else (0, 1, 3, 2, 4)
    return x.unflatten(1, (-1, heads)).permute(order).flatten(3)


class _CachedAttention(torch.autograd.Function):
    """Exact attention in chunks whose score matrices fit the cache.

    q, k, v are ``(M, length, width)``, M = N * lines * heads. The weights are kept for the backward pass if
    they take less memory than q, k, v and the output.
    """

    @staticmethod
    def forward(ctx: Any, qkv: Tensor, heads: int, axis: int) -> Tensor:
        split = _split_heads(qkv, 3, heads, axis)
        q, k, v = packed = split.reshape(3, -1, *split.shape[4:])
        out = _product_like(q)
        keep = ctx.needs_input_grad[0] and q.shape[1] <= 4 * q.shape[2]
        weights = []
        for part in _cache_sized_slices(q):
            p = _softmax_scores(q[part], k[part])
            _multiply(p, v[part], out[part])
            if keep:
                weights.append(p)
        merged = _merge_heads(out.unflatten(0, (qkv.shape[0], -1)), heads, axis)
        ctx.save_for_backward(packed, merged, *weights)
        ctx.heads, ctx.axis = heads, axis
        return merged

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        packed, merged, *weights = ctx.saved_tensors
        q, k, v = packed
        scale = q.shape[-1] ** -0.5
        grad_out, out = (_split_heads(x, 1, ctx.heads, ctx.axis).reshape(q.shape) for x in (grad, merged))
        # The gradient of a row of scores is p * (g - <p, g>), where <p, g> = <output, gradient of output>
        # (Dao et al., arXiv 2205.14135).
        mean = (grad_out * out).sum(-1, keepdim=True)
        grads = tuple(_product_like(q) for _ in range(3))
        for i, part in enumerate(_cache_sized_slices(q)):
            p = weights[i] if weights else _softmax_scores(q[part], k[part])
            _multiply(p.mT, grad_out[part], grads[2][part])
            s = _scores(grad_out[part], v[part], 1.0).sub_(mean[part]).mul_(p)
            _multiply(s, k[part], grads[0][part], scale)
            _multiply(s.mT, q[part], grads[1][part], scale)
        result = grad.new_empty(*grad.shape[:-1], 3 * grad.shape[-1])
        for target, source in zip(_split_heads(result, 3, ctx.heads, ctx.axis), grads, strict=True):
            target.copy_(source.unflatten(0, target.shape[:3]))
        return result, None, None


def _cache_sized_slices(q: Tensor) -> Iterator[slice]:
    """Split the batch axis of q so that the scores of one part fit the cache."""
    step = max(1, SCORE_BYTES * torch.get_num_threads() // (q.shape[1] ** 2 * q.element_size()))
    return (slice(start, start + step) for start in range(0, q.shape[0], step))


def _scores(q: Tensor, k: Tensor, scale: float) -> Tensor:
    """``scale * q k'``, (M, queries, keys); short sequences are stored keys first, for `_softmax_scores`."""
    if _is_short(q):
        return _product(k, q.mT, scale).mT
    return _product(q, k.mT, scale)


def _softmax_scores(q: Tensor, k: Tensor) -> Tensor:
    """``softmax(q k' / sqrt(width))``, (M, queries, keys)."""
    scores = _scores(q, k, q.shape[-1] ** -0.5)
    # Softmax along short rows is slow; along the first axis it handles a row of queries at once.
    return torch.softmax(scores.mT, 1).mT if _is_short(q) else torch.softmax(scores, 2)


def _is_short(q: Tensor) -> bool:
    return q.shape[1] <= 64


def _product(a: Tensor, b: Tensor, scale: float) -> Tensor:
    out = a.new_empty(a.shape[0], a.shape[1], b.shape[2])
    return out.baddbmm_(a, b, beta=0, alpha=scale)


def _product_like(q: Tensor) -> Tensor:
    """Memory for a result of `_multiply` of q's shape; narrow heads are stored tokens last."""
    if _is_narrow(q):
        return torch.empty_like(q.mT, memory_format=torch.contiguous_format).mT
    return torch.empty_like(q)


def _multiply(weights: Tensor, x: Tensor, out: Tensor, scale: float = 1.0) -> None:
    """``out = scale * weights x``; a narrow result is computed transposed, to fill the vector registers."""
    if _is_narrow(x):
        out.mT.baddbmm_(x.mT, weights.mT, beta=0, alpha=scale)
    else:
        out.baddbmm_(weights, x, beta=0, alpha=scale)


def _is_narrow(x: Tensor) -> bool:
    return x.shape[-1] < 16
