"""From files of one's own to a trained run, without code: a real crop as ENVI, GeoTIFF and polygons."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import rasterio
import rasterio.features
from scipy.io import loadmat
from spectral.io import envi

import hsi
from hsi.commands.app import run

PLACE = rasterio.Affine(1.3, 0, 512000, 0, -1.3, 5003000)
TINY = ["--model", "densenet3d", "--option", "layers=[1,1,1]", "--option", "growth=[4,4,4]", "--patch", "7"]
QUICK = [
    "--scheme",
    "random",
    "--train",
    "0.1",
    "--val",
    "0.1",
    "--epochs",
    "1",
    "--batch",
    "64",
    "--device",
    "cpu",
]


@pytest.fixture
def pavia(real_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[np.ndarray, np.ndarray]:
    """A part of Pavia University as cube.hdr, labels.tif and fields.geojson in the current folder."""
    monkeypatch.chdir(tmp_path)
    file = loadmat(real_data / "scenes" / "PaviaU_crop.mat")
    cube, labels = file["paviaU"][:70, :60], file["paviaU_gt"][:70, :60]
    facts = {
        "wavelength": [f"{nm / 1000:.5f}" for nm in np.linspace(430, 860, 103)],
        "wavelength units": "Micrometers",
        "bbl": ["0"] + ["1"] * 102,
        "sensor type": "ROSIS",
        "map info": ["UTM", *"11", "512000", "5003000", "1.3", "1.3", "32", "North", "WGS-84"],
    }  # fmt: skip
    envi.save_image("cube.hdr", cube, interleave="bil", metadata=facts)
    options = {
        "height": 70,
        "width": 60,
        "count": 1,
        "dtype": "uint8",
        "crs": "EPSG:32632",
        "transform": PLACE,
    }
    with rasterio.open("labels.tif", "w", driver="GTiff", **options) as raster:
        raster.write(labels.astype(np.uint8), 1)
    shapes = rasterio.features.shapes(labels.astype(np.uint8), mask=labels > 0, transform=PLACE)
    features = [
        {"type": "Feature", "geometry": shape, "properties": {"kind": f"cover {code:.0f}", "n": number}}
        for number, (shape, code) in enumerate(shapes)
    ]
    crs = {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::32632"}}
    Path("fields.geojson").write_text(
        json.dumps({"type": "FeatureCollection", "crs": crs, "features": features})
    )
    return cube, labels


def test_what_was_understood(pavia, capsys):
    cube, labels = pavia
    assert run(["scene", "new", "cube.hdr", "labels.tif"]) == 0
    shown = capsys.readouterr()
    codes = np.unique(labels[labels > 0])
    for words in (
        "70 x 60 pixels, 102 of 103 bands",
        "434.22 to 860 nm",
        "ROSIS",
        "EPSG:32632, pixels of 1.3 x 1.3",
    ):
        assert words in shown.out
    assert f"{(labels > 0).sum()} pixels in {len(codes)} classes" in shown.out
    assert "marks 1 band as bad (0); it is left out" in shown.err
    scene = hsi.load_scene("scene.toml")
    np.testing.assert_array_equal(scene.cube, cube[:, :, 1:])
    assert scene.label_codes == tuple(codes)
    assert scene.counts == tuple(np.bincount(labels.ravel())[codes])


def test_json_is_one_object_and_nothing_is_replaced_unasked(pavia, capsys):
    labels = pavia[1]
    said = ["scene", "new", "cube.img", "fields.geojson", "--class-field", "kind", "--json"]
    assert run(said) == 0
    printed = json.loads(capsys.readouterr().out)
    assert (printed["rows"], printed["cols"], printed["bands"]) == (70, 60, 102)
    assert printed["georeference"] == {"crs": "EPSG:32632", "transform": list(PLACE)[:6]}
    codes = sorted(np.unique(labels[labels > 0]).tolist())
    assert [one["name"] for one in printed["classes"]] == [f"cover {code}" for code in codes]
    assert [one["pixels"] for one in printed["classes"]] == np.bincount(labels.ravel())[codes].tolist()
    before = Path("scene.toml").read_text()
    assert run(said) == 2
    assert "is there already; choose another --out, or replace it with --force" in capsys.readouterr().err
    assert run(["scene", "new", "cube.hdr", "labels.tif", "--force"]) == 0
    assert Path("scene.toml").read_text() != before


def test_described_trained_and_mapped_with_chosen_bands(pavia, capsys):
    assert (
        run(["scene", "new", "cube.hdr", "fields.geojson", "--class-field", "kind", "--out", "s.toml"]) == 0
    )
    chosen = ["--bands", "500-700nm,no-water", "--select-bands", "9"]
    assert run(["train", *TINY, *QUICK, *chosen, "--dataset", "s.toml", "--out", "first"]) == 0
    assert "9 of 102 bands are used: " in capsys.readouterr().err
    made = hsi.open_run("first")
    scene = made.load_scene()
    keep = made.preprocess.band_list.keep
    assert len(keep) == made.preprocess.bands == 9
    assert ((scene.wavelengths_nm[keep] >= 500) & (scene.wavelengths_nm[keep] <= 700)).all()
    assert (made.config.bands, made.config.select_bands) == ("500-700nm,no-water", 9)
    assert run(["evaluate", "first", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["test"] == made.metrics["test"]
    # Another scene with the same bands is mapped with the bands of the run; the others do not matter.
    other = scene.cube.copy()
    others = np.setdiff1d(np.arange(102), keep)
    other[:, :, others] = 7
    np.testing.assert_array_equal(
        made.predict(hsi.Scene("o", other, scene.labels, scene.class_names, scene.colors)),
        made.predict(scene),
    )


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (["missing.hdr", "labels.tif"], "no file missing.hdr"),
        (["cube.hdr", "missing.tif"], "no file missing.tif"),
        (["labels.tif", "labels.tif"], "no array that is 3-D"),
        (["fields.geojson", "labels.tif"], "holds points or polygons, not an array"),
        (["cube.hdr", "fields.geojson", "--class-field", "kid"], "Did you mean 'kind'"),
        (["cube.hdr", "labels.tif", "--out", "no/where.toml"], "folder 'no' for the description"),
    ],
)
def test_bad_input_is_one_sentence_and_writes_nothing(pavia, said, words, capsys):
    before = sorted(path.name for path in Path().iterdir())
    assert run(["scene", "new", *said]) == 2
    err = capsys.readouterr().err
    assert words in err
    assert "Traceback" not in err
    assert sorted(path.name for path in Path().iterdir()) == before


@pytest.mark.parametrize(("option", "words"), [("0-300", "no band 300"), ("9nm", "cannot be read")])
def test_bands_that_cannot_be_leave_no_run(pavia, option, words, capsys):
    run(["scene", "new", "cube.hdr", "labels.tif"])
    capsys.readouterr()
    said = ["train", *TINY, *QUICK, "--dataset", "scene.toml", "--bands", option, "--out", "first"]
    assert run(said) == 2
    assert words in capsys.readouterr().err
    assert not Path("first").exists()
