"""Whether the bands of a scene fit a run; opening several runs."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from hsi.datasets.bands import Resample
from hsi.datasets.scene import Scene
from hsi.errors import RunError
from hsi.inference.run import fit_bands, open_runs

NM = np.linspace(400, 1000, 61)


def run(wavelengths=NM, bands=61, widths=None):
    nm, fwhm = (None if one is None else one.tolist() for one in (wavelengths, widths))
    return SimpleNamespace(path=Path("r"), metrics={"bands": bands, "wavelengths_nm": nm, "fwhm_nm": fwhm})


def scene(wavelengths=NM, bands=61, widths=None):
    cube, labels = np.zeros((2, 2, bands)), np.zeros((2, 2), np.int64)
    return Scene("s", cube, labels, (), (), wavelengths_nm=wavelengths, fwhm_nm=widths)


@pytest.mark.parametrize(("one", "two"), [(NM, NM), (NM, None), (None, NM), (None, None), (NM, NM + 4.9)])
def test_bands_that_fit(one, two):
    assert fit_bands(run(one), scene(two)) is None


def test_older_runs_have_no_wavelengths():
    old = SimpleNamespace(path=Path("r"), metrics={"bands": 61})
    assert fit_bands(old, scene()) is None
    with pytest.raises(RunError, match="the run 'r' has none"):
        fit_bands(old, scene(), True)


def test_bands_that_do_not_fit_are_refused():
    with pytest.raises(
        RunError, match=r"61 bands \(400 to 1000 nm\), but 's' has 31 \(400 to 1000 nm\); use --resample"
    ):
        fit_bands(run(), scene(NM[::2], 31))
    with pytest.raises(
        RunError, match=r"trained on 61 bands \(400 to 1000 nm\), but 's' has 31; choose the same ones"
    ):
        fit_bands(run(), scene(None, 31))
    with pytest.raises(
        RunError, match="both have 61 bands, but their wavelengths differ by up to 6 nm; use --resample"
    ):
        fit_bands(run(), scene(NM + 6))


def test_resampling():
    assert fit_bands(run(), scene(), True) is None
    made = fit_bands(run(), scene(NM[::2], 31), True)
    np.testing.assert_allclose(made.transform(NM[None, ::2]), NM[None], rtol=1e-6)
    with pytest.raises(RunError, match="'s' has none"):
        fit_bands(run(), scene(None), True)
    with pytest.raises(RunError, match="cannot be resampled for the run 'r': 30 of the 61"):
        fit_bands(run(), scene(NM[:30], 30), True)


def test_widths_are_used_if_both_have_them():
    coarse, narrow, wide = NM[::3], np.full(61, 5.0), np.full(21, 40.0)
    made = fit_bands(run(coarse, 21, wide), scene(widths=narrow), True)
    by_hand = Resample(NM, coarse, source_fwhm_nm=narrow, target_fwhm_nm=wide)
    np.testing.assert_array_equal(made.weights, by_hand.weights)
    spacing = Resample(NM, coarse).weights
    assert not np.allclose(made.weights, spacing)
    for one, two in ((None, narrow), (wide, None)):
        alone = fit_bands(run(coarse, 21, one), scene(widths=two), True)
        np.testing.assert_array_equal(alone.weights, spacing)


def make_run(folder):
    folder.mkdir(parents=True)
    (folder / "config.toml").write_text('model = "svm"\ndataset = "demo"\n')
    return folder


def test_a_run_is_a_list_of_one(tmp_path):
    assert [run.path for run in open_runs(make_run(tmp_path / "one"))] == [tmp_path / "one"]


def test_runs_of_a_folder_come_in_order_of_their_numbers(tmp_path):
    for seed in (10, 2, 0):
        make_run(tmp_path / "group" / f"seed{seed}")
    (tmp_path / "group" / "notes").mkdir()
    assert [run.path.name for run in open_runs(tmp_path / "group")] == ["seed0", "seed2", "seed10"]


def test_anything_else_is_refused(tmp_path):
    for path in (tmp_path, tmp_path / "missing"):
        with pytest.raises(RunError, match="not a run folder"):
            open_runs(path)
