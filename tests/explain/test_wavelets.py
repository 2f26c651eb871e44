from __future__ import annotations

import numpy as np
import pywt

import hsi
from hsi.explain.wavelets import draw_wavelet_energy
from hsi.models.wcnet import WaveletConv3d


def shares_by_pywavelets(x, levels):
    """Shares of the 8 sub-bands of every level, for one sample ``(C, D, H, W)``."""
    answer = []
    low = np.asarray(x, np.float64)
    for _ in range(levels):
        low = np.pad(low, [(0, 0), *((0, n % 2) for n in low.shape[1:])])
        parts = pywt.dwtn(low, "haar", mode="zero", axes=(1, 2, 3))
        energy = np.array([np.square(parts[key]).sum() for key in sorted(parts)])
        np.testing.assert_allclose(energy.sum(), np.square(low).sum(), rtol=1e-9)  # nothing is lost
        answer.append(energy / energy.sum())
        low = parts["aaa"]
    return np.array(answer)


def test_energies_are_those_of_pywavelets(run_of, patches_round):
    run = run_of("wcnet")
    pixels = [0, 99, 479]
    found = hsi.explain.wavelet_energy(run, pixels, device="cpu")
    assert found.sub_bands == ("LLL", "LLH", "LHL", "LHH", "HLL", "HLH", "HHL", "HHH")
    assert found.layers == ("1.1", "1.2", "2.1", "3.1")
    assert found.pixels == 3
    assert found.share.shape == (4, 2, 8)
    _, modules, inputs = patches_round(run, pixels, WaveletConv3d)
    assert [module.levels for module in modules] == [2, 2, 1, 1]
    for module, x, share in zip(modules, inputs, found.share, strict=True):
        wanted = np.mean([shares_by_pywavelets(one, module.levels) for one in x], axis=0)
        np.testing.assert_allclose(share[: module.levels], wanted, rtol=1e-4, atol=1e-7)
        assert np.isnan(share[module.levels :]).all()
    text = [t.get_text() for t in found.figure().axes[0].get_yticklabels()]
    assert text == [
        "1.1, level 1",
        "1.1, level 2",
        "1.2, level 1",
        "1.2, level 2",
        "2.1, level 1",
        "3.1, level 1",
    ]


def test_the_default_pixels_are_tested_ones(run_of):
    run = run_of("wcnet")
    found = hsi.explain.wavelet_energy(run, device="cpu")
    assert found.pixels == len(run.split.test)
    same = hsi.explain.wavelet_energy(run, run.split.test, device="cpu")
    np.testing.assert_array_equal(found.share, same.share)


BANDS = ("LL", "LH", "HL", "HH")


def test_each_cell_shows_its_share():
    share = np.array([[[0.7, 0.1, 0.15, 0.05], [0.25] * 4], [[0.4, 0.3, 0.2, 0.1], [np.nan] * 4]])
    axes = draw_wavelet_energy(share, BANDS, ["1.1", "1.2"]).axes[0]
    assert [text.get_text() for text in axes.get_yticklabels()] == [
        "1.1, level 1",
        "1.1, level 2",
        "1.2, level 1",
    ]
    np.testing.assert_allclose(axes.images[0].get_array(), 100 * share.reshape(4, 4)[:3])
    cells = {text.get_position(): text.get_text() for text in axes.texts}
    assert cells[0, 0] == "70.0"
    assert cells[3, 2] == "10.0"
    assert len(cells) == 12
    assert axes.get_xlabel() == "Sub-band, H W (% of the energy)"
    dark = {text.get_text(): text.get_color() for text in axes.texts}
    assert (dark["70.0"], dark["5.0"]) == ("white", "black")


def test_one_level_needs_no_number():
    axes = draw_wavelet_energy(np.full((2, 1, 4), 0.25), BANDS, ["1.1", "1.2"]).axes[0]
    assert [text.get_text() for text in axes.get_yticklabels()] == ["1.1", "1.2"]
