"""Every series of growth is measured at every size with its work; never how fast it was."""

from __future__ import annotations

import dataclasses
import json
import sys

import numpy as np
import pytest
from scipy import ndimage

import hsi
from benchmarks.growth import axes, networks, pixels, processes
from benchmarks.growth.__main__ import main
from benchmarks.growth.axes import AXES, run_growth
from benchmarks.growth.points import read_points
from benchmarks.growth.scale import FULL_GROWTH, QUICK_GROWTH, GrowthScale
from benchmarks.growth.scenes import field_labels, write_scene
from benchmarks.growth.series import Context, Measured, Series
from hsi.bench import Setting
from hsi.errors import ConfigError, HsiError

TINY = GrowthScale(
    bands=(8, 12), patches=(7, 9), sides=(32, 40), area_sides=(40, 48), processes=(2,), patch=7, batch=2,
    classes=3, bands_of_patches=8, bands_of_pixels=8, bands_of_area=6, labelled_side=32,
    processes_side=24, epochs=2, visits=1, rounds=1, seconds=0.0,
)  # fmt: skip
ONE = Setting("cpu", 1)


def measured(*names):
    found = run_growth(ONE, TINY, only=names)
    assert all(point.seconds_min <= point.seconds_median for point in found.points)
    assert all(point.peak_memory_mb is None or point.peak_memory_mb >= 0 for point in found.points)
    return found


@pytest.mark.parametrize("axis", ["bands", "patch"])
def test_networks_along(axis, monkeypatch):
    monkeypatch.setattr(networks, "network_names", lambda: ["densenet3d"])
    found = measured(axis)
    sizes = TINY.bands if axis == "bands" else TINY.patches
    assert [(point.series, point.value) for point in found.points] == [
        (f"densenet3d, {kind}", size) for kind in ("training", "inference") for size in sizes
    ]
    for size in sizes:
        bands, patch = (size, TINY.patch) if axis == "bands" else (TINY.bands_of_patches, size)
        model = hsi.build_model("densenet3d", bands=bands, classes=TINY.classes, patch=patch)
        macs = hsi.models.count_macs(model, bands, patch)
        work = {point.series: point.work for point in found.points if point.value == size}
        assert work == {
            "densenet3d, training": 3 * TINY.batch * macs,
            "densenet3d, inference": TINY.batch * macs,
        }


def test_all_networks_but_no_baseline():
    names = networks.network_names()
    # Other tests may have registered more.
    assert names[:6] == ["densenet3d", "stnet", "kanet", "ekgnet", "wcnet", "sgdscnet"]
    assert not {"svm", "forest", "logistic", "knn", "cnn1d", "hybridsn", "ssrn", "spectralformer"} & {*names}


def test_pixels_and_area():
    found = measured("pixels", "area")
    series = {}
    for point in found.points:
        assert point.work == point.value
        assert point.unit == "pixels"
        series.setdefault((point.axis, point.series), []).append(point.value)
    assert {axis for axis, _ in series} == {"labelled pixels", "scene area"}
    assert len(series) == 7 + 4
    for (axis, _), sizes in series.items():
        assert sizes == ([1024, 1600] if axis == "labelled pixels" else [1600, 2304])


def test_processes(monkeypatch):
    monkeypatch.setattr(processes, "available_cores", lambda: 2)
    (point,) = measured("processes").points
    assert (point.value, point.unit) == (2, "pixels a process")
    assert point.work == pytest.approx(0.4 * 576 / 2, abs=3)
    assert point.repeats == TINY.epochs - 1


def test_failed_training_gives_its_message(monkeypatch):
    script = "import sys; print('before', file=sys.stderr); sys.exit('hsi: No such network.')"
    monkeypatch.setattr(processes, "torchrun", lambda count: [sys.executable, "-c", script])
    with pytest.raises(HsiError, match=r"with 1 processes failed under torchrun: hsi: No such network\.$"):
        run_growth(ONE, dataclasses.replace(TINY, processes=(1,)), only=["processes"])


def test_no_more_processes_than_cores(monkeypatch):
    monkeypatch.setattr(processes, "available_cores", lambda: 3)
    (series,) = processes.processes_series(FULL_GROWTH, ONE)
    assert series.sizes == (1, 2)


def die(size, context):
    import os

    os._exit(1)


def test_process_that_dies_is_one_sentence(tmp_path):
    series = Series("bands", "x", "MACs", (3,), die)
    with pytest.raises(HsiError, match="Measuring 'x' at bands 3 ended with its process"):
        series.visit(3, Context(TINY, ONE, tmp_path))


def test_visits_take_turns_and_are_combined(monkeypatch):
    seen = []

    class Recorder(Series):
        def visit(self, size, context):
            seen.append((self.name, size))
            count = len(seen)
            return Measured(7.0, (count, count + 10.0), None if count == 1 else 1.0 * count)

    made = [Recorder("bands", name, "MACs", (1, 2), die) for name in "ab"]
    monkeypatch.setattr(axes, "_series", lambda axis, context: made)
    scale = dataclasses.replace(TINY, visits=2)
    first, *_, last = run_growth(ONE, scale, only=["bands"]).points
    assert seen == [("a", 1), ("a", 2), ("b", 1), ("b", 2)] * 2
    assert (first.series, first.value, first.repeats) == ("a", 1, 4)
    assert (first.seconds_min, first.seconds_median, first.peak_memory_mb) == (1, 8, 5)  # 1, 11, 5, 15
    assert (last.series, last.value, last.seconds_min, last.peak_memory_mb) == ("b", 2, 4, 8)


def test_first_epoch_is_not_counted(tmp_path):
    made = pixels.measure_epoch(32, Context(dataclasses.replace(TINY, epochs=4), ONE, tmp_path))
    assert isinstance(made, Measured)
    assert len(made.seconds) == 3
    assert made.work == 1024
    assert list(tmp_path.iterdir()) == []


def test_scales_have_enough_sizes_to_fit():
    for scale in (FULL_GROWTH, QUICK_GROWTH):
        for name in ("bands", "patches", "sides", "area_sides"):
            sizes = getattr(scale, name)
            assert len(sizes) >= 3
            assert list(sizes) == sorted(set(sizes))
        assert all(patch % 2 for patch in (*scale.patches, scale.patch))


def test_larger_scenes_have_more_fields_of_one_size(tmp_path):
    labels = field_labels(48, 3)
    assert set(np.unique(labels)) == {1, 2, 3}
    for row in range(0, 48, 16):
        for col in range(0, 48, 16):
            assert len(np.unique(labels[row : row + 16, col : col + 16])) == 1
    part = field_labels(48, 3, 20)
    assert (part > 0).sum() == 400
    assert ndimage.find_objects((part > 0).astype(int))[0] == (slice(0, 20), slice(0, 20))
    cube_path, labels_path = write_scene(tmp_path, labels, 5)
    scene = hsi.load_scene(cube_path, labels=labels_path)
    assert (scene.rows, scene.cols, scene.bands) == (48, 48, 5)
    assert np.array_equal(scene.labels, labels)
    cube = np.load(cube_path)
    assert cube.dtype == np.float32
    means = [cube[labels == label].mean(axis=0) for label in (1, 2, 3)]
    assert np.abs(means[0] - means[1]).max() > 0.05


@pytest.mark.parametrize(
    ("setting", "only", "message"),
    [(ONE, ["band"], "axis"), (Setting("cpu", 1, "bf16"), [], "cannot train networks in bf16")],
)
def test_bad_axis_or_precision(setting, only, message):
    with pytest.raises(ConfigError, match=message):
        run_growth(setting, TINY, only=only)


@pytest.fixture
def one_network(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setattr("benchmarks.growth.__main__.FULL_GROWTH", TINY)
    monkeypatch.setattr(networks, "network_names", lambda: ["densenet3d"])


def test_command(one_network, capsys, tmp_path):
    arguments = ["--only", "bands", "--device", "cpu", "--out", str(tmp_path)]
    assert main([*arguments, "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    (path,) = tmp_path.iterdir()
    assert path.name.startswith("growth-")
    assert path.suffix == ".csv"
    assert [point["value"] for point in shown["points"]] == [8, 12, 8, 12]
    assert [series["series"] for series in shown["series"]] == [
        "densenet3d, training",
        "densenet3d, inference",
    ]
    assert len(read_points(path).points) == 4
    assert main(arguments) == 0
    assert "Exponents along bands" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [["--out", "nowhere/growth.csv"], ["--threads", "0"]])
def test_bad_input_is_one_sentence(arguments, capsys):
    assert main(arguments) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert len(shown.err.splitlines()) == 1


def test_axes_are_all_measured():
    context = Context(TINY, ONE, None)
    assert {series.axis for axis in AXES for series in axes._series(axis, context)} == {
        "bands",
        "patch",
        "labelled pixels",
        "scene area",
        "ranks",
    }
