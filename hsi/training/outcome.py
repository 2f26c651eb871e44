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

from hsi.datasets.preprocess import Preprocess
from hsi.datasets.scene import Scene
from hsi.datasets.split import Split
from hsi.errors import ConfigError
from hsi.mapping.predict import likeliest, predict_logits
from hsi.models import cost_of, model_entry
from hsi.models.memory_format import format_of
from hsi.runs.atomic import write_text
from hsi.runs.building import as_classifier, make_cutter
from hsi.runs.checkpoint import BEST, LAST, load_weights
from hsi.runs.config import Config
from hsi.runs.device import autocast, name_of
from hsi.runs.environment import device_name
from hsi.runs.folder import PARTS, Run
from hsi.runs.predictions import save_predictions
from hsi.scoring import score
from hsi.training.at_once import AtOnce, FitsAtOnce
from hsi.training.batches import check_shares
from hsi.training.loop import Trainer
from hsi.training.ranks import Ranks
from hsi.training.watcher import Watcher


def device_of(network: nn.Module, wanted: torch.device) -> torch.device:
    """Return where a model trains: the wanted device, or the CPU if it is fitted at once by scikit-learn."""
    return torch.device("cpu") if isinstance(network, FitsAtOnce) else wanted


def check_ranks(network: nn.Module, config: Config, split: Split, ranks: Ranks) -> None:
    """Refuse a training that several processes cannot share.

    Raises
    ------
    ConfigError
        For a model that is fitted at once, and batches that are too small to be shared.
    TrainingError
        When the processes have different splits, as from different label files.
    """
    if ranks.count > 1 and isinstance(network, FitsAtOnce):
        raise ConfigError(
            f"One process fits {model_entry(config.model).name} at once; train it without torchrun."
        )
    check_shares(config.batch, len(split.train), ranks.count)
    ranks.check_same("The split", map(torch.tensor, (split.train, split.val, split.test)))


def fit_and_score(
    folder: Path,
    config: Config,
    scene: Scene,
    split: Split,
    preprocess: Preprocess,
    network: nn.Module,
    device: torch.device,
    watcher: Watcher,
    load_seconds: float,
    ranks: Ranks,
) -> Run:
    """Train a network on a split into a run folder that holds its inputs already, and score it there.

    ``metrics.json`` comes last, since it makes the run a finished one.
    """
    network.to(device)
    ranks.agree_(network.state_dict().values())
    cutter = make_cutter(scene, preprocess, split, config, device)
    targets = torch.from_numpy(scene.labels.ravel() - 1).to(device)
    facts = {"bands": scene.bands, "class_names": list(scene.class_names)}
    kind = AtOnce if isinstance(network, FitsAtOnce) else Trainer
    trainer = kind(network, cutter, targets, split, config, folder, facts, watcher, ranks)
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
        "ranks": ranks.count,
        "epochs": None if isinstance(network, FitsAtOnce) else len(history),
        "patches_at_once": trainer.gradient.portion.size if isinstance(trainer, Trainer) else None,
        "precision": name_of(trainer.way.precision),
        "compiled": trainer.way.compiled,
        "memory_format": format_of(network),
        "chosen": network.chosen if isinstance(network, FitsAtOnce) else None,
        "counts": split.counts,
        "leakage": _leakage(split, config.patch),
    }
    test_seconds = 0.0
    classifier = as_classifier(network, config)
    predictions = {}
    for part in PARTS:
        pixels = getattr(split, part)
        started = time.perf_counter()
        with autocast(device, trainer.way.precision):
            logits = ranks.spread(partial(predict_logits, classifier, cutter), pixels)
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

    ranks.once(finish)
    watcher.scored(metrics)
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
