"""Maps of whole scenes from Python: memory, and nothing half-written."""

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest

import hsi
from hsi.datasets.unlabelled import load_unlabelled
from hsi.errors import ConfigError


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A 1D-CNN, trained for an epoch on separate areas of the generated scene."""
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
