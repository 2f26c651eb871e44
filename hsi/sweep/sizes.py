"""What a run will have to go through, without training: bands, classes, pixels, work."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hsi.datasets import Scene, load_scene
from hsi.datasets.bands import parse_bands
from hsi.datasets.catalogue import find_entry
from hsi.models import cost_of
from hsi.models.registry import build_with
from hsi.runs.config import Config
from hsi.sweep.plan import PlannedRun
from hsi.training.split import split_of


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
    """What one run goes through: features and patch width, pixels by part, multiply-accumulates of a patch.

    ``macs`` is None for a model whose work PyTorch cannot count, such as an SVM.
    """

    scene: SceneSize
    features: int
    train: int
    val: int
    macs: int | None


class Sizes:
    """Sizes of the runs of a plan; each scene is loaded, and each network built, once at most.

    Parameters
    ----------
    data_root
        Where scene files lie, if not under ``HSI_DATA``.
    """

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
        """Return how many bands or components a network gets."""
        bands = scene.bands
        if config.bands is not None:
            whole = self._load(config)
            bands = len(parse_bands(config.bands, whole.bands, whole.wavelengths_nm, whole.sensor))
        return min([bands, *(most for most in (config.select_bands, config.pca) if most)])

    def _scene(self, config: Config) -> SceneSize:
        key = _files(config)
        if key not in self.known:
            entry = find_entry(config.dataset)
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
            self.loaded[key] = load_scene(
                config.dataset,
                labels=config.labels,
                cube_key=config.cube_key,
                labels_key=config.labels_key,
                data_root=self.data_root,
            )
        return self.loaded[key]

    def _parts(self, config: Config, scene: SceneSize) -> tuple[int, int]:
        """Return the training and validation pixels; those of areas and draws as their shares say."""
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
            split = split_of(config, self._load(config), self.data_root)
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
    """Return what tells scenes apart: one cube may have several label maps."""
    return config.dataset, config.labels, config.cube_key, config.labels_key


def cube_megabytes(scene: SceneSize) -> float:
    """Return what the cube takes as float32."""
    return scene.pixels * scene.bands * np.dtype(np.float32).itemsize / 2**20
