"""The training loop of a run beside the bare network: what cutting, augmenting and counting cost."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hsi.bench.networks import speed
from hsi.bench.scale import Scale
from hsi.bench.setting import Setting
from hsi.bench.subjects import TrainingStep, warm_up
from hsi.bench.timing import interleave, summary
from hsi.datasets.patches import PatchCutter
from hsi.datasets.split import Split, hash_labels
from hsi.models.registry import build_model
from hsi.runs.config import Config
from hsi.training.loop import Trainer
from hsi.training.settle import settle
from hsi.training.watcher import Watcher

SIDE = 64
"""Rows and columns of the random scene: our decision, since only a batch of it is looked at at a time."""

STEPS = 4
"""Steps in one repeat."""


def measure_loop(name: str, scale: Scale, setting: Setting) -> dict[str, Any]:
    """Measure an epoch of the real training loop, as many bare steps, and the preparing of batches alone.

    The loop has the defaults of ``--protocol disjoint``: it cuts its patches from the cube, flips, turns and
    shifts them, keeps a running mean of the weights and watches for numbers that are not finite. A bare step
    is forward, cross-entropy, backward and Adam on one batch that is there already. ``ratio`` is the loop's
    patches per second by the bare network's, and ``outside`` the share of the loop's time that goes into
    patches, augmentation and classes.
    """
    device = setting.apply()
    trainer = _trainer(name, scale, setting)
    pixels = trainer.split.train[: scale.batch]
    patches, classes = trainer.cutter(pixels), trainer.wanted(pixels)
    torch.manual_seed(0)
    bare = TrainingStep(_network(name, scale, device), patches, classes, setting)

    def bare_steps() -> None:
        for _ in range(STEPS):
            bare()

    def prepare() -> None:
        for start in range(0, len(trainer.split.train), scale.batch):
            some = trainer.split.train[start : start + scale.batch]
            trainer.augmentation(trainer.cutter(some))
            trainer.wanted(some)

    actions = {"loop": trainer.train_once, "bare": bare_steps, "prepare": prepare}
    for action in actions.values():
        action()
    taken = interleave(actions, device, rounds=scale.rounds, seconds=scale.seconds)
    middle = {kind: statistics.median(times) for kind, times in taken.items()}
    patches_a_repeat = STEPS * scale.batch
    sides = {f"{kind}_side": summary(taken[kind]) for kind in ("loop", "bare")}
    return {
        "name": name,
        "batch": scale.batch,
        **{side: {"seconds": seconds, **speed(seconds, patches_a_repeat)} for side, seconds in sides.items()},
        "ratio": middle["bare"] / middle["loop"],
        "outside": middle["prepare"] / middle["loop"],
    }


def _trainer(name: str, scale: Scale, setting: Setting) -> Trainer:
    device = torch.device(setting.device)
    random = np.random.default_rng(0)
    cube = torch.randn(SIDE, SIDE, scale.bands, generator=torch.Generator().manual_seed(0))
    labels = random.integers(1, scale.classes + 1, (SIDE, SIDE))
    order = random.permutation(SIDE * SIDE)
    cut = STEPS * scale.batch
    train, val, test = (np.sort(part) for part in (order[:cut], order[cut : cut + 2], order[cut + 2 :]))
    split = Split(
        train=train,
        val=val,
        test=test,
        labelled=np.ones((SIDE, SIDE), dtype=bool),
        labels_sha256=hash_labels(labels),
        scheme="random",
        patch=scale.patch,
        seed=0,
    )
    return Trainer(
        _network(name, scale, device),
        PatchCutter(cube, scale.patch, device=device),
        torch.from_numpy(labels.ravel() - 1).to(device),
        split,
        _config(name, scale, setting),
        Path(),  # nothing is written: only whole epochs are
        {},
        Watcher(),
    )


def _config(name: str, scale: Scale, setting: Setting) -> Config:
    precision = "bf16" if setting.precision == "bf16" else "float32"
    return settle(
        name,
        "demo",
        protocol="disjoint",
        patch=scale.patch,
        batch=scale.batch,
        device=setting.device,
        precision=precision,
        tune=False,
    )


def _network(name: str, scale: Scale, device: torch.device) -> torch.nn.Module:
    torch.manual_seed(0)
    network = build_model(name, bands=scale.bands, classes=scale.classes, patch=scale.patch).to(device)
    warm_up(network.train(), torch.randn(2, scale.bands, scale.patch, scale.patch).to(device))
    return network
