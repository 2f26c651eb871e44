"""Logits and labels of pixels, batches that shrink when memory runs out, and test-time augmentation."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from hsi.datasets.patches import PatchCutter
from hsi.inference.predict import (
    MicroBatcher,
    SymmetryAverage,
    out_of_memory,
    predict_labels,
    predict_logits,
)
from hsi.models import build_model


class CentreSpectrum(nn.Module):
    """Logits are the first three bands of the centre; dropout shows whether it is in evaluation mode."""

    def __init__(self):
        super().__init__()
        self.dropout = nn.Dropout(0.5)

    def forward(self, x):
        middle = x.shape[-1] // 2
        return self.dropout(x[:, :3, middle, middle])


def test_each_pixel_gets_its_own_answer_whatever_the_batch():
    cube = np.random.default_rng(0).normal(size=(9, 7, 5)).astype(np.float32)
    cutter = PatchCutter(cube, 3)
    pixels = np.random.default_rng(1).permutation(63)
    model = CentreSpectrum().train()
    expected = cube.reshape(63, 5)[pixels, :3]
    for batch in (1, 10, 63, 100):
        torch.testing.assert_close(
            predict_logits(model, cutter, pixels, batch=batch), torch.from_numpy(expected), rtol=0, atol=0
        )
        labels = predict_labels(model, cutter, pixels, batch=batch)
        np.testing.assert_array_equal(labels, expected.argmax(axis=1) + 1)
    assert model.training


class CornerNetwork(nn.Module):
    """Logits that depend on where things are: the four corners and one edge of each patch."""

    def forward(self, patches):
        corners = (patches[..., 0, 0], patches[..., 0, -1], 2 * patches[..., -1, 0], patches[..., 1, 0])
        return torch.stack([corner.sum(1) for corner in corners], dim=1)


def test_it_is_the_mean_of_eight_softmaxes():
    patches = torch.randn(6, 3, 5, 5, generator=torch.Generator().manual_seed(0))
    found = SymmetryAverage(CornerNetwork())(patches).exp().numpy()
    for patch, probabilities in zip(patches.numpy().astype(np.float64), found, strict=True):
        views = [np.rot90(side, k, (1, 2)) for side in (patch, patch.transpose(0, 2, 1)) for k in range(4)]
        logits = [np.array([v[:, 0, 0], v[:, 0, -1], 2 * v[:, -1, 0], v[:, 1, 0]]).sum(axis=1) for v in views]
        expected = np.mean([np.exp(one) / np.exp(one).sum() for one in logits], axis=0)
        np.testing.assert_allclose(probabilities, expected, rtol=1e-5)


def test_turning_the_patch_changes_nothing():
    torch.manual_seed(0)
    average = SymmetryAverage(build_model("densenet3d", bands=12, classes=4, patch=7)).eval()
    patches = torch.randn(3, 12, 7, 7)
    with torch.inference_mode():
        plain = average(patches)
        turned = average(torch.rot90(patches, 1, (2, 3)))
        mirrored = average(patches.flip(2))
    torch.testing.assert_close(plain, turned, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(plain, mirrored, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(plain.exp().sum(1), torch.ones(3))


TOO_MUCH = 2**55  # bytes: more than any machine has


@pytest.fixture(scope="module", autouse=True)
def quick_retries():
    """Freeing cached memory takes longer than all else here."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("hsi.inference.predict._free_cached_memory", lambda: None)
        yield


def test_out_of_memory_errors_are_recognised():
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
def test_a_batch_size_is_halved_until_it_fits_and_stays_so(size, fits, smallest):
    tried = []

    def work(count):
        tried.append(count)
        if count > fits:
            raise MemoryError
        return "done"

    micro_batch = MicroBatcher(size, smallest)
    if fits < min(smallest, size):
        with pytest.raises(MemoryError):
            micro_batch.run(work)
        assert tried[-1] == min(smallest, size)
        return
    assert micro_batch.run(work) == "done"
    assert micro_batch.size == tried[-1] <= fits
    assert all(2 * after >= before for before, after in pairwise(tried))
    tried.clear()
    micro_batch.run(work)
    assert tried == [micro_batch.size]


def test_other_errors_are_raised_at_once():
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
def test_logits_do_not_depend_on_the_memory(fits):
    cube = np.random.default_rng(0).normal(size=(9, 8, 4)).astype(np.float32)
    cutter, pixels = PatchCutter(cube, 3), np.arange(72)[::-1].copy()
    narrow = Narrow(fits)
    expected = cutter(pixels).sum(dim=(2, 3))
    assert torch.equal(predict_logits(narrow, cutter, pixels, batch=50), expected)
    assert sum(size for size in narrow.seen if size <= fits) == 72
    assert max(narrow.seen[1:]) <= max(25, fits)
