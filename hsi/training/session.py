"""One training from options to a finished run folder: set up, fit, score, write down."""

from __future__ import annotations

import json
import sys
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import torch
from torch import nn

from hsi.datasets import load_scene, scene_entry
from hsi.datasets.preprocess import Preprocess
from hsi.datasets.scene import Scene
from hsi.datasets.split import Split
from hsi.errors import RunError, SceneNotFoundError
from hsi.mapping.predict import predict_labels
from hsi.models import count_macs, model_entry
from hsi.runs.atomic import write_text, written_whole
from hsi.runs.checkpoint import BEST, LAST, load_weights
from hsi.runs.config import Config, read_config
from hsi.runs.device import autocast, choose_device, choose_precision
from hsi.runs.environment import describe_environment, device_name
from hsi.runs.folder import PARTS, Run, build_network, make_cutter
from hsi.runs.predictions import save_predictions
from hsi.runs.protocols import resolve
from hsi.scoring import score
from hsi.training.loop import Trainer
from hsi.training.split import split_of
from hsi.training.watcher import Watcher

RUN_FORMAT = 1


def train(
    model: str | None = None,
    dataset: str | None = None,
    *,
    out: str | Path | None = None,
    config: str | Path | None = None,
    data_root: str | Path | None = None,
    watcher: Watcher | None = None,
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
    **options
        Any option of `hsi.runs.config.Config`, such as ``seed=0, protocol="disjoint", epochs=30``.

    Raises
    ------
    InputError
        For options, scenes or sizes that cannot work; nothing is written then.
    TrainingError
        When the loss stops being a number; the run folder keeps its checkpoints.
    """
    watcher = watcher or Watcher()
    given = {"model": model, "dataset": dataset, **options}
    file = read_config(Path(config)) if config is not None else {}
    settled = resolve(given, file, **_defaults_of_scene(dataset or file.get("dataset")))
    model_entry(settled.model)
    device = choose_device(settled.device)
    choose_precision(settled.precision, device)

    started = time.perf_counter()
    scene = _load_scene(settled, data_root)
    for note in scene.notes:
        watcher.say(note)
    split = split_of(settled, scene)
    for note in split.notes:
        watcher.say(note)
    preprocess = Preprocess(components=settled.pca, common_scale=settled.scale == "scene")
    pixels = None if settled.scale_on == "all" else split.train
    features = preprocess.fit(scene.cube, pixels)
    network = build_network(settled, features.bands, scene.classes)
    folder = _new_folder(out, settled, scene)
    _write_inputs(folder, settled, scene, split, preprocess, device)
    load_seconds = time.perf_counter() - started
    return _fit_and_score(folder, settled, scene, split, preprocess, network, device, watcher, load_seconds)


def resume(folder: str | Path, *, data_root: str | Path | None = None, watcher: Watcher | None = None) -> Run:
    """Go on with an interrupted training; a finished run is returned as it is.

    Raises
    ------
    RunError
        When the folder is not a run, or the scene's labels have changed since.
    """
    watcher = watcher or Watcher()
    run = Run(folder)
    if (run.path / "metrics.json").is_file():
        watcher.say(f"The run '{run.path}' is finished already; nothing to resume.")
        return run
    started = time.perf_counter()
    device = choose_device(run.config.device)
    scene = run.load_scene(data_root)
    network = build_network(run.config, run.preprocess.bands, scene.classes)
    load_seconds = time.perf_counter() - started
    return _fit_and_score(
        run.path, run.config, scene, run.split, run.preprocess, network, device, watcher, load_seconds
    )


def _fit_and_score(
    folder: Path,
    config: Config,
    scene: Scene,
    split: Split,
    preprocess: Preprocess,
    network: nn.Module,
    device: torch.device,
    watcher: Watcher,
    load_seconds: float,
) -> Run:
    network.to(device)
    cutter = make_cutter(scene, preprocess, split, config, device)
    targets = torch.from_numpy(scene.labels.ravel() - 1).to(device)
    facts = {"bands": scene.bands, "class_names": list(scene.class_names)}
    trainer = Trainer(network, cutter, targets, split, config, folder, facts, watcher)
    history = trainer.fit(resume=(folder / "checkpoint" / LAST).is_file())

    load_weights(folder / "checkpoint" / BEST, network)
    metrics: dict[str, Any] = {
        "model": model_entry(config.model).name,
        "dataset": scene.name,
        "synthetic": scene.synthetic,
        "seed": config.seed,
        "protocol": config.protocol,
        "preset": config.preset,
        "scheme": split.scheme,
        "patch": config.patch,
        "bands": scene.bands,
        "components": preprocess.bands if config.pca else None,
        "class_names": list(scene.class_names),
        "params": sum(p.numel() for p in network.parameters()),
        "macs": count_macs(network, bands=preprocess.bands, patch=config.patch),
        "device": device_name(device),
        "epochs": len(history),
        "counts": split.counts,
        "leakage": _leakage(split, config.patch),
    }
    test_seconds = 0.0
    predictions = {}
    for part in PARTS:
        pixels = getattr(split, part)
        started = time.perf_counter()
        with autocast(device, trainer.precision):
            predictions[part] = predict_labels(network, cutter, pixels)
        metrics[part] = score(scene.labels.ravel()[pixels], predictions[part], scene.classes).as_dict()
        if part == "test":
            test_seconds = time.perf_counter() - started
    metrics["seconds"] = {
        "load": load_seconds,
        "train": sum(row["seconds"] for row in history),
        "test": test_seconds,
    }
    metrics["peak_memory_mb"] = _peak_memory_mb(device)
    save_predictions(folder, predictions)
    write_text(folder / "metrics.json", json.dumps(metrics, indent=1) + "\n")
    return Run(folder)


def _defaults_of_scene(dataset: str | None) -> dict[str, str]:
    """A named benchmark scene defaults to the papers' protocol, the demo to a quick disjoint one."""
    if dataset is None:
        return {}
    try:
        entry = scene_entry(dataset)
    except SceneNotFoundError:
        return {}
    if entry.name == "demo":
        return {"default_protocol": "disjoint", "default_preset": "quick"}
    return {"default_protocol": "paper"}


def _load_scene(config: Config, data_root: str | Path | None) -> Scene:
    return load_scene(
        config.dataset,
        labels=config.labels,
        cube_key=config.cube_key,
        labels_key=config.labels_key,
        data_root=data_root,
    )


def _new_folder(out: str | Path | None, config: Config, scene: Scene) -> Path:
    if out is None:
        stamp = datetime.now().strftime("%Y%m%d-%H%M%S")
        name = model_entry(config.model).name
        folder = Path("runs") / f"{name}-{scene.name}-{config.protocol}-seed{config.seed}-{stamp}"
    else:
        folder = Path(out)
    if (folder / "config.toml").exists():
        raise RunError(
            f"'{folder}' holds a run already; go on with it by --resume {folder}, or choose another --out."
        )
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise RunError(f"'{folder}' is there already and is not an empty folder; choose another --out.")
    try:
        (folder / "checkpoint").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"The run folder '{folder}' cannot be made: {error.strerror}.") from None
    return folder


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


def _leakage(split: Split, patch: int) -> dict[str, float]:
    leakage = split.leakage(patch)
    return {"centre": leakage.centre, "overlap": leakage.overlap}


def _peak_memory_mb(device: torch.device) -> float | None:
    """Return the most memory that was in use: of the GPU if there is one, else of this process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    try:
        import resource
    except ImportError:  # Windows has no such count
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)
