"""The wavelet transform against PyWavelets, in float64."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import pywt
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hsi.errors import ModelError
from hsi.models.wavelet import AXES, MODES, SUBBANDS, FilterBank, dwt3d, idwt3d, is_haar, wavelet_filters

SIZES = st.tuples(*[st.integers(1, 9)] * 3)


def reference(x: torch.Tensor, wavelet: str, mode: str, axes: str) -> dict[str, np.ndarray]:
    return pywt.dwtn(x.numpy(), wavelet, mode=mode, axes=AXES[axes])


@pytest.mark.parametrize("axes", ["dhw", "hw"])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("wavelet", ["haar", "db2", "bior2.2", "coif1"])
@settings(max_examples=8, deadline=None)
@given(size=SIZES, seed=st.integers(0, 2**16))
def test_equals_pywavelets(wavelet: str, mode: str, axes: str, size: tuple[int, int, int], seed: int) -> None:
    if mode == "reflect":
        size = (max(size[0], 2), max(size[1], 2), max(size[2], 2))
    x = torch.randn(2, 3, *size, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    expected = reference(x, wavelet, mode, axes)
    bands = dwt3d(x, wavelet, mode, axes)
    assert sorted(expected) == list(SUBBANDS[axes])
    np.testing.assert_allclose(bands.numpy(), np.stack([expected[k] for k in SUBBANDS[axes]], 2), atol=1e-12)
    back = idwt3d(bands, wavelet, mode, axes)
    np.testing.assert_allclose(
        back.numpy(), pywt.idwtn(expected, wavelet, mode=mode, axes=AXES[axes]), atol=1e-12
    )
    np.testing.assert_allclose(idwt3d(bands, wavelet, mode, axes, size=size).numpy(), x.numpy(), atol=1e-11)


@pytest.mark.parametrize("wavelet", [name for name in pywt.wavelist(kind="discrete") if name != "dmey"])
def test_every_discrete_wavelet_is_undone(wavelet: str) -> None:
    x = torch.randn(1, 5, 1, 7, dtype=torch.float64)
    for mode in ("symmetric", "periodization"):
        bands = dwt3d(x, wavelet, mode)
        expected = reference(x, wavelet, mode, "dhw")
        np.testing.assert_allclose(bands[:, 3].numpy(), expected["add"], atol=1e-10)
        np.testing.assert_allclose(idwt3d(bands, wavelet, mode, size=(5, 1, 7)).numpy(), x.numpy(), atol=1e-6)


@pytest.mark.parametrize("mode", MODES)
def test_constant_has_no_high_bands(mode: str) -> None:
    bands = dwt3d(torch.full((1, 2, 6, 4, 8), 3.0, dtype=torch.float64), "haar", mode)
    assert bands[:, :, 1:].abs().max() < 1e-12
    torch.testing.assert_close(bands[:, :, 0], torch.full_like(bands[:, :, 0], 3 * 2**1.5))


def test_haar_keeps_energy() -> None:
    x = torch.randn(2, 3, 8, 6, 4, dtype=torch.float64)
    torch.testing.assert_close(dwt3d(x).square().sum(), x.square().sum())


@pytest.mark.parametrize("mode", ["zero", "reflect", "periodization"])
def test_gradients(mode: str) -> None:
    x = torch.randn(1, 3, 2, 5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda t: dwt3d(t, "db2", mode), x)
    bands = dwt3d(x.detach(), "db2", mode).requires_grad_()
    assert torch.autograd.gradcheck(lambda t: idwt3d(t, "db2", mode, size=(3, 2, 5)), bands)


def test_keeps_dtype() -> None:
    for dtype in (torch.float32, torch.bfloat16):
        assert idwt3d(dwt3d(torch.randn(1, 4, 4, 4, dtype=dtype), "db2"), "db2").dtype == dtype


def test_filters() -> None:
    for name in ("haar", "db1", pywt.Wavelet("haar")):
        assert is_haar(wavelet_filters(name))
    np.testing.assert_allclose(wavelet_filters("haar"), pywt.Wavelet("haar").filter_bank, atol=1e-15)
    assert not is_haar(wavelet_filters("db2"))
    bank = wavelet_filters("db2")
    assert isinstance(bank, FilterBank)
    x = torch.randn(1, 4, 4, 4)
    assert torch.equal(dwt3d(x, bank), dwt3d(x, pywt.Wavelet("db2")))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: dwt3d(torch.ones(2, 2, 2), "harr"), "Did you mean 'haar'"),
        (lambda: dwt3d(torch.ones(2, 2, 2), "morl"), "no discrete wavelet"),
        (lambda: dwt3d(torch.ones(2, 2, 2), "haar", "symetric"), "Did you mean 'symmetric'"),
        (lambda: dwt3d(torch.ones(2, 2, 2), axes="wh"), "axes must be"),
        (lambda: dwt3d(torch.ones(2, 2)), "at least 3 axes"),
        (lambda: dwt3d(torch.ones(2, 0, 2)), "none of them empty"),
        (lambda: dwt3d(torch.ones(2, 2, 2, dtype=torch.int64)), "floating-point"),
        (lambda: dwt3d(torch.ones(1, 2, 2), mode="reflect"), "2 samples"),
        (lambda: idwt3d(torch.ones(4, 2, 2, 2)), "8 sub-bands"),
        (lambda: idwt3d(torch.ones(8, 1, 1, 1), "db2"), "at least 2 coefficients"),
        (lambda: idwt3d(torch.ones(8, 2, 2, 2), size=(4, 4, 5)), "size must be"),
        (lambda: idwt3d(torch.ones(8, 2, 2, 2), size=(4, 4)), "size must be"),
    ],
)
def test_bad_input(call: Callable[[], object], words: str) -> None:
    with pytest.raises(ModelError, match=words):
        call()
