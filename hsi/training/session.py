"""One training from options to a finished run folder: what it is made from, and going on with it."""

from __future__ import annotations

import json
import time
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import Any

import torch

from hsi.datasets import load_scene
from hsi.datasets.band_choice import choose_bands
from hsi.datasets.bands import name_bands
from hsi.datasets.preprocess import Preprocess
from hsi.datasets.scene import Scene
from hsi.datasets.split import Split
from hsi.errors import RunError, StorageError
from hsi.files.atomic import make_folder
from hsi.files.signals import signals_wait
from hsi.models import model_entry
from hsi.runs.atomic import write_text, written_whole
from hsi.runs.building import build_network
from hsi.runs.config import Config
from hsi.runs.device import choose_device, choose_precision
from hsi.runs.environment import describe_environment
from hsi.runs.folder import Run
from hsi.runs.run_format import RUN_FORMAT
from hsi.runs.state import clear_stillborn, is_stillborn
from hsi.runs.work import at_work, tidy
from hsi.training.batches import check_batch
from hsi.training.outcome import check_ranks, device_of, fit_and_score
from hsi.training.ranks import Ranks
from hsi.training.settle import settle
from hsi.training.split import split_of
from hsi.training.watcher import Watcher


def train(
    model: str | None = None,
    dataset: str | None = None,
    *,
    out: str | Path | None = None,
    config: str | Path | None = None,
    data_root: str | Path | None = None,
    watcher: Watcher | None = None,
    ranks: Ranks | None = None,
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
        Told of each epoch; see `hsi.training.watcher.Watcher`.
    ranks
        The processes that share this training; all of them call with the same arguments. Default: this one.
    **options
        Any option of `hsi.runs.config.Config`, such as ``seed=0, protocol="disjoint", epochs=30``.

    Raises
    ------
    InputError
        For options, scenes or sizes that cannot work; nothing is written then.
    TrainingError
        When the loss stops being a number; the run folder keeps its checkpoints.
    """
    settled = settle(model, dataset, config=config, **options)
    return train_settled(settled, out=out, data_root=data_root, watcher=watcher, ranks=ranks)


def train_settled(
    settled: Config,
    *,
    out: str | Path | None = None,
    data_root: str | Path | None = None,
    watcher: Watcher | None = None,
    ranks: Ranks | None = None,
) -> Run:
    """Do what `train` does, with every option settled already."""
    watcher, ranks = watcher or Watcher(), ranks or Ranks()
    model_entry(settled.model)
    device = choose_device(settled.device)
    ranks.place(device)
    choose_precision(settled.precision, device)

    started = time.perf_counter()
    scene = _load_scene(settled, data_root)
    for note in scene.notes:
        watcher.say(note)
    split = split_of(settled, scene, data_root)
    for note in split.notes:
        watcher.say(note)
    keep = choose_bands(scene, split.train, bands=settled.bands, select=settled.select_bands)
    if keep is not None:
        watcher.say(f"{len(keep)} of {scene.bands} bands are used: {name_bands(keep)}.")
    preprocess = Preprocess(keep=keep, components=settled.pca, common_scale=settled.scale == "scene")
    pixels = None if settled.scale_on == "all" else split.train
    features = preprocess.fit(scene.cube, pixels)
    network = build_network(settled, features.bands, scene.classes)
    check_batch(network, settled.model, settled.batch)
    check_ranks(network, settled, split, ranks)
    device = device_of(network, device)
    folder = ranks.once(lambda: _unused_folder(out, settled, scene))
    with ExitStack() as stack:

        def begin() -> None:
            _make_folder(folder)
            stack.enter_context(at_work(folder))
            _refuse_used(folder)
            try:
                _write_inputs(folder, settled, scene, split, preprocess, device)
            except StorageError:
                clear_stillborn(folder)
                raise

        with signals_wait():  # so that Ctrl-C finds no folder, or a run to go on with
            ranks.once(begin)
            watcher.begun(folder)
        load_seconds = time.perf_counter() - started
        return fit_and_score(
            folder, settled, scene, split, preprocess, network, device, watcher, load_seconds, ranks
        )


def resume(
    folder: str | Path,
    *,
    data_root: str | Path | None = None,
    watcher: Watcher | None = None,
    ranks: Ranks | None = None,
) -> Run:
    """Go on with an interrupted training; a finished run is returned as it is.

    The number of `ranks` may be another one than before.

    Raises
    ------
    RunError
        When the folder is not a run, another process is at work in it, or the scene's labels have changed
        since.
    """
    watcher, ranks = watcher or Watcher(), ranks or Ranks()
    run = Run(folder)
    if (run.path / "metrics.json").is_file():
        watcher.say(f"The run '{run.path}' is finished already; nothing to resume.")
        ranks.once(lambda: tidy(run.path))
        return run
    watcher.begun(run.path)
    with ExitStack() as stack:
        ranks.once(lambda: stack.enter_context(at_work(run.path)))
        started = time.perf_counter()
        scene = run.load_scene(data_root)
        network = build_network(run.config, run.preprocess.bands, scene.classes)
        device = choose_device(run.config.device)
        ranks.place(device)
        device = device_of(network, device)
        check_ranks(network, run.config, run.split, ranks)
        load_seconds = time.perf_counter() - started
        return fit_and_score(
            run.path,
            run.config,
            scene,
            run.split,
            run.preprocess,
            network,
            device,
            watcher,
            load_seconds,
            ranks,
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
    if folder.exists() and not is_stillborn(folder):
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
