"""The arithmetic of estimates: rates of hsi bench, finished runs, workers, time left."""

from __future__ import annotations

import dataclasses
import json
from types import SimpleNamespace

import numpy as np
import pytest

from hsi.config import Config
from hsi.errors import ConfigError
from hsi.models import build_model, count_macs
from hsi.sweep.estimate import (
    START_CORE_SECONDS,
    Rates,
    RunSize,
    RuntimeEstimator,
    SceneSize,
    Sizes,
    core_seconds,
    measured_core_seconds,
    newest_bench,
    read_rates,
)
from hsi.sweep.forecast import time_left
from hsi.sweep.results import read_facts
from hsi.sweep.workers import PROCESS_MB, choose_workers, need_mb


def bench(date: str, device: str = "cpu") -> dict:
    rows = [
        {
            "name": name,
            "batch": 16,
            "macs": macs,
            "training": {"patches_per_second": 10.0, "peak_memory_mb": 320.0},
            "inference": {"patches_per_second": 40.0, "peak_memory_mb": 1.0},
        }
        for name, macs in (("densenet3d", 100), ("wcnet", 300), ("kanet", 500))
    ]
    machine = {"date": date, "device": device, "threads": 2}
    return {"machine": machine, "bands": 10, "patch": 3, "networks": rows}


def test_rates_are_macs_a_second_and_core(tmp_path):
    path = tmp_path / "bench-a.json"
    path.write_text(json.dumps(bench("2026-01-01")))
    rates = read_rates(path)
    assert rates.training == {"densenet3d": 500, "wcnet": 1500, "kanet": 2500}
    assert rates.of("wcnet", "inference") == 6000
    assert rates.of("ssrn", "training") == 1500  # the median stands for what was not measured
    assert rates.of("ssrn", "step_mb") == pytest.approx(320 / (16 * 90))
    assert Rates().of("ssrn", "training") is None


def test_the_newest_bench_of_the_device_counts(tmp_path):
    for name, date, device in (
        ("b", "2026-02-01", "cpu"),
        ("a", "2026-03-01", "cpu"),
        ("c", "2027-01-01", "cuda"),
    ):
        (tmp_path / f"bench-{name}.json").write_text(json.dumps(bench(date, device)))
    (tmp_path / "bench-broken.json").write_text("{")
    (tmp_path / "bench-list.json").write_text("[]")
    (tmp_path / "bench-bare.json").write_text('{"machine": {"date": "2030-01-01", "device": "cpu"}}')
    assert newest_bench([tmp_path], "cpu") == tmp_path / "bench-a.json"
    assert newest_bench([tmp_path / "none"], "cpu") is None


def test_an_estimate_by_hand(plan):
    run = dataclasses.replace(plan[0], config=plan[0].config.replace(epochs=7))
    rates = Rates({"densenet3d": 500.0}, {"densenet3d": 2000.0})
    size = RunSize(SceneSize(1000, 64, (300, 100)), 64, train=40, val=20, macs=50)
    # training 40 * 50 / 500 = 4 s and validation 20 * 50 / 2000 = 0.5 s an epoch; all 400 labelled once: 10 s
    assert core_seconds(run, size, rates) == pytest.approx(START_CORE_SECONDS + 7 * 4.5 + 10)
    turned = dataclasses.replace(run, config=run.config.replace(tta=True))
    assert core_seconds(turned, size, rates) == pytest.approx(START_CORE_SECONDS + 7 * 4.5 + 80)
    assert core_seconds(run, dataclasses.replace(size, macs=None), rates) is None
    assert core_seconds(run, size, Rates()) is None


def test_sizes_are_those_of_the_scene_and_the_network(plan):
    size = Sizes().of(plan[0])
    labelled = size.scene.labelled
    assert (size.features, size.scene.bands) == (30, 64)  # the demo's preset takes 30 components
    assert (size.train, size.val) == (round(0.1 * labelled), round(0.05 * labelled))
    classes = len(size.scene.counts)
    assert size.macs == count_macs(build_model("densenet3d", bands=30, classes=classes, patch=7), 30, 7)
    assert Sizes().of(plan[1]).macs is None


def test_one_cube_with_two_label_maps_is_two_scenes(plan, tmp_path):
    """A mask that fits the labels of each, and not those of the other."""
    labels = np.arange(1, 5).repeat(16).reshape(8, 8)
    np.save(tmp_path / "cube.npy", np.random.default_rng(0).random((8, 8, 4)))
    sizes = Sizes()
    for name, truth in (("four", labels), ("two", (labels + 1) // 2)):
        even = np.indices(truth.shape).sum(axis=0) % 2 == 0
        files = {
            "labels": truth,
            "train_mask": np.where(even, truth, 0),
            "test_mask": np.where(even, 0, truth),
        }
        for kind, content in files.items():
            np.save(tmp_path / f"{name}-{kind}.npy", content)
        options = {kind: str(tmp_path / f"{name}-{kind}.npy") for kind in files}
        config = Config(
            model="knn", dataset=str(tmp_path / "cube.npy"), scheme="mask", val=0.1, patch=3, **options
        )
        size = sizes.of(dataclasses.replace(plan[1], config=config))
        assert len(size.scene.counts) == truth.max()
        assert size.train + size.val == 32


def test_finished_runs_are_the_better_source(plan, finish):
    guesses = {run.key: 100.0 if run.model == "densenet3d" else None for run in plan}
    estimator = RuntimeEstimator(guesses)
    assert estimator.core_seconds(plan[0]) == 100
    assert estimator.core_seconds(plan[1]) is None
    assert estimator.total(plan) == 400
    assert estimator.total([plan[1]]) is None
    assert estimator.total([]) == 0
    finish(plan[0])
    taken = START_CORE_SECONDS + 2 * 24
    assert measured_core_seconds(read_facts(plan[0])) == taken
    estimator.learn_finished(plan)
    assert estimator.core_seconds(plan[4]) == taken  # the same cell, another seed
    assert estimator.core_seconds(plan[2]) == pytest.approx(taken)  # another protocol: its guess x 0.53
    estimator.learn(plan[1], 10)
    assert estimator.core_seconds(plan[3]) == 10  # the same model, another protocol, no guess


def test_time_left_is_shared_by_the_cores_but_no_run_is_cut(plan):
    estimator = RuntimeEstimator({run.key: 100.0 for run in plan})
    running = SimpleNamespace(run=plan[0], seconds=30.0)
    assert time_left(estimator, [running], plan[1:3], cores=2, threads=1) == pytest.approx((70 + 200) / 2)
    assert time_left(estimator, [running], [], cores=2, threads=1) == pytest.approx(70)
    late = SimpleNamespace(run=plan[0], seconds=300.0)
    assert time_left(estimator, [late], [], cores=2, threads=1) == 0
    assert time_left(RuntimeEstimator({}), [running], plan[1:], cores=2, threads=1) is None


def test_workers_follow_cores_memory_and_runs(monkeypatch):
    monkeypatch.setattr("hsi.sweep.workers.available_cores", lambda: 8)

    def chosen(*arguments, **options):
        made = choose_workers(*arguments, **options)
        return made.count, made.threads

    assert chosen(None, 100, 1000, free_mb=100_000) == (8, 1)
    assert chosen(None, 100, 1000, free_mb=4000) == (3, 2)
    assert chosen(None, 100, 1000, free_mb=100) == (1, 8)
    assert chosen(None, 2, 1000, free_mb=100_000) == (2, 4)
    assert chosen(None, 100, 1000, device="cuda") == (1, 8)
    assert chosen(3, 100, 1000, free_mb=10) == (3, 2)
    with pytest.raises(ConfigError, match="at least 1"):
        choose_workers(0, 1, 1000)


def test_memory_grows_with_the_step(plan):
    size = RunSize(SceneSize(2**18, 4, (300, 100)), 4, train=40, val=20, macs=50)  # a cube of 4 MiB
    config = plan[0].config
    step = 0.5 * config.batch * 4 * config.patch**2
    assert need_mb(plan[0], size, Rates(step_mb={"densenet3d": 0.5})) == PROCESS_MB + 3 * 4 + step
    assert need_mb(plan[1], dataclasses.replace(size, macs=None), Rates()) == PROCESS_MB + 12
