"""Maps of whole scenes: agreement, memory, missing data, interruption."""

import tracemalloc
import warnings
from dataclasses import replace

import numpy as np
import pytest

import hsi
from hsi.datasets.load import load_unlabelled
from hsi.errors import ConfigError


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A 1D-CNN, trained for an epoch on a disjoint split of the demo scene."""
    out = tmp_path_factory.mktemp("runs") / "one"
    return hsi.train(
        model="cnn1d", dataset="demo", protocol="disjoint", patch=7, epochs=1, device="cpu", out=out
    )


@pytest.fixture(scope="module")
def demo():
    return hsi.load_scene("demo")


def test_the_map_agrees_with_predict_and_with_the_scores(run, demo, tmp_path):
    made = hsi.map_scene(run, demo, tmp_path / "a.npy", proba=True, confidence=True, device="cpu")
    labels = np.load(made.files["map"])
    np.testing.assert_array_equal(labels, run.predict(demo, device="cpu"))
    np.testing.assert_array_equal(labels.ravel()[run.split.test], run.predictions["test"])
    proba, confidence = np.load(tmp_path / "a-proba.npy"), np.load(tmp_path / "a-confidence.npy")
    np.testing.assert_allclose(proba.sum(axis=2), 1, rtol=1e-5)
    np.testing.assert_array_equal(proba.argmax(axis=2) + 1, labels)
    np.testing.assert_array_equal(proba.max(axis=2), confidence)
    assert made.counts == tuple(np.bincount(labels.ravel(), minlength=demo.classes + 1)[1:])
    assert (made.rows, made.cols, made.missing) == (demo.rows, demo.cols, 0)


def test_pixels_without_data_are_zero(run, demo, tmp_path):
    cube = demo.cube.astype(np.float32)
    cube[10:12, 20:23] = np.nan
    made = hsi.map_scene(run, replace(demo, cube=cube), tmp_path / "a.npy", confidence=True, device="cpu")
    lost = np.zeros((demo.rows, demo.cols), bool)
    lost[10:12, 20:23] = True
    np.testing.assert_array_equal(np.load(tmp_path / "a.npy") == 0, lost)
    np.testing.assert_array_equal(np.isnan(np.load(tmp_path / "a-confidence.npy")), lost)
    assert made.missing == 6


def test_a_mapped_cube_is_never_in_memory_as_a_whole(run, demo, tmp_path):
    rows = np.tile(demo.cube[:64], (4, 3, 1))
    np.save(tmp_path / "large.npy", rows)
    scene = load_unlabelled(tmp_path / "large.npy")
    preprocessed = rows.size * 4
    budget = preprocessed // 10
    run.load_model("cpu")  # what is loaded once does not count
    tracemalloc.start()
    made = hsi.map_scene(run, scene, tmp_path / "a.npy", device="cpu", budget=budget)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < preprocessed / 3
    assert sum(made.counts) == rows.shape[0] * rows.shape[1]
    np.testing.assert_array_equal(
        np.load(tmp_path / "a.npy"), run.predict(replace(scene, cube=rows), device="cpu")
    )


def write_cube(path, cube, **options):
    """Write a cube as GeoTIFF; return its path."""
    rasterio = pytest.importorskip("rasterio", reason="the extra geo is not installed")
    rows, cols, bands = cube.shape
    size = {"height": rows, "width": cols, "count": bands, "dtype": cube.dtype.name}
    with (
        warnings.catch_warnings(action="ignore"),
        rasterio.open(path, "w", driver="GTiff", **size, **options) as file,
    ):
        file.write(cube.transpose(2, 0, 1))
    return path


@pytest.mark.parametrize(
    "layout",
    [
        {"tiled": True, "blockxsize": 48, "blockysize": 48, "compress": "deflate", "interleave": "pixel"},
        {"compress": "lzw", "interleave": "band", "blockysize": 7},
    ],
)
def test_a_geotiff_is_never_in_memory_as_a_whole(run, demo, tmp_path, monkeypatch, layout):
    rows = np.tile(demo.cube[:64], (4, 3, 1))
    monkeypatch.setattr("hsi.datasets.formats.raster_cube.READ_AHEAD", rows.nbytes // 10)
    scene = load_unlabelled(write_cube(tmp_path / "large.tif", rows, **layout))
    run.load_model("cpu")  # what is loaded once does not count
    tracemalloc.start()
    hsi.map_scene(run, scene, tmp_path / "a.npy", device="cpu", proba=True, budget=rows.nbytes // 5)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < rows.nbytes * 2 / 3
    whole = replace(scene, cube=rows)
    hsi.map_scene(run, whole, tmp_path / "b.npy", device="cpu", proba=True)
    for kind in ("", "-proba"):
        assert (tmp_path / f"a{kind}.npy").read_bytes() == (tmp_path / f"b{kind}.npy").read_bytes()


@pytest.mark.parametrize("kind", ["tif", "envi", "labelled"])
def test_pixels_that_hold_the_value_for_no_data_are_zero(run, demo, tmp_path, kind):
    cube = demo.cube.copy()
    lost = np.zeros(demo.labels.shape, bool)
    rows, cols = np.nonzero(demo.labels == 0)
    lost[rows[::50], cols[::50]] = True
    cube[lost] = 65_535
    if kind == "tif":
        scene = load_unlabelled(write_cube(tmp_path / "cube.tif", cube, nodata=65_535))
    elif kind == "envi":
        cube.tofile(tmp_path / "cube.img")
        (tmp_path / "cube.hdr").write_text(
            f"ENVI\nlines = {demo.rows}\nsamples = {demo.cols}\nbands = {demo.bands}\ndata type = 12\n"
            "interleave = bip\nbyte order = 0\nheader offset = 0\ndata ignore value = 65535\n"
        )
        scene = load_unlabelled(tmp_path / "cube.img")
    else:
        np.save(tmp_path / "cube.npy", cube)
        np.save(tmp_path / "labels.npy", demo.labels)
        (tmp_path / "scene.toml").write_text(
            'name = "lost"\nno_data = 65535\ncube = {file = "cube.npy"}\nlabels = {file = "labels.npy"}\n'
        )
        scene = hsi.load_scene(tmp_path / "scene.toml")
    made = hsi.map_scene(run, scene, tmp_path / "a.npy", confidence=True, device="cpu")
    labels = np.load(tmp_path / "a.npy")
    np.testing.assert_array_equal(labels == 0, lost)
    np.testing.assert_array_equal(np.isnan(np.load(tmp_path / "a-confidence.npy")), lost)
    assert made.missing == lost.sum() > 100
    np.testing.assert_array_equal(labels, run.predict(scene, device="cpu"))
    # A pixel of the 1D network is seen alone, so the others are as on the scene without gaps.
    np.testing.assert_array_equal(labels[~lost], run.predict(demo, device="cpu")[~lost])


@pytest.mark.parametrize("suffix", [".npy", ".mat", ".png", ".tif"])
def test_nothing_is_left_of_a_map_that_was_interrupted(run, demo, tmp_path, suffix):
    if suffix == ".tif":
        pytest.importorskip("rasterio", reason="the extra geo is not installed")
    out = tmp_path / f"a{suffix}"
    out.write_text("an earlier map")

    def stop(done, pixels):
        assert 0 < done < pixels
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        hsi.map_scene(run, demo, out, confidence=True, device="cpu", budget=1, watch=stop)
    assert [path.name for path in tmp_path.iterdir()] == [out.name]
    assert out.read_text() == "an earlier map"


def test_colours_are_those_of_the_run_where_the_scene_has_none(run, demo, tmp_path):
    from PIL import Image

    scene = replace(demo, class_names=(), colors=(), labels=np.zeros_like(demo.labels))
    hsi.map_scene(run, scene, tmp_path / "a.png", device="cpu")
    with Image.open(tmp_path / "a.png") as image:
        palette = np.array(image.getpalette()).reshape(-1, 3)[1 : demo.classes + 1]
    assert ["#{:02x}{:02x}{:02x}".format(*color) for color in palette] == list(demo.colors)


@pytest.mark.parametrize(
    ("out", "message"),
    [("a.jpg", "A map is written as .tif"), ("none/a.npy", "does not exist"), ("folder.npy", "is a folder")],
)
def test_bad_names(run, demo, tmp_path, out, message):
    (tmp_path / "folder.npy").mkdir()
    with pytest.raises(ConfigError, match=message):
        hsi.map_scene(run, demo, tmp_path / out)
