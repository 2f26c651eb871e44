"""The second half of a training: fit, score with the best weights, write down."""

from __future__ import annotations

import json
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from hsi.config import Config
from hsi.datasets.preprocess import Preprocess
from hsi.datasets.scene import Scene
from hsi.datasets.splits.indices import Split
from hsi.errors import ConfigError
from hsi.inference.predict import as_classifier, likeliest, make_cutter, predict_logits
from hsi.inference.run import Run
from hsi.io.files import write_text
from hsi.models import cost_of, model_entry
from hsi.models.device import autocast, device_name, format_of, name_of
from hsi.models.protocols import Estimator
from hsi.runs.checkpoint import BEST, LAST, load_weights
from hsi.runs.folder import PARTS
from hsi.runs.run_files import save_predictions
from hsi.scoring import score
from hsi.training.batches import check_shares
from hsi.training.callbacks import Callback
from hsi.training.distributed import World
from hsi.training.estimator import EstimatorTrainer
from hsi.training.loop import Trainer


def device_of(network: nn.Module, wanted: torch.device) -> torch.device:
    """Return where a model trains: the wanted device, or the CPU if it is fitted at once by scikit-learn."""
    return torch.device("cpu") if isinstance(network, Estimator) else wanted


def check_ranks(network: nn.Module, config: Config, split: Split, world: World) -> None:
    """Refuse a training that several processes cannot share.

    Raises
    ------
    ConfigError
        For a model that is fitted at once, and batches that are too small to be shared.
    TrainingError
        When the processes have different splits, as from different label files.
    """
    if world.world_size > 1 and isinstance(network, Estimator):
        raise ConfigError(
            f"One process fits {model_entry(config.model).name} at once; train it without torchrun."
        )
    check_shares(config.batch, len(split.train), world.world_size)
    world.check_same("The split", map(torch.tensor, (split.train, split.val, split.test)))


def fit_and_score(
    folder: Path,
    config: Config,
    scene: Scene,
    split: Split,
    preprocess: Preprocess,
    network: nn.Module,
    device: torch.device,
    callback: Callback,
    load_seconds: float,
    world: World,
) -> Run:
    """Train a network on a split into a run folder that holds its inputs already, and score it there.

    ``metrics.json`` comes last, since it makes the run a finished one.
    """
    network.to(device)
    world.broadcast_(network.state_dict().values())
    cutter = make_cutter(scene, preprocess, split, config, device)
    targets = torch.from_numpy(scene.labels.ravel() - 1).to(device)
    facts = {"bands": scene.bands, "class_names": list(scene.class_names)}
    kind = EstimatorTrainer if isinstance(network, Estimator) else Trainer
    trainer = kind(network, cutter, targets, split, config, folder, facts, callback, world)
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
        "colors": list(scene.colors),
        "wavelengths_nm": None if scene.wavelengths_nm is None else scene.wavelengths_nm.tolist(),
        "fwhm_nm": None if scene.fwhm_nm is None else scene.fwhm_nm.tolist(),
        **cost_of(network, bands=preprocess.bands, patch=config.patch),
        "device": device_name(device),
        "ranks": world.world_size,
        "epochs": None if isinstance(network, Estimator) else len(history),
        "patches_at_once": trainer.gradient.portion.size if isinstance(trainer, Trainer) else None,
        "precision": name_of(trainer.plan.precision),
        "compiled": trainer.plan.compiled,
        "memory_format": format_of(network),
        "chosen": network.chosen if isinstance(network, Estimator) else None,
        "counts": split.counts,
        "leakage": _leakage(split, config.patch),
    }
    test_seconds = 0.0
    classifier = as_classifier(network, config)
    predictions = {}
    for part in PARTS:
        pixels = getattr(split, part)
        started = time.perf_counter()
        with autocast(device, trainer.plan.precision):
            logits = world.map_pixels(partial(predict_logits, classifier, cutter), pixels)
        predictions[part] = likeliest(logits)
        metrics[part] = score(scene.labels.ravel()[pixels], predictions[part], scene.classes).as_dict()
        if part == "test":
            test_seconds = time.perf_counter() - started
    metrics["seconds"] = {
        "load": load_seconds,
        "train": sum(row["seconds"] for row in history),
        "test": test_seconds,
    }
    metrics["peak_memory_mb"] = _peak_memory_mb(device)

    def finish() -> None:
        save_predictions(folder, predictions)
        write_text(folder / "metrics.json", json.dumps(metrics, indent=1) + "\n")

    world.on_rank_zero(finish)
    callback.on_scored(metrics)
    return Run(folder)


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
