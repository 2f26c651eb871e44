"""Preprocessing against scikit-learn; which pixels it uses; memory; saved files."""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.decomposition import PCA as SklearnPCA
from sklearn.preprocessing import StandardScaler

from hsi.datasets import preprocess
from hsi.datasets.preprocess import PCA, BandList, Preprocess, Standardise
from hsi.errors import ConfigError, FileFormatError, SceneError


def mixed_cube(rows: int = 24, cols: int = 19, bands: int = 12, seed: int = 0) -> np.ndarray:
    """Correlated bands of unlike scale, in the sensor's counts."""
    rng = np.random.default_rng(seed)
    sources = rng.normal(size=(rows * cols, 5)) * [9, 5, 3, 2, 1]
    counts = sources @ rng.normal(size=(5, bands)) + rng.normal(size=(rows * cols, bands))
    counts = 3000 + counts * rng.uniform(5, 60, bands)
    return counts.reshape(rows, cols, bands).round().clip(0, 65535).astype(np.uint16)


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut even the small cubes of tests into many chunks."""
    monkeypatch.setattr(preprocess, "CHUNK_VALUES", 100)


@pytest.mark.usefixtures("small_chunks")
@pytest.mark.parametrize("dtype", [np.uint16, np.int16, np.float32, np.float64])
def test_standardise_equals_scikit_learn(dtype: type) -> None:
    cube: np.ndarray = mixed_cube().astype(dtype)
    flat = cube.reshape(-1, cube.shape[2]).astype(np.float64)
    pixels = np.random.default_rng(1).permutation(len(flat))[:70]
    for chosen in (None, pixels):
        got = Preprocess().fit(cube, chosen).transform(cube)
        oracle = StandardScaler().fit(flat if chosen is None else flat[chosen])
        assert got.dtype == np.float32
        np.testing.assert_allclose(got.reshape(flat.shape), oracle.transform(flat), rtol=0, atol=2e-6)


@pytest.mark.usefixtures("small_chunks")
@pytest.mark.parametrize("components", [1, 4, 11])
def test_components_equal_scikit_learn(components: int) -> None:
    cube = mixed_cube()
    flat = cube.reshape(-1, cube.shape[2]).astype(np.float64)
    pixels = np.arange(0, len(flat), 3)
    chain = Preprocess(components=components).fit(cube, pixels)
    scaled = StandardScaler().fit(flat[pixels]).transform(flat)
    oracle = SklearnPCA(components, svd_solver="full").fit(scaled[pixels])
    expected = oracle.transform(scaled)
    sign = np.sign(oracle.components_[range(components), np.abs(oracle.components_).argmax(axis=1)])
    got = chain.transform(cube).reshape(len(flat), components)
    np.testing.assert_allclose(got, expected * sign, rtol=0, atol=2e-5)
    pca = chain.steps_[-1]
    assert isinstance(pca, PCA)
    np.testing.assert_allclose(pca.explained_variance_, oracle.explained_variance_, rtol=1e-9)
    np.testing.assert_allclose(pca.explained_variance_ratio_, oracle.explained_variance_ratio_, rtol=1e-9)


@settings(max_examples=25, deadline=None)
@given(
    count=st.integers(2, 40), bands=st.integers(1, 6), chunks=st.integers(1, 5), offset=st.floats(-1e6, 1e6)
)
def test_chunks_give_what_all_pixels_give(count: int, bands: int, chunks: int, offset: float) -> None:
    data = np.random.default_rng(count).normal(size=(count, bands)) + offset
    whole = Standardise().fit(data)
    split = Standardise().fit(iter(np.array_split(data, chunks)))
    np.testing.assert_allclose(split.mean_, data.mean(axis=0), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(whole.scale_, data.std(axis=0), rtol=1e-7)
    np.testing.assert_allclose(split.scale_, data.std(axis=0), rtol=1e-7)


def test_fit_uses_the_training_pixels_only() -> None:
    cube = mixed_cube()
    pixels = np.arange(40, dtype=np.int64) * 7
    changed = cube.copy().reshape(-1, 12)
    others = np.setdiff1d(np.arange(len(changed)), pixels)
    changed[others] = 65535 - changed[others]
    before = Preprocess(components=5).fit(cube, pixels).transform(cube)
    after = Preprocess(components=5).fit(changed.reshape(cube.shape), pixels[::-1]).transform(cube)
    np.testing.assert_array_equal(before, after)
    every = Preprocess(components=5).fit(cube).transform(cube)
    assert np.abs(every - before).max() > 0.1  # the choice of pixels does matter


def test_constant_bands_become_zero_not_nan() -> None:
    cube = mixed_cube().astype(np.float32)
    cube[..., 3] = 0.1
    cube[..., 7] = 0.0
    cube.reshape(-1, 12)[:50, 9] = 4242.0  # constant in the training pixels only
    chain = Preprocess().fit(cube, np.arange(50))
    out = chain.transform(cube)
    assert np.isfinite(out).all()
    assert (out[..., [3, 7, 9]] == 0).all()
    assert (out[..., [0, 1, 2, 4, 5, 6, 8, 10, 11]].std(axis=(0, 1)) > 0.5).all()
    assert "3 constant bands" in chain.describe()
    everything_constant = Preprocess(components=2).fit(np.ones((4, 4, 3), np.float32))
    assert (everything_constant.transform(np.ones((4, 4, 3))) == 0).all()


def test_dependent_bands_stay_finite() -> None:
    cube = np.repeat(mixed_cube(bands=3), 3, axis=2)  # rank 3 in 9 bands
    out = Preprocess(components=6).fit(cube).transform(cube)
    assert np.isfinite(out).all()
    assert (out[..., :3].std(axis=(0, 1)) > 0.5).all()
    assert np.abs(out[..., 3:]).max() < 1e-5


def test_band_list_keeps_order_and_components_are_at_most() -> None:
    cube = mixed_cube()
    chosen = Preprocess(keep=[5, 0, 11]).fit(cube)
    every = Preprocess().fit(cube).transform(cube)
    np.testing.assert_array_equal(chosen.transform(cube), every[..., [5, 0, 11]])
    assert chosen.bands == 3
    for components in (0, 12, 30):
        chain = Preprocess(components=components).fit(cube)
        assert chain.bands == 12
        assert [type(step) for step in chain.steps_] == [Standardise]
    assert Preprocess(keep=range(8), components=7).fit(cube).bands == 7


@pytest.mark.parametrize(
    "options", [{}, {"keep": [1, 4, 2]}, {"components": 4}, {"keep": range(9), "components": 3}]
)
def test_saved_and_loaded_is_the_same(tmp_path: Path, options: dict[str, Any]) -> None:
    cube = mixed_cube()
    chain = Preprocess(**options).fit(cube, np.arange(100))
    path = tmp_path / "chain.npz.part"  # a name that NumPy would change
    chain.save(path)
    again = Preprocess.load(path)
    np.testing.assert_array_equal(again.transform(cube), chain.transform(cube))
    assert (again.bands, again.describe()) == (chain.bands, chain.describe())
    assert "\n" not in chain.describe()
    assert "fitted on 100 pixels" in chain.describe()
    assert list(tmp_path.iterdir()) == [path]
    with np.load(path, allow_pickle=False) as file:
        assert all(file[name].dtype.kind in "if" for name in file.files)


def test_other_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "preprocess.npz"
    Preprocess(components=3).fit(mixed_cube()).save(path)
    whole = path.read_bytes()
    bad = {
        "missing": None,
        "short": whole[: len(whole) // 2],
        "empty": b"",
        "html": b"<!DOCTYPE html><html></html>",
    }
    for name, content in bad.items():
        other = tmp_path / name
        if content is not None:
            other.write_bytes(content)
        with pytest.raises(FileFormatError, match="is not a saved preprocessing"):
            Preprocess.load(other)
    np.savez(tmp_path / "other.npz", a=np.zeros(3))
    np.save(tmp_path / "array.npy", np.zeros(3))
    for other in (tmp_path / "other.npz", tmp_path / "array.npy"):
        with pytest.raises(FileFormatError):
            Preprocess.load(other)


def test_bad_input() -> None:
    cube = mixed_cube()
    for keep in ([], [1, 1], [-1, 2]):
        with pytest.raises(ConfigError):
            BandList(keep)
    with pytest.raises(ConfigError, match="Band 12 cannot be kept"):
        Preprocess(keep=[0, 12]).fit(cube)
    with pytest.raises(ConfigError, match="negative"):
        Preprocess(components=-1)
    with pytest.raises(ConfigError, match="1 or more"):
        PCA(0)
    with pytest.raises(ConfigError, match="at most 3"):
        Preprocess(components=5).fit(cube, np.arange(4))
    with pytest.raises(ConfigError, match="call fit"):
        Preprocess().transform(cube)
    with pytest.raises(SceneError, match="for 12 bands, but this cube has 11"):
        Preprocess().fit(cube).transform(cube[..., :11])
    for wrong in (cube[0], cube.astype(complex), cube[:0]):
        with pytest.raises(SceneError, match=r"The cube (has shape|holds complex128)"):
            Preprocess().fit(wrong)
    for pixels in (np.array([], int), np.array([0.5]), np.array([[1, 2]]), np.zeros(24 * 19, bool)):
        with pytest.raises(SceneError, match="at least one"):
            Preprocess().fit(cube, pixels)
    for pixels in (np.array([-1, 3]), np.array([24 * 19])):
        with pytest.raises(SceneError, match="outside the scene"):
            Preprocess().fit(cube, pixels)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_nan_and_infinity_are_refused(value: float) -> None:
    cube = mixed_cube().astype(np.float32)
    cube[20, 3, 5] = value
    with pytest.raises(SceneError, match="NaN or infinite"):
        Preprocess().fit(cube)
    Preprocess().fit(cube, np.arange(19))  # not among these pixels


@pytest.mark.parametrize("options", [{}, {"keep": range(60), "components": 20}])
def test_no_second_cube_is_in_memory(tmp_path: Path, options: dict[str, Any]) -> None:
    ramp = np.arange(400, dtype=np.uint16)[:, None, None] * np.arange(64, dtype=np.uint16)
    cube: np.ndarray = np.repeat(ramp, 300, axis=1)
    np.save(tmp_path / "cube.npy", cube)
    as_float32 = cube.size * 4
    for source in (cube, np.load(tmp_path / "cube.npy", mmap_mode="r"), np.asfortranarray(cube)):
        tracemalloc.start()
        chain = Preprocess(**options).fit(source)
        fitting = tracemalloc.get_traced_memory()[1]
        out = chain.transform(source)
        whole = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert fitting < 20e6 < as_float32 - 10e6
        assert whole < out.nbytes + 20e6


def test_a_common_scale_keeps_the_ratios_of_the_bands() -> None:
    random = np.random.default_rng(0)
    spread = np.array([6.0, 2.0, 0.0, 1.0])
    cube = random.normal(size=(9, 8, 4)) * spread + 3
    chain = Preprocess(common_scale=True).fit(cube)
    out = chain.transform(cube).reshape(-1, 4)
    flat = cube.reshape(-1, 4)
    factor = np.sqrt(flat[:, [0, 1, 3]].var(axis=0).mean())
    np.testing.assert_allclose(
        out[:, [0, 1, 3]], (flat - flat.mean(axis=0))[:, [0, 1, 3]] / factor, atol=1e-5
    )
    assert not out[:, 2].any()


def test_measured_values_stay_as_they_are_also_after_loading(tmp_path):
    cube = np.random.default_rng(3).uniform(100, 9000, (5, 4, 6)).astype(np.float32)
    fitted = Preprocess(keep=[4, 1, 2], as_measured=True).fit(cube, np.arange(6))
    fitted.save(tmp_path / "kept.npz")
    for chain in (fitted, Preprocess.load(tmp_path / "kept.npz")):
        np.testing.assert_array_equal(chain.transform(cube), cube[:, :, [4, 1, 2]])
        assert "as measured" in chain.describe()
    cube[0, 0, 1] = np.nan
    with pytest.raises(SceneError, match="NaN"):
        Preprocess(as_measured=True).fit(cube)
