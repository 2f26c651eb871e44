"""Whether two machines see the same."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from hsi.cluster.same import FILES, fingerprint
from hsi.datasets.unlabelled import load_unlabelled

CUBE = np.random.default_rng(0).integers(0, 999, (30, 40, 5)).astype(np.uint16)


@pytest.fixture
def run(tmp_path):
    """What is asked of a run here: its folder and the files in it."""
    for name in FILES:
        path = tmp_path / "run" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return SimpleNamespace(path=tmp_path / "run")


def write(path, cube, no_data=None):
    """Write a scene in the format of the name's ending; return it opened."""
    if path.suffix == ".npy":
        np.save(path, cube)
    else:
        rasterio = pytest.importorskip("rasterio", reason="the extra geo is not installed")
        size = {"height": cube.shape[0], "width": cube.shape[1], "count": cube.shape[2], "dtype": "uint16"}
        place = rasterio.Affine(2, 0, 0, 0, -2, 0)
        with rasterio.open(path, "w", driver="GTiff", nodata=no_data, transform=place, **size) as file:
            file.write(cube.transpose(2, 0, 1))
    return load_unlabelled(path)


@pytest.mark.parametrize("suffix", [".npy", ".tif"])
def test_the_same_again_and_what_differs(tmp_path, run, suffix):
    scene = write(tmp_path / f"a{suffix}", CUBE)
    first = fingerprint(run, scene)
    assert fingerprint(run, load_unlabelled(tmp_path / f"a{suffix}")) == first
    (tmp_path / "there").mkdir()
    assert fingerprint(run, write(tmp_path / "there" / f"a{suffix}", CUBE)) == first
    assert fingerprint(run, write(tmp_path / f"b{suffix}", CUBE + 1)) != first
    assert fingerprint(run, write(tmp_path / f"c{suffix}", CUBE[:-1])) != first
    assert fingerprint(run, replace(scene, wavelengths_nm=np.arange(5.0))) != first
    (run.path / FILES[0]).write_text("another")
    assert fingerprint(run, scene) != first


def test_a_value_for_no_data_differs_from_none(tmp_path, run):
    first = fingerprint(run, write(tmp_path / "a.tif", CUBE))
    assert fingerprint(run, write(tmp_path / "b.tif", CUBE, no_data=7)) != first
    again = fingerprint(run, write(tmp_path / "c.tif", CUBE, no_data=7))
    assert again == fingerprint(run, load_unlabelled(tmp_path / "b.tif"))
