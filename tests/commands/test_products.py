"""Each product, from its files to a map in its place: described, trained on, mapped."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from hsi.commands.app import run
from hsi.datasets.load import load_unlabelled

rasterio = pytest.importorskip("rasterio", reason="the extra geo is not installed")

from tests.datasets.products import (  # noqa: E402
    test_aviris,
    test_aviris_netcdf,
    test_desis,
    test_emit,
    test_enmap,
    test_neon,
    test_prisma,
    test_tanager,
)


def turned_aviris(folder: Path) -> Path:
    """Write a flight line that runs across the map."""
    place = ["UTM", 1, 1, 500_000.0, 4_000_000.0, 4.0, 4.0, 11, "North", "WGS-84", "rotation=-31.0"]
    header = test_aviris.spectral(map_info=place)
    return test_aviris.write_envi(folder / "ang20220815t180000_rfl_v2z1_img", test_aviris.counts(), **header)


MAKE: dict[str, Callable[[Path], Path]] = {
    "EnMAP L2A": lambda folder: test_enmap.Fake(folder).write().xml,
    "EnMAP L1C": lambda folder: test_enmap.Fake(folder, "L1C", dtype="uint16", nodata=None).write().image,
    "DESIS L2A": lambda folder: test_desis.Fake(folder).xml,
    "PRISMA L2D": lambda folder: test_prisma.Fake(folder).write(),
    "EMIT L2A": lambda folder: test_emit.Fake(folder).write(),
    "Tanager ortho": lambda folder: test_tanager.Fake(folder).write(),
    "NEON": lambda folder: test_neon.Fake(folder).write(),
    "AVIRIS-NG": turned_aviris,
    "AVIRIS netCDF": lambda folder: test_aviris_netcdf.Fake(folder).write(),
}


@pytest.mark.parametrize("name", list(MAKE))
def test_described_trained_and_mapped_in_its_place(name, tmp_path, monkeypatch, capsys):
    folder = tmp_path / "product"
    folder.mkdir()
    file = MAKE[name](folder)
    monkeypatch.chdir(tmp_path)
    scene = load_unlabelled(file)
    values = np.asarray(scene.cube)
    missing = ~np.isfinite(values).all(axis=2)
    labels = np.where(np.arange(scene.rows)[:, None] < scene.rows // 2, 1, 2) * np.ones(scene.cols, int)
    place = rasterio.Affine(*scene.georeference["transform"])
    shape = {"height": scene.rows, "width": scene.cols, "count": 1, "dtype": "uint8"}
    with rasterio.open(
        "labels.tif", "w", driver="GTiff", crs=scene.georeference["crs"], transform=place, **shape
    ) as raster:
        raster.write(labels.astype(np.uint8), 1)

    assert run(["scene", "new", str(file), "labels.tif", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["bands"] == scene.bands
    assert told["labelled"] == int((~missing).sum())
    train = ["train", "--model", "knn", "--dataset", "scene.toml", "--scheme", "random", "--patch", "3"]
    assert run([*train, "--device", "cpu", "--out", "run"]) == 0
    assert run(["map", "run", "--scene", str(folder), "--out", "map.tif", "--device", "cpu"]) == 0
    with rasterio.open("map.tif") as written, rasterio.open("labels.tif") as given:
        np.testing.assert_array_equal(written.read(1) == 0, missing)
        assert written.crs == given.crs
        assert written.transform.almost_equals(given.transform, 1e-9)


def test_a_run_on_one_sensor_maps_another(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name in ("one", "other"):
        Path(name).mkdir()
    enmap = test_enmap.Fake(tmp_path / "one").write()
    emit = test_emit.Fake(tmp_path / "other").write()
    np.save("labels.npy", (np.indices((test_enmap.ROWS, test_enmap.COLS)).sum(axis=0) % 2 + 1).astype("u1"))
    train = ["train", "--model", "knn", "--dataset", str(enmap.image), "--labels", "labels.npy"]
    assert run([*train, "--scheme", "random", "--patch", "3", "--bands", "600-1500nm", "--out", "run"]) == 0
    capsys.readouterr()
    assert run(["map", "run", "--scene", str(emit), "--out", "no.tif"]) == 2
    assert "--resample" in capsys.readouterr().err
    assert run(["map", "run", "--scene", str(emit), "--resample", "--out", "map.tif"]) == 0
    scene = load_unlabelled(emit)
    with rasterio.open("map.tif") as written:
        assert written.crs.to_epsg() == 4326
        assert written.transform.almost_equals(rasterio.Affine(*scene.georeference["transform"]), 1e-9)
        assert written.read(1).any()
    assert run(["map", "run", "--scene", str(emit), "--resample", "--raw", "--out", "raw.npy"]) == 0
    assert np.load("raw.npy").shape == (test_emit.LINES, test_emit.SAMPLES)
