"""A run keeps which bands of a file it uses, and takes the same of every file that has as many."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from hsi.commands.app import run as main
from tests.conftest import small_cube

rasterio = pytest.importorskip("rasterio", reason="the extra geo is not installed")

TRAIN = ["train", "--model", "svm", "--protocol", "disjoint", "--patch", "3", "--device", "cpu"]
PLACE = rasterio.Affine(30, 0, 500_000, 0, -30, 4_000_000)


def write(path: Path, cube: np.ndarray, nodata: float | None = -9999) -> Path:
    rows, cols, bands = cube.shape
    shape = {"height": rows, "width": cols, "count": bands, "dtype": cube.dtype, "nodata": nodata}
    with rasterio.open(path, "w", driver="GTiff", crs="EPSG:32616", transform=PLACE, **shape) as file:
        file.write(cube.transpose(2, 0, 1))
    return path


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with a cube whose bands 3 and 7 hold nothing, its labels, and a run trained on them."""
    monkeypatch.chdir(tmp_path)
    cube, labels = small_cube()
    cube = cube.astype(np.int16)
    np.save("labels.npy", labels)
    np.save("whole.npy", cube)
    dead = cube.copy()
    dead[:, :, 3], dead[:, :, 7], dead[2, 3] = -9999, 5, -9999
    write(Path("dead.tif"), dead)
    return tmp_path


def test_dead_bands_are_left_out_and_the_choice_is_kept(folder, capsys):
    assert main([*TRAIN, "--dataset", "dead.tif", "--labels", "labels.npy", "--out", "run"]) == 0
    said = capsys.readouterr().err
    assert "Left out, counted from 0: band 3 (no data in most pixels) and band 7 (a single value)" in said
    metrics = json.loads(Path("run/metrics.json").read_text())
    kept = [band for band in range(12) if band not in (3, 7)]
    assert (metrics["bands"], metrics["band_choice"]) == (10, {"count": 12, "numbers": kept})

    # A file with the same bands, all of them alive: those of the run are taken.
    write(Path("alive.tif"), np.load("whole.npy"))
    assert main(["map", "run", "--scene", "alive.tif", "--out", "alive.npy"]) == 0
    assert main(["map", "run", "--out", "own.npy"]) == 0
    assert main(["map", "run", "--scene", "dead.tif", "--out", "dead.npy"]) == 0
    own, dead, alive = (np.load(f"{name}.npy") for name in ("own", "dead", "alive"))
    hole = np.zeros(own.shape, bool)
    hole[2, 3] = True
    np.testing.assert_array_equal(dead == 0, hole)
    np.testing.assert_array_equal(own == 0, hole)
    assert (alive[~hole] == dead[~hole]).all()

    # Another band without data, which the run needs: no map of nothing.
    cube = np.load("whole.npy")
    cube[:, :, 5] = -9999
    write(Path("other.tif"), cube)
    capsys.readouterr()
    assert main(["map", "run", "--scene", "other.tif", "--out", "other.npy"]) == 2
    assert "Not one pixel of 'other' has data in all bands of the run" in capsys.readouterr().err
    assert not Path("other.npy").exists()


def test_a_scene_that_was_loaded_with_more_bands_fits(folder):
    import hsi

    dead, whole = folder / "dead.tif", folder / "whole.npy"
    run = hsi.train(
        "svm", str(dead), labels="labels.npy", protocol="disjoint", patch=3, device="cpu", out="run"
    )
    scene = hsi.load_scene(whole, labels="labels.npy")
    assert scene.bands == 12
    found = run.predict(scene)
    known = run.predict(run.load_scene())
    assert (found != known).sum() <= 1  # the pixel without data
    less = np.load(whole)
    less[:, :, 5] = 8
    np.save("less.npy", less)
    with pytest.raises(hsi.errors.RunError, match="uses bands 5 of the file, which 'less' leaves out"):
        run.predict(hsi.load_scene("less.npy", labels="labels.npy"))


def test_a_cube_without_labels_is_described_and_mapped(folder, capsys):
    assert main([*TRAIN, "--dataset", "dead.tif", "--labels", "labels.npy", "--out", "run"]) == 0
    capsys.readouterr()
    assert main(["scene", "new", "dead.tif", "--out", "plain.toml"]) == 0
    told = capsys.readouterr()
    assert "hsi map RUN --scene plain.toml" in told.out
    assert "10 of 12 bands" in told.out
    assert main(["map", "run", "--scene", "plain.toml", "--out", "plain.npy"]) == 0
    assert main(["map", "run", "--scene", "dead.tif", "--out", "dead.npy"]) == 0
    np.testing.assert_array_equal(np.load("plain.npy"), np.load("dead.npy"))
    capsys.readouterr()
    assert main([*TRAIN, "--dataset", "plain.toml", "--out", "none"]) == 2
    assert "describes a cube without labels" in capsys.readouterr().err


def test_files_of_labels_make_the_split(folder, capsys):
    _, labels = small_cube()
    train, test = labels.copy(), labels.copy()
    train[12:], test[:12] = 0, 0
    np.save("train.npy", train)
    np.save("test.npy", test)
    new = ["scene", "new", "whole.npy", "train.npy", "--test-labels", "test.npy"]
    assert main([*new, "--out", "scene.toml"]) == 0
    assert "train labels" in capsys.readouterr().out
    assert main([*TRAIN[:3], "--dataset", "scene.toml", "--patch", "3", "--out", "run"]) == 0
    metrics = json.loads(Path("run/metrics.json").read_text())
    assert metrics["scheme"] == "mask"
    assert metrics["counts"]["test"] == int((test > 0).sum())
    assert metrics["counts"]["train"] + metrics["counts"]["val"] == int((train > 0).sum())
    with np.load("run/split.npz") as split:
        assert not test.ravel()[split["train"]].any()
    assert main([*TRAIN, "--dataset", "scene.toml", "--scheme", "random", "--out", "random"]) == 0
    assert json.loads(Path("random/metrics.json").read_text())["scheme"] == "random"


def test_given_facts_are_written_down(folder, capsys):
    Path("nm.txt").write_text("\n".join(str(400 + 10 * band) for band in range(12)))
    labels = np.load("labels.npy").astype(int)
    np.save("odd.npy", np.where(labels == 0, 7, labels - 1))
    with rasterio.open(
        "no_crs.tif", "w", driver="GTiff", height=24, width=20, count=12, dtype="int16", transform=PLACE
    ) as file:
        file.write(np.load("whole.npy").transpose(2, 0, 1))
    given = ["--crs", "EPSG:32616", "--unlabelled", "7", "--class-zero", "--wavelengths", "nm.txt"]
    assert main(["scene", "new", "no_crs.tif", "odd.npy", *given, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["georeference"]["crs"] == "EPSG:32616"
    assert told["wavelengths_nm"] == [400 + 10 * band for band in range(12)]
    assert [one["code"] for one in told["classes"]] == [0, 1, 2]
    written = Path("scene.toml").read_text()
    for line in (
        'crs = "EPSG:32616"',
        "unlabelled = [7]",
        "class_zero = true",
        'wavelengths_file = "nm.txt"',
    ):
        assert line in written
    import hsi

    scene = hsi.load_scene("scene.toml")
    assert scene.label_codes == (0, 1, 2)
    np.testing.assert_array_equal(scene.labels, labels)
    assert scene.georeference["crs"] == "EPSG:32616"
