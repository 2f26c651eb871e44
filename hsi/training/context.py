"""What a training starts from: options, scene, split, preprocessing, model; and what its trainer works on."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from hsi.config import Config
from hsi.datasets.bands import choose_bands, name_bands
from hsi.datasets.catalogue.published_masks import load_masks
from hsi.datasets.libraries.spectral_library import read_spectral_library
from hsi.datasets.libraries.spectrum import background_pixels, class_spectra, in_units_of
from hsi.datasets.mosaic import load_scenes
from hsi.datasets.parts import pixels_apart
from hsi.datasets.patches import PatchCutter
from hsi.datasets.preprocess import Preprocess
from hsi.datasets.scene import Scene
from hsi.datasets.splits.indices import Split
from hsi.datasets.splits.masks import MaskSource
from hsi.datasets.splits.schemes import make_split
from hsi.errors import ConfigError, SplitError
from hsi.inference.predict import build_network, make_cutter
from hsi.inference.run import Run
from hsi.models import model_entry
from hsi.models.device import choose_device, choose_precision
from hsi.models.protocols import Estimator
from hsi.models.spectral_matching import SpectralMatching
from hsi.runs.folder import resolve_path
from hsi.training.batches import check_batch, check_shares
from hsi.training.callbacks import Callback
from hsi.training.distributed import World
from hsi.training.fields import FieldGroups, field_differences, field_groups

PAPER_SEED = 1331  # the released code seeds the split of its n-th run with 1331 + n


def resolve_split(config: Config, scene: Scene, data_root: str | Path | None = None) -> Split:
    """Make or load the split that the options ask for; `data_root` has published masks, if not ``HSI_DATA``.

    Raises
    ------
    SplitError
        For a split that cannot be made, or that a network could learn nothing from.
    """
    if config.split is not None:
        split = Split.load(Path(config.split))
        split.check(scene)
    else:
        options: Mapping[str, Any] = {
            "train": config.train,
            "val": config.val,
            "guard": config.guard,
            "folds": config.folds,
            "fold": config.fold,
            "per_class": config.per_class,
            "masks": _masks(config, scene, data_root),
        }
        split = make_split(
            scene,
            scheme=config.scheme or "disjoint",
            patch=config.patch,
            seed=config.seed + (PAPER_SEED if config.scheme == "paper" else 0),
            **{name: value for name, value in options.items() if value is not None},
        )
    trained = np.bincount(scene.labels.ravel()[split.train], minlength=scene.classes + 1)[1:]
    untrained = [scene.class_names[i] for i in np.flatnonzero((trained == 0) & (np.array(scene.counts) > 0))]
    if config.library is not None:  # it has the spectra, and training pixels do not matter
        trained[:] = np.maximum(trained, 1)
        untrained = []
    if untrained and split.scheme != "disjoint":
        raise SplitError(f"No training pixel of {', '.join(untrained)}; give the split more training pixels.")
    if (trained > 0).sum() < 2:
        raise SplitError("The training pixels are of fewer than 2 classes; give the split more of them.")
    if not len(split.test):
        raise SplitError("The split leaves no pixel to test on; lower --train or --val.")
    return split


def _masks(config: Config, scene: Scene, data_root: str | Path | None) -> Mapping[str, MaskSource] | None:
    named = [name for name in ("split_mask", "train_mask", "test_mask") if getattr(config, name) is not None]
    if named and len(scene.parts) > 1:
        raise SplitError(
            f"{named[0]} marks pixels of one scene, but there are {len(scene.parts)}; use another scheme, or "
            "write a split of all with hsi split --out."
        )
    if config.split_mask is not None:
        return load_masks(config.split_mask, scene, data_root=data_root)
    files = {"train": config.train_mask, "test": config.test_mask}
    return {subset: file for subset, file in files.items() if file is not None} or None


def _own_pixels(scene: Scene, split: Split) -> NDArray[np.int64] | None:
    """Return the pixels of the scenes to train on, without those of a test scene; None: all of one scene."""
    if split.parts is None:
        return None
    trained = [number for number, part in enumerate(scene.parts, start=1) if not part.test]
    return np.flatnonzero(np.isin(split.parts, trained))


def give_spectra(
    model: SpectralMatching,
    config: Config,
    scene: Scene,
    keep: NDArray[np.int64] | None,
    run: Path | None = None,
) -> tuple[Scene, list[str]]:
    """Give a model the background of a scene and the spectra of the library, if the options name one.

    `keep` are the bands that are used, None for all; `run` is the folder of a run that is resumed. Returned
    are the scene, with the library's files among its sources, and notes.

    Raises
    ------
    SceneError
        For a library that cannot be read or does not fit the scene.
    """
    background = background_pixels(scene, keep) if model.needs_background else None
    if background is not None:
        model.set_background(background)
    if config.library is None:
        return scene, []
    file = config.library if run is None else resolve_path(config.library, run)
    library = read_spectral_library(file)
    where = f"the library {Path(file).name}"
    found = class_spectra(library, scene, keep, where)
    values, notes = found.values, [*library.notes, *found.notes]
    if background is not None:
        values, note = in_units_of(values, background, where)
        notes += [note] * bool(note)
    model.set_spectra(values, found.classes)
    return replace(scene, sources={**scene.sources, **library.sources()}), notes


@dataclass(frozen=True)
class TrainingInputs:
    """What a training starts from; `load_seconds` is the time it took to load and preprocess it."""

    config: Config
    scene: Scene
    split: Split
    preprocess: Preprocess
    model: nn.Module
    device: torch.device
    load_seconds: float

    @classmethod
    def from_config(
        cls, config: Config, data_root: str | Path | None, callback: Callback, world: World
    ) -> TrainingInputs:
        """Load the scene, split it, fit the preprocessing, and build the model.

        Raises
        ------
        InputError
            For options, scenes or sizes that cannot work.
        """
        model_entry(config.model)
        device = choose_device(config.device)
        world.set_device(device)
        choose_precision(config.precision, device)
        started = time.perf_counter()
        scene = load_scenes(
            config.dataset,
            test_scene=config.test_scene,
            labels=config.labels,
            cube_key=config.cube_key,
            labels_key=config.labels_key,
            data_root=data_root,
        )
        for note in scene.notes:
            callback.message(note)
        split = resolve_split(config, scene, data_root)
        for note in split.notes:
            callback.message(note)
        keep = choose_bands(scene, split.train, bands=config.bands, select=config.select_bands)
        if keep is not None:
            callback.message(f"{len(keep)} of {scene.bands} bands are used: {name_bands(keep)}.")
        preprocess = Preprocess(
            keep=keep,
            components=config.pca,
            common_scale=config.scale == "scene",
            as_measured=config.takes_measured,
        )
        on_all = config.scale_on == "all" or config.takes_measured
        features = preprocess.fit(scene.cube, _own_pixels(scene, split) if on_all else split.train)
        model = build_network(config, features.bands, scene.classes)
        if isinstance(model, SpectralMatching):
            scene, notes = give_spectra(model, config, scene, keep)
            for note in notes:
                callback.message(note)
        check_batch(model, config.model, config.batch)
        seconds = time.perf_counter() - started
        inputs = cls(config, scene, split, preprocess, model, training_device(model, device), seconds)
        inputs.check_world(world)
        return inputs

    @classmethod
    def from_run(cls, run: Run, data_root: str | Path | None, world: World) -> TrainingInputs:
        """Load what an unfinished run was started with.

        Raises
        ------
        RunError
            When the run is damaged, or the scene's labels have changed since.
        """
        started = time.perf_counter()
        scene = run.load_scene(data_root)
        model = build_network(run.config, run.preprocess.bands, scene.classes)
        if isinstance(model, SpectralMatching):
            bands = run.preprocess.band_list
            scene, _ = give_spectra(model, run.config, scene, None if bands is None else bands.keep, run.path)
        device = choose_device(run.config.device)
        world.set_device(device)
        device = training_device(model, device)
        seconds = time.perf_counter() - started
        inputs = cls(run.config, scene, run.split, run.preprocess, model, device, seconds)
        inputs.check_world(world)
        return inputs

    def check_world(self, world: World) -> None:
        """Refuse a training that several processes cannot share.

        Raises
        ------
        ConfigError
            For an estimator, and for batches that are too small to be shared.
        TrainingError
            When the processes have different splits, as from different label files.
        """
        if world.world_size > 1 and isinstance(self.model, Estimator):
            name = model_entry(self.config.model).name
            raise ConfigError(f"{name} is trained by one process; train it without torchrun.")
        split = self.split
        check_shares(self.config.batch, len(split.train), world.world_size)
        world.check_same("The split", map(torch.tensor, (split.train, split.val, split.test)))

    def context(self, folder: Path, callback: Callback, world: World) -> TrainingContext:
        """Move the model to its device, the same on all ranks, and return what a trainer works on."""
        self.model.to(self.device)
        world.broadcast_(self.model.state_dict().values())
        return TrainingContext(
            self.model,
            make_cutter(self.scene, self.preprocess, self.split, self.config, self.device),
            torch.from_numpy(self.scene.labels.ravel() - 1).to(self.device),
            self.split,
            self.config,
            folder,
            {"bands": self.scene.bands, "class_names": list(self.scene.class_names)},
            callback,
            world,
        )


def training_device(model: nn.Module, device: torch.device) -> torch.device:
    """Return where a model trains: `device`, or the CPU for an estimator."""
    return torch.device("cpu") if isinstance(model, Estimator) else device


@dataclass
class TrainingContext:
    """What a trainer works on.

    `targets` holds the class 0..C-1 of every pixel, -1 where unlabelled, on the training device, as the
    model; `facts` are written beside the weights that are kept.
    """

    model: nn.Module
    cutter: PatchCutter
    targets: Tensor
    split: Split
    config: Config
    folder: Path
    facts: dict[str, object]
    callback: Callback
    world: World = field(default_factory=World)

    def targets_of(self, pixels: NDArray[np.int64]) -> Tensor:
        """Return the classes 0..C-1 of some pixels, on the training device."""
        return self.targets[torch.tensor(pixels).to(self.targets.device)]

    def fields(self) -> FieldGroups:
        """Return the field of each training pixel."""
        pixels, shape = self.split.train, self.split.shape
        targets = self.targets_of(pixels).cpu().numpy()
        # So far apart that no field reaches from one image into another.
        places = pixels_apart(pixels, self.split.parts, sum(shape))
        return field_groups(places, targets, shape[1])

    def field_shifts(self) -> Tensor | None:
        """Return ``(fields, features)`` for `shift_spectra`, scaled by ``field_shift``; None if it is off."""
        if not self.config.field_shift:
            return None
        pixels = self.split.train
        classes = self.targets_of(pixels).cpu().numpy()
        rows = field_differences(self.cutter.spectra(pixels), classes, self.fields().group)
        return self.config.field_shift * rows
