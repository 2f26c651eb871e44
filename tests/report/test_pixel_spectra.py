import numpy as np
import pytest

from hsi.report import pixel_spectra
from hsi.report.pixel_spectra import pack_spectra


def test_says_how_far_the_restored_spectra_are_off():
    random = np.random.default_rng(0)
    spectra = (random.normal(size=(500, 3)) @ random.normal(size=(3, 100)) * 300 + 2000).round()
    packed = pack_spectra(spectra)
    assert packed.codes.shape == (64, 500)
    wrong = packed.restore() - spectra.astype(float)
    spread = spectra - spectra.mean(axis=0)
    assert packed.relative_error == pytest.approx(np.sqrt((wrong**2).mean() / (spread**2).mean()), rel=1e-3)
    assert packed.relative_error < 0.02
    assert np.corrcoef(packed.restore()[7], spectra[7])[0, 1] > 0.999


def test_a_large_scene_has_fewer_components(monkeypatch):
    monkeypatch.setattr(pixel_spectra, "MOST_BYTES", 2000)
    monkeypatch.setattr(pixel_spectra, "FITTED_ON", 40)
    packed = pack_spectra(np.random.default_rng(1).normal(size=(400, 30)))
    assert packed.codes.shape == (5, 400)
    assert 0.5 < packed.relative_error < 1


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (6, 1), (3, 20)])
def test_the_same_spectrum_everywhere(shape):
    packed = pack_spectra(np.full(shape, 41.0))
    assert np.allclose(packed.restore(), 41)
    assert packed.relative_error == 0
