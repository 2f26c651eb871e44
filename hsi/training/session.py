"""One training from options to a finished run folder: what it is made from, and going on with it."""

from __future__ import annotations

import json
import time
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import Any

import torch

from hsi.config import Config, make_config, read_config, resolve_config
from hsi.datasets import load_scene
from hsi.datasets.bands import choose_bands, name_bands
from hsi.datasets.preprocess import Preprocess
from hsi.datasets.scene import Scene
from hsi.datasets.splits.indices import Split
from hsi.errors import RunError, StorageError
from hsi.inference.predict import build_network
from hsi.inference.run import Run
from hsi.io.files import make_folder, write_text, written_whole
from hsi.io.locks import run_lock, tidy
from hsi.io.signals import signals_wait
from hsi.models import model_entry
from hsi.models.device import choose_device, choose_precision
from hsi.runs.environment import describe_environment
from hsi.runs.run_files import RUN_FORMAT
from hsi.runs.status import clear_unstarted, is_unstarted
from hsi.training.batches import check_batch
from hsi.training.callbacks import Callback
from hsi.training.distributed import World
from hsi.training.fit import check_ranks, device_of, fit_and_score
from hsi.training.inputs import split_of


def train(
    model: str | None = None,
    dataset: str | None = None,
    *,
    out: str | Path | None = None,
    config: str | Path | None = None,
    data_root: str | Path | None = None,
    callback: Callback | None = None,
    world: World | None = None,
    **options: Any,
) -> Run:
    """Train a network on a scene and score it; return the finished run.

    Parameters
    ----------
    model, dataset
        A network's name; a scene's short name, ``scene.toml``, or array file (with ``labels=FILE``).
    out
        The run folder to make; default ``runs/MODEL-DATASET-PROTOCOL-...``.
    config
        A TOML file with options; keywords win over it.
    data_root
        Where scene files lie, if not under ``HSI_DATA``.
    watcher
        Told of each epoch; see `hsi.training.callbacks.Callback`.
    ranks
        The processes that share this training; all of them call with the same arguments. Default: this one.
    **options
        Any option of `hsi.config.Config`, such as ``seed=0, protocol="disjoint", epochs=30``.

    Raises
    ------
    InputError
        For options, scenes or sizes that cannot work; nothing is written then.
    TrainingError
        When the loss stops being a number; the run folder keeps its checkpoints.
    """
    resolved = resolve_config({"model": model, "dataset": dataset, **options}, config)
    return train_config(resolved, out=out, data_root=data_root, callback=callback, world=world)


def train_config(
    config: Config,
    *,
    out: str | Path | None = None,
    data_root: str | Path | None = None,
    callback: Callback | None = None,
    world: World | None = None,
) -> Run:
    """Do what `train` does, with every option resolved."""
    callback, world = callback or Callback(), world or World()
    model_entry(config.model)
    device = choose_device(config.device)
    world.place(device)
    choose_precision(config.precision, device)

    started = time.perf_counter()
    scene = _load_scene(config, data_root)
    for note in scene.notes:
        callback.message(note)
    split = split_of(config, scene, data_root)
    for note in split.notes:
        callback.message(note)
    keep = choose_bands(scene, split.train, bands=config.bands, select=config.select_bands)
    if keep is not None:
        callback.message(f"{len(keep)} of {scene.bands} bands are used: {name_bands(keep)}.")
    preprocess = Preprocess(keep=keep, components=config.pca, common_scale=config.scale == "scene")
    pixels = None if config.scale_on == "all" else split.train
    features = preprocess.fit(scene.cube, pixels)
    network = build_network(config, features.bands, scene.classes)
    check_batch(network, config.model, config.batch)
    check_ranks(network, config, split, world)
    device = device_of(network, device)
    folder = world.on_rank_zero(lambda: _unused_folder(out, config, scene))
    with ExitStack() as stack:

        def begin() -> None:
            _make_folder(folder)
            stack.enter_context(run_lock(folder))
            _refuse_used(folder)
            try:
                _write_inputs(folder, config, scene, split, preprocess, device)
            except StorageError:
                clear_unstarted(folder)
                raise

        with signals_wait():  # so that Ctrl-C finds no folder, or a run to go on with
            world.on_rank_zero(begin)
            callback.on_run_folder(folder)
        load_seconds = time.perf_counter() - started
        return fit_and_score(
            folder, config, scene, split, preprocess, network, device, callback, load_seconds, world
        )


def resume(
    folder: str | Path,
    *,
    data_root: str | Path | None = None,
    callback: Callback | None = None,
    world: World | None = None,
) -> Run:
    """Go on with an interrupted training; a finished run is returned as it is.

    The number of `world` may be another one than before.

    Raises
    ------
    RunError
        When the folder is not a run, another process is at work in it, or the scene's labels have changed
        since.
    """
    callback, world = callback or Callback(), world or World()
    run = Run(folder)
    if (run.path / "metrics.json").is_file():
        callback.message(f"The run '{run.path}' is finished already; nothing to resume.")
        world.on_rank_zero(lambda: tidy(run.path))
        return run
    make_config(read_config(run.path / "config.toml"))  # refuses what went since the run was begun
    callback.on_run_folder(run.path)
    with ExitStack() as stack:
        world.on_rank_zero(lambda: stack.enter_context(run_lock(run.path)))
        started = time.perf_counter()
        scene = run.load_scene(data_root)
        network = build_network(run.config, run.preprocess.bands, scene.classes)
        device = choose_device(run.config.device)
        world.place(device)
        device = device_of(network, device)
        check_ranks(network, run.config, run.split, world)
        load_seconds = time.perf_counter() - started
        return fit_and_score(
            run.path,
            run.config,
            scene,
            run.split,
            run.preprocess,
            network,
            device,
            callback,
            load_seconds,
            world,
        )


def _load_scene(config: Config, data_root: str | Path | None) -> Scene:
    return load_scene(
        config.dataset,
        labels=config.labels,
        cube_key=config.cube_key,
        labels_key=config.labels_key,
        data_root=data_root,
    )


def _unused_folder(out: str | Path | None, config: Config, scene: Scene) -> Path:
    folder = _name_folder(out, config, scene)
    _refuse_used(folder)
    return folder


def _name_folder(out: str | Path | None, config: Config, scene: Scene) -> Path:
    if out is not None:
        return Path(out)
    stamp = datetime.now().strftime("%Y%m%d-%H%M%S")
    name = model_entry(config.model).name
    return Path("runs") / f"{name}-{scene.name}-{config.protocol}-seed{config.seed}-{stamp}"


def _refuse_used(folder: Path) -> None:
    """Refuse a folder that holds a run or something else; what a killed training left is no run yet."""
    if (folder / "config.toml").exists():
        raise RunError(
            f"'{folder}' holds a run already; go on with it by --resume {folder}, or choose another --out."
        )
    if folder.exists() and not is_unstarted(folder):
        raise RunError(f"'{folder}' is there already and is not an empty folder; choose another --out.")


def _make_folder(folder: Path) -> None:
    try:
        make_folder(folder / "checkpoint")
    except OSError as error:
        raise RunError(f"The run folder '{folder}' cannot be made: {error.strerror}.") from None


def _write_inputs(
    folder: Path,
    config: Config,
    scene: Scene,
    split: Split,
    preprocess: Preprocess,
    device: torch.device,
) -> None:
    """Write what the run is made from; config.toml comes last, since it makes the folder a run."""
    split.save(folder / "split.npz")
    with written_whole(folder / "preprocess.npz") as temporary:
        preprocess.save(temporary)
    environment = {"run_format": RUN_FORMAT, **describe_environment(device, scene)}
    write_text(folder / "environment.json", json.dumps(environment, indent=1) + "\n")
    write_text(folder / "config.toml", config.to_toml())
