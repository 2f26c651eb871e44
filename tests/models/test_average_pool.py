"""Pooling by 2 against PyTorch's own."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from hsi.models.average_pool import halve

sizes = st.integers(2, 7)


@settings(max_examples=30, deadline=None)
@given(size=st.tuples(sizes, sizes, sizes), samples=st.integers(1, 3), channels_last=st.booleans())
def test_same_as_avg_pool3d(size: tuple[int, int, int], samples: int, channels_last: bool) -> None:
    x = torch.randn(samples, 5, *size, dtype=torch.float64)
    if channels_last:
        x = x.contiguous(memory_format=torch.channels_last_3d)
    x.requires_grad_()
    expected, got = F.avg_pool3d(x, 2), halve(x)
    torch.testing.assert_close(got, expected, rtol=1e-12, atol=1e-12)
    grad = torch.randn_like(expected)
    want = torch.autograd.grad(expected, x, grad)
    torch.testing.assert_close(torch.autograd.grad(got, x, grad), want, rtol=1e-12, atol=1e-12)


def test_gradcheck() -> None:
    x = torch.randn(2, 3, 4, 3, 5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(halve, (x,))
