"""`hsi map` on runs of a second."""

import json
from pathlib import Path

import numpy as np
import pytest

import hsi
from hsi.commands.app import run

NM = list(range(500, 620, 10))


TINY = ["--model", "densenet3d", "--option", "layers=[1,1,1]", "--option", "growth=[4,4,4]", "--patch", "7"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A scene of three stripes with wavelengths, and a run of it called ``r``."""
    folder = tmp_path_factory.mktemp("maps")
    labels = np.zeros((24, 20), np.uint8)
    labels[:, 1:6], labels[:, 7:13], labels[:, 14:19] = 1, 2, 3
    random = np.random.default_rng(0)
    np.save(
        folder / "cube.npy", random.uniform(200, 900, (4, 12))[labels] + random.normal(0, 60, (24, 20, 12))
    )
    np.save(folder / "labels.npy", labels)
    (folder / "scene.toml").write_text(
        f'name = "small"\ncube = "cube.npy"\nlabels = "labels.npy"\nwavelengths_nm = {NM}\n'
        '[classes]\n1 = "Grass"\n2 = "Soil"\n3 = "Water"\n',
        encoding="utf-8",
    )
    said = "--dataset scene.toml --protocol disjoint --train 0.3 --epochs 1 --batch 16 --device cpu --out r"
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert run(["train", *TINY, *said.split()]) == 0
    return folder


@pytest.fixture
def trained(folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    capsys.readouterr()
    return folder


def test_the_scene_of_the_run(trained, capsys):
    assert run(["map", "r", "--out", "m.npy", "--proba", "--confidence"]) == 0
    shown = capsys.readouterr().out
    assert "Water" in shown
    assert "Confidence: m-confidence.npy" in shown
    opened = hsi.open_run("r")
    labels = np.load("m.npy")
    np.testing.assert_array_equal(labels.ravel()[opened.split.test], opened.predictions["test"])
    assert np.load("m-proba.npy").shape == (24, 20, 3)
    assert run(["map", "r", "--out", "m.mat", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["files"] == {"map": "m.mat"}
    assert sum(printed["counts"]) == 24 * 20
    assert printed["counts"] == np.bincount(labels.ravel(), minlength=4)[1:].tolist()


def test_a_page_for_people_beside_the_map(trained, capsys):
    from PIL import Image

    assert run(["map", "r", "--layout", "--json"]) == 0
    files = json.loads(capsys.readouterr().out)["files"]
    assert files["layout"] == str(Path("r/map-layout.png"))
    with Image.open(files["map"]) as image:
        assert image.size == (20, 24)
        colors = {tuple(color) for color in np.asarray(image.convert("RGB")).reshape(-1, 3)}
        applied = image.text
    with Image.open(files["layout"]) as image:
        shown = np.asarray(image.convert("RGB"))
        assert {name: image.text[name] for name in applied} == applied
    assert min(shown.shape[:2]) > 800
    for color in colors:
        assert (shown == color).all(axis=2).sum() > 500  # on the map and in the legend
    assert run(["map", "r", "--out", "m.npy", "--layout"]) == 0
    assert Path("m-layout.png").is_file()


def test_polygons(trained, capsys):
    pyogrio = pytest.importorskip("pyogrio", reason="the extra geo is not installed")
    assert run(["map", "r", "--out", "m.gpkg", "--min-area", "40", "--layout", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    info, _, _, columns = pyogrio.raw.read(printed["files"]["map"], layer="map")
    found = dict(zip(info["fields"], columns, strict=True))
    assert found["pixels"].min() >= 40
    assert found["pixels"].sum() == 24 * 20
    assert set(found["name"]) <= {"Grass", "Soil", "Water"}


def test_a_geotiff_comes_with_a_table_and_a_style(trained, capsys):
    from xml.etree import ElementTree

    pytest.importorskip("rasterio", reason="the extra geo is not installed")
    assert run(["map", "r", "--out", "m.tif", "--entropy", "--json"]) == 0
    counts = json.loads(capsys.readouterr().out)["counts"]
    table = ElementTree.parse("m.tif.aux.xml").find(".//GDALRasterAttributeTable")
    rows = [[cell.text for cell in row] for row in table.findall("Row")]
    assert [int(row[2]) for row in rows] == [0, *counts]
    entries = ElementTree.parse("m.qml").findall(".//paletteEntry")
    assert [one.get("label") for one in entries] == ["Grass", "Soil", "Water"]
    assert sorted(path.name for path in trained.glob("m*.qml")) == ["m.qml"]


def test_another_scene_without_labels(trained, capsys):
    cube = np.load("cube.npy")
    np.save("new.npy", np.concatenate([cube, cube[::-1]]))
    assert run(["map", "r", "--scene", "new.npy", "--out", "new.png"]) == 0
    assert "48 x 20 pixels" in capsys.readouterr().out
    from PIL import Image

    with Image.open("new.png") as image:
        assert image.size == (20, 48)


def test_other_bands_are_refused_or_resampled(trained, capsys):
    cube, text = np.load("cube.npy"), (trained / "scene.toml").read_text(encoding="utf-8")
    fine = np.linspace(495, 615, 25)
    np.save(
        "fine.npy", np.stack([[np.interp(fine, NM, pixel) for pixel in row] for row in cube.astype(float)])
    )
    text = text.replace(f"wavelengths_nm = {NM}", f"wavelengths_nm = {fine.tolist()}").replace(
        "cube.npy", "fine.npy"
    )
    (trained / "fine.toml").write_text(text, encoding="utf-8")
    assert run(["map", "r", "--scene", "fine.toml", "--out", "f.npy"]) == 2
    said = capsys.readouterr().err
    assert "12 bands (500 to 610 nm), but 'small' has 25 (495 to 615 nm); use --resample" in said
    assert not list(trained.glob("*f.npy*"))
    assert run(["map", "r", "--scene", "fine.toml", "--out", "f.npy", "--resample"]) == 0
    assert np.load("f.npy").min() >= 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("r --out m.jpg", "A map is written as"),
        ("none --out m.npy", "not a run folder"),
        ("r --out cube.npy --scene cube.npy", "is the scene itself"),
        ("r --out m.npy --scene nothing.npy", "There is no file"),
        ("r --out m.npy --cube-key x", "give both"),
        ("r --out m.png --proba", "cannot hold the probability"),
        ("r --out m.gpkg --proba", "classes as polygons, no proba"),
        ("r --out m.gpkg --min-area -1", "from 0 on"),
        ("r --out m.tif --min-area 10", "choose --out NAME.gpkg"),
        ("r --out m.npy --device cuda", "no device 'cuda'"),
    ],
)
def test_bad_input_is_one_sentence_and_leaves_nothing(trained, capsys, arguments, message):
    if "cuda" in arguments and __import__("torch").cuda.is_available():
        pytest.skip("this machine has a GPU")
    before = sorted(trained.iterdir())
    assert run(["map", *arguments.split()]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert message in shown.err
    assert len(shown.err.strip().splitlines()) == 1
    assert sorted(trained.iterdir()) == before


def test_without_out_the_map_lies_in_the_run(trained, capsys):
    assert run(["map", "r", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["files"]["map"] == str(Path("r/map.png"))
    from PIL import Image

    with Image.open("r/map.png") as image:
        assert image.size[0] >= 20
