"""A scene with wavelengths, and runs of a second on it."""

from __future__ import annotations

import numpy as np
import pytest

from hsi.commands.app import run

NM = list(range(500, 620, 10))
TINY = ["--model", "densenet3d", "--option", "layers=[1,1,1]", "--option", "growth=[4,4,4]", "--patch", "7"]
OPTIONS = "--dataset scene.toml --protocol disjoint --train 0.3 --batch 16 --device cpu"


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """Runs ``bands``; ``pca`` (fewer bands, components, mirrored edges, all views, antialiased); ``knn``."""
    folder = tmp_path_factory.mktemp("exports")
    random = np.random.default_rng(0)
    labels = np.zeros((24, 20), np.uint8)
    labels[:, 1:6], labels[:, 7:13], labels[:, 14:19] = 1, 2, 3
    spectra = random.uniform(9000, 9900, (4, 12))  # a mean far larger than the spread
    cube = (spectra[labels] + random.normal(0, 20, (24, 20, 12))).round().astype(np.uint16)
    cube[:, :, 7] = 4321  # a constant band
    np.save(folder / "cube.npy", cube)
    np.save(folder / "labels.npy", labels)
    (folder / "scene.toml").write_text(
        f'name = "small"\ncube = "cube.npy"\nlabels = "labels.npy"\nwavelengths_nm = {NM}\n'
        '[classes]\n1 = "Grass"\n2 = "Soil"\n3 = "Water"\n',
        encoding="utf-8",
    )
    pca = "--bands 0-8,10 --pca 8 --padding reflect --tta --epochs 1 --out pca"
    antialiased = ["--option", "downsampling=antialiased"]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert run(["train", *TINY, *OPTIONS.split(), "--epochs", "3", "--out", "bands"]) == 0
        assert run(["train", *TINY, *antialiased, *OPTIONS.split(), *pca.split()]) == 0
        assert run(["train", "--model", "knn", "--patch", "7", *OPTIONS.split(), "--out", "knn"]) == 0
    return folder


@pytest.fixture
def runs(folder, monkeypatch, capsys):
    """The folder of the runs, as the working folder."""
    monkeypatch.chdir(folder)
    capsys.readouterr()
    return folder
