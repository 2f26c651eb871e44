"""`hsi area` and `hsi sample` on a run of a second."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

import hsi
from hsi.commands.app import run

pytest.importorskip("pyogrio")
rasterio = pytest.importorskip("rasterio")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A georeferenced scene of three stripes, a run of it called ``r``, and the whole truth."""
    folder = tmp_path_factory.mktemp("areas")
    truth = np.repeat([[1] * 7 + [2] * 7 + [3] * 6], 24, axis=0)
    random = np.random.default_rng(0)
    spectra = random.uniform(200, 900, (4, 12))
    cube = (spectra[truth] + random.normal(0, 120, (24, 20, 12))).clip(0, 2000).astype(np.uint16)
    with rasterio.open(
        folder / "cube.tif", "w", driver="GTiff", width=20, height=24, count=12, dtype="uint16",
        crs="EPSG:32632", transform=rasterio.Affine(30, 0, 500_000, 0, -30, 5_300_000),
    ) as file:  # fmt: skip
        file.write(np.moveaxis(cube, 2, 0))
    labels = truth.copy()
    labels[:, [0, 6, 7, 13, 14]] = labels[[8, 16]] = 0
    np.save(folder / "labels.npy", labels)
    (folder / "scene.toml").write_text(
        'name = "small"\ncube = "cube.tif"\nlabels = "labels.npy"\n'
        '[classes]\n1 = "Grass"\n2 = "Soil"\n3 = "Water"\n',
        encoding="utf-8",
    )
    np.save(folder / "truth.npy", truth)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        said = "train --model knn --dataset scene.toml --protocol disjoint --train 0.3 --out r"
        assert run(said.split()) == 0
    return folder


@pytest.fixture
def trained(folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    capsys.readouterr()
    return folder


def fill(path, truth, names=("Grass", "Soil", "Water")):
    with Path(path).open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        row["reference"] = names[truth[int(row["row"]), int(row["col"])] - 1]
    with Path(path).open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)


def test_areas_from_the_test_pixels(trained, capsys):
    assert run(["area", "r", "--json"]) == 0
    shown = capsys.readouterr()
    told = json.loads(shown.out)
    assert "no probability sample" in shown.err
    assert (told["unit"], told["pixel_area_m2"], told["pixels"]) == ("ha", 900.0, 480)
    assert told["reference"] == "test pixels"
    assert sum(one["area"]["value"] for one in told["classes"]) == pytest.approx(480 * 0.09)
    opened = hsi.open_run("r")
    labels = opened.predict(opened.load_scene())
    assert [one["mapped_pixels"] for one in told["classes"]] == np.bincount(labels.ravel())[1:].tolist()
    assert told["sample_units"] == len(opened.split.test)
    assert run(["area", "r"]) == 0
    shown = capsys.readouterr()
    assert "Overall accuracy" in shown.out
    assert "producer's %" in shown.out
    assert "area ha" in shown.out


def test_a_sample_is_drawn_filled_in_and_used(trained, capsys):
    assert run(["sample", "r", "--n", "90", "--out", "points.csv", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["files"] == {"points": "points.csv", "design": "points-design.csv"}
    assert sum(one["points"] for one in told["strata"]) == 90
    assert sum(one["pixels"] for one in told["strata"]) == 480
    truth = np.load("truth.npy")
    fill("points.csv", truth)
    assert run(["area", "r", "--samples", "points.csv", "--unit", "m2", "--json"]) == 0
    shown = capsys.readouterr()
    assert "probability sample" not in shown.err
    told = json.loads(shown.out)
    assert told["sample_units"] == 90
    for one, pixels in zip(told["classes"], np.bincount(truth.ravel())[1:], strict=True):
        assert one["area"]["low"] <= pixels * 900 <= one["area"]["high"], one["name"]
    assert run(["area", "r", "--samples", "points.csv", "--confidence-level", "0.5"]) == 0
    assert "50 % interval" in capsys.readouterr().out
    assert run(["area", "r", "--samples", "points.csv", "--interval", "normal", "--unit", "pixels"]) == 0
    assert "area px" in capsys.readouterr().out


def test_a_geopackage_says_what_to_do_with_it(trained, capsys):
    assert run(["sample", "r", "--n", "20", "--out", "my points.gpkg"]) == 0
    shown = capsys.readouterr().out
    assert "hsi area r --samples 'my points.gpkg'" in shown
    assert "Grass, Soil, Water, or other" in shown
    assert run(["sample", "r", "--n", "20", "--out", "my points.gpkg"]) == 2
    assert "may have been interpreted" in capsys.readouterr().err
    assert run(["area", "r", "--samples", "my points.gpkg"]) == 2
    assert "fill it in" in capsys.readouterr().err


def test_the_size_for_a_standard_error(trained, capsys):
    assert run(["sample", "r", "--standard-error", "0.03", "--out", "enough.csv"]) == 0
    shown = capsys.readouterr()
    points = int(shown.err.partition(" points are needed")[0].split()[-1])
    with Path("enough.csv").open(encoding="utf-8") as file:
        assert len(file.readlines()) == points + 1


def test_another_scene_needs_a_sample_of_its_own(trained, capsys):
    assert run(["area", "r", "--scene", "cube.tif"]) == 2
    assert "--samples" in capsys.readouterr().err
    assert run(["sample", "r", "--scene", "cube.tif", "--n", "40", "--out", "there.csv"]) == 0
    assert "--scene cube.tif" in capsys.readouterr().out
    fill("there.csv", np.load("truth.npy"))
    assert run(["area", "r", "--scene", "cube.tif", "--samples", "there.csv", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["pixels"] == 480


def test_rejected_pixels_are_a_stratum(trained, capsys):
    words = ["--smooth", "none", "--reject", "0.2"]
    opened = hsi.open_run("r")
    rejected = int((opened.predict(opened.load_scene(), smooth="none", reject=0.2) == 0).sum())
    assert 20 < rejected < 240
    assert run(["sample", "r", *words, "--n", "40", "--out", "rejecting.csv", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    last = told["strata"][-1]
    assert (last["stratum"], last["name"], last["pixels"]) == (4, "not recognised", rejected)
    assert last["points"] > 0
    fill("rejecting.csv", np.load("truth.npy"))
    assert run(["area", "r", *words, "--samples", "rejecting.csv", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["not_recognised_pixels"] == rejected
    assert told["pixels"] == 480
    assert not any("another map" in note for note in told["notes"])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("area r --unit acre", "Unknown unit 'acre'"),
        ("area r --pixel-size 0", "above 0"),
        ("area r --confidence-level 95", "between 0 and 1"),
        ("area r --interval wald", "Unknown interval"),
        ("area r --design d.csv", "about --samples"),
        ("area r --samples none.gpkg", "none.gpkg"),
        ("area r --samples labels.npy", "no file of points"),
        ("sample r --n 0 --out x.gpkg", "1 point or more"),
        ("sample r --n 3 --out x.gpkg", "too few"),
        ("sample r --n 481 --out x.gpkg", "cannot be drawn from 480"),
        ("sample r --n 9 --standard-error 0.1 --out x.gpkg", "give one of them"),
        ("sample r --out x.shp", ".gpkg or .csv"),
        ("sample r --out none/x.csv", "does not exist"),
        ("sample nowhere", "nowhere"),
    ],
)
def test_wrong_use_is_one_sentence(trained, capsys, words, said):
    assert run(words.split()) == 2
    shown = capsys.readouterr()
    assert said in shown.err
    assert shown.out == ""
    assert len([line for line in shown.err.splitlines() if line.startswith("hsi: ")]) == 1
