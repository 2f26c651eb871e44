"""Memory that runs out, really or not, and work that is done in smaller portions then."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from hsi.datasets.patches import PatchCutter
from hsi.inference.predict import MicroBatcher, out_of_memory, predict_logits

TOO_MUCH = 2**55  # bytes: more than any machine has


@pytest.fixture(scope="module", autouse=True)
def quick_retries():
    """Giving memory back takes longer than all else here."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("hsi.inference.predict._give_back", lambda: None)
        yield


def test_what_pytorch_says_of_too_little_memory_is_understood():
    with pytest.raises(RuntimeError) as on_the_cpu:
        torch.empty(TOO_MUCH, dtype=torch.uint8)
    with pytest.raises(RuntimeError) as other:
        torch.ones(2) @ torch.ones(3)
    assert out_of_memory(on_the_cpu.value)
    assert out_of_memory(torch.OutOfMemoryError("CUDA out of memory."))
    assert out_of_memory(RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate"))
    assert out_of_memory(MemoryError())
    assert not out_of_memory(other.value)
    assert not out_of_memory(ValueError("can't allocate memory"))


@given(st.integers(1, 500), st.integers(1, 500), st.integers(1, 20))
def test_a_portion_is_halved_until_it_fits_and_stays_so(size, fits, smallest):
    tried = []

    def work(count):
        tried.append(count)
        if count > fits:
            raise MemoryError
        return "done"

    portion = MicroBatcher(size, smallest)
    if fits < min(smallest, size):
        with pytest.raises(MemoryError):
            portion.run(work)
        assert tried[-1] == min(smallest, size)
        return
    assert portion.run(work) == "done"
    assert portion.size == tried[-1] <= fits
    assert all(2 * after >= before for before, after in pairwise(tried))
    tried.clear()
    portion.run(work)
    assert tried == [portion.size]


def test_another_error_is_not_tried_again():
    tried = []

    def work(count):
        tried.append(count)
        raise RuntimeError("sizes do not match")

    with pytest.raises(RuntimeError, match="sizes do not match"):
        MicroBatcher(8).run(work)
    assert tried == [8]


class Narrow(nn.Module):
    """Asks for more memory than there is for more than `fits` patches."""

    def __init__(self, fits):
        super().__init__()
        self.fits, self.seen = fits, []

    def forward(self, x):
        self.seen.append(len(x))
        if len(x) > self.fits:
            torch.empty(TOO_MUCH, dtype=torch.uint8)
        return x.sum(dim=(2, 3))


@pytest.mark.parametrize("fits", [1, 3, 300])
def test_logits_are_the_same_however_little_fits(fits):
    cube = np.random.default_rng(0).normal(size=(9, 8, 4)).astype(np.float32)
    cutter, pixels = PatchCutter(cube, 3), np.arange(72)[::-1].copy()
    narrow = Narrow(fits)
    expected = cutter(pixels).sum(dim=(2, 3))
    assert torch.equal(predict_logits(narrow, cutter, pixels, batch=50), expected)
    assert sum(size for size in narrow.seen if size <= fits) == 72
    assert max(narrow.seen[1:]) <= max(25, fits)
