"""Estimated run times of a sweep, in core-seconds: seconds times the cores that work on a run.

The first source that exists counts:

1. finished runs of the same cell (model, scene and protocol): their mean;
2. a result of `hsi bench`: epochs x (training patches / training rate + validation patches / inference rate)
   + labelled patches / inference rate, with the network's rates (patches/s) scaled by the
   multiply-accumulates (MACs) of a patch; a network that was not measured gets the median of the measured
   MACs per second;
3. finished runs of the same model on other scenes or protocols: their mean;
4. none: such runs are left out of sums, and the forecast says so.

Runs that finish during a sweep correct source 2 by the median ratio of measured to estimated time.
"""

from __future__ import annotations

import json
import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from hsi.config import Config
from hsi.datasets import Scene
from hsi.datasets.bands import parse_bands
from hsi.datasets.catalogue.entries import find_entry
from hsi.datasets.mosaic import load_scenes
from hsi.models import cost_of
from hsi.models.registry import build_with
from hsi.runs.status import RunState
from hsi.sweep.plan import PlannedRun
from hsi.sweep.results import Facts, read_facts
from hsi.training.context import resolve_split


@dataclass(frozen=True)
class SceneSize:
    """Pixels of a scene, its bands, and its labelled pixels by class."""

    pixels: int
    bands: int
    counts: tuple[int, ...]

    @property
    def labelled(self) -> int:
        """Number of labelled pixels."""
        return sum(self.counts)


@dataclass(frozen=True)
class RunSize:
    """Features a network gets, pixels by subset, and MACs of a patch (None if the model is no network)."""

    scene: SceneSize
    features: int
    train: int
    val: int
    macs: int | None


class Sizes:
    """Sizes of runs; each scene is loaded, and each network built, at most once."""

    def __init__(self, data_root: str | Path | None = None) -> None:
        self.data_root = data_root
        self.known: dict[tuple[object, ...], SceneSize] = {}
        self.loaded: dict[tuple[object, ...], Scene] = {}
        self.macs: dict[tuple[object, ...], int | None] = {}
        self.parts: dict[tuple[object, ...], tuple[int, int]] = {}

    def of(self, run: PlannedRun) -> RunSize:
        """Return the size of a run.

        Raises
        ------
        InputError
            For a scene that cannot be loaded, or a network that cannot take it.
        """
        config = run.config
        scene = self._scene(config)
        features = self._features(config, scene)
        train, val = self._parts(config, scene)
        return RunSize(scene, features, train, val, self._macs(config, features, len(scene.counts)))

    def _features(self, config: Config, scene: SceneSize) -> int:
        """Return the number of bands or components that a network gets."""
        bands = scene.bands
        if config.bands is not None:
            whole = self._load(config)
            bands = len(parse_bands(config.bands, whole.bands, whole.wavelengths_nm, whole.sensor))
        return min([bands, *(most for most in (config.select_bands, config.pca) if most)])

    def _scene(self, config: Config) -> SceneSize:
        key = _files(config)
        if key not in self.known:
            alone = isinstance(config.dataset, str) and config.test_scene is None
            entry = find_entry(config.dataset) if isinstance(config.dataset, str) and alone else None
            if entry is not None and entry.shape is not None and entry.class_counts:
                rows, cols, bands = entry.shape
                self.known[key] = SceneSize(rows * cols, bands, entry.class_counts)
            else:
                scene = self._load(config)
                self.known[key] = SceneSize(scene.rows * scene.cols, scene.bands, scene.counts)
        return self.known[key]

    def _load(self, config: Config) -> Scene:
        key = _files(config)
        if key not in self.loaded:
            self.loaded[key] = load_scenes(
                config.dataset,
                test_scene=config.test_scene,
                labels=config.labels,
                cube_key=config.cube_key,
                labels_key=config.labels_key,
                data_root=self.data_root,
            )
        return self.loaded[key]

    def _parts(self, config: Config, scene: SceneSize) -> tuple[int, int]:
        """Return the numbers of training and validation pixels, by their shares where options give shares."""
        folds = getattr(config, "folds", None)
        if folds:
            return round(scene.labelled * max(folds - 2, 1) / folds), round(scene.labelled / folds)
        if config.train is not None:
            return round(scene.labelled * config.train), round(scene.labelled * (config.val or 0))
        if config.per_class is not None:
            train = sum(min(config.per_class, count) for count in scene.counts)
            return train, round(scene.labelled * (config.val or 0))
        names = ("scheme", "split", "split_mask", "train_mask", "test_mask", "val")
        key = (*_files(config), *(getattr(config, name, None) for name in names))
        if key not in self.parts:
            split = resolve_split(config, self._load(config), self.data_root)
            self.parts[key] = (len(split.train), len(split.val))
        return self.parts[key]

    def _macs(self, config: Config, features: int, classes: int) -> int | None:
        options = config.model_options
        key = (config.model, repr(sorted(options.items())), features, classes, config.patch)
        if key not in self.macs:
            network = build_with(config.model, features, classes, config.patch, options)
            self.macs[key] = cost_of(network, features, config.patch)["macs"]
        return self.macs[key]


def _files(config: Config) -> tuple[object, ...]:
    """Return what identifies a scene: one cube may have several label maps."""
    return *config.datasets, config.test_scene, config.labels, config.cube_key, config.labels_key


def cube_megabytes(scene: SceneSize) -> float:
    """Return the size of the cube as float32, MB."""
    return scene.pixels * scene.bands * np.dtype(np.float32).itemsize / 2**20


START_CORE_SECONDS = 5.0  # importing PyTorch and loading a scene
SYMMETRIES = 8  # patches that test-time augmentation makes of one


@dataclass(frozen=True)
class Rates:
    """Rates of `hsi bench` by network.

    ``training`` and ``inference``: forward MACs per second and core (divided by the MACs of a patch: patches
    per second); ``step_mb``: MB of a training step for each value of its input (batch x bands x P x P).
    """

    training: Mapping[str, float] = field(default_factory=dict)
    inference: Mapping[str, float] = field(default_factory=dict)
    step_mb: Mapping[str, float] = field(default_factory=dict)

    def of(self, model: str, kind: str) -> float | None:
        """Return the rate `kind` of a network, else the median of all; None if nothing was measured."""
        rates: Mapping[str, float] = getattr(self, kind)
        return rates.get(model, statistics.median(rates.values()) if rates else None)


def read_rates(path: Path) -> Rates:
    """Read the rates from a result file of `hsi bench`."""
    result: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    machine, rows = result["machine"], result["networks"]
    threads = machine["threads"] if machine["device"] == "cpu" else 1
    patch = result["bands"] * result["patch"] ** 2
    training, inference = (
        {row["name"]: row[kind]["patches_per_second"] * row["macs"] / threads for row in rows}
        for kind in ("training", "inference")
    )
    step_mb = {
        row["name"]: row["training"]["peak_memory_mb"] / (row["batch"] * patch)
        for row in rows
        if row["training"].get("peak_memory_mb")
    }
    return Rates(training, inference, step_mb)


def newest_bench(folders: Iterable[Path], device: str) -> Path | None:
    """Return the newest result of `hsi bench` for a kind of device ("cpu", "cuda") in some folders."""
    found: list[tuple[str, Path]] = []
    for folder in folders:
        for path in sorted(folder.glob("bench-*.json")):
            try:
                machine = json.loads(path.read_text(encoding="utf-8"))["machine"]
                read_rates(path)  # a file without rates is skipped
                if str(machine["device"]).split()[0] == device:
                    found.append((machine["date"], path))
            except (OSError, ValueError, KeyError, TypeError):
                continue
    return max(found)[1] if found else None


def core_seconds(run: PlannedRun, size: RunSize, rates: Rates) -> float | None:
    """Return the estimate from `hsi bench`; None without MACs or rates."""
    training, inference = (rates.of(run.config.model, kind) for kind in ("training", "inference"))
    if size.macs is None or not training or not inference:
        return None
    config = run.config
    epoch = size.train * size.macs / training + size.val * size.macs / inference
    views = SYMMETRIES if getattr(config, "tta", False) else 1
    final = views * size.scene.labelled * size.macs / inference
    return START_CORE_SECONDS + config.epochs * epoch + final


def measured_core_seconds(facts: Facts) -> float:
    """Return what a finished run took, by its folder."""
    threads = facts["environment"].get("threads") or 1
    cores = threads if facts["device"] == "cpu" else 1
    return START_CORE_SECONDS + cores * sum(facts["seconds"].values())


class RuntimeEstimator:
    """Estimates the runs of a plan, and learns from those that finish.

    `guesses` are the estimates from `hsi bench` by run key, None where there is none.
    """

    def __init__(self, guesses: Mapping[str, float | None]) -> None:
        self.guesses = guesses
        self.taken: dict[str, list[float]] = defaultdict(list)  # core-seconds by cell
        self.ratios: list[float] = []

    def learn(self, run: PlannedRun, taken: float) -> None:
        """Record the core-seconds of a whole run."""
        self.taken[run.cell].append(taken)
        guess = self.guesses.get(run.key)
        if guess:
            self.ratios.append(taken / guess)

    def learn_finished(self, plan: Iterable[PlannedRun]) -> None:
        """Record the runs of a plan that are finished already."""
        for run in plan:
            if run.state is RunState.DONE:
                self.learn(run, measured_core_seconds(read_facts(run)))

    def core_seconds(self, run: PlannedRun) -> float | None:
        """Return the estimate for a whole run, or None."""
        if self.taken[run.cell]:
            return statistics.mean(self.taken[run.cell])
        guess = self.guesses.get(run.key)
        if guess is not None:
            return guess * (statistics.median(self.ratios) if self.ratios else 1.0)
        alike = [
            seconds
            for cell, taken in self.taken.items()
            for seconds in taken
            if cell.rpartition("/")[2] == run.model
        ]
        return statistics.mean(alike) if alike else None

    def total(self, runs: Sequence[PlannedRun]) -> float | None:
        """Return the sum over the runs that have an estimate; None if none has."""
        known = [seconds for run in runs if (seconds := self.core_seconds(run)) is not None]
        return sum(known) if known or not runs else None
