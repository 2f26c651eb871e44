"""Speed of what surrounds a network: cutting patches, the training loop, maps of whole scenes.

The training loop is measured beside the bare network, a map beside a loop over a DataLoader that cuts the
same patches.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset
from torch.utils.flop_counter import FlopCounterMode

from hsi.bench.cases import TrainingStep
from hsi.bench.comparisons import check_difference, relative_difference
from hsi.bench.measure import interleave, summarise
from hsi.bench.networks import make_network, speed
from hsi.bench.setting import Scale, Setting
from hsi.config import Config, resolve_config
from hsi.datasets.patches import PatchCutter
from hsi.datasets.splits.indices import Split, hash_labels
from hsi.errors import HsiError
from hsi.inference.classify import classify_scene
from hsi.inference.predict import BATCH
from hsi.inference.tiles import SceneBlocks
from hsi.models.registry import build_model, count_macs
from hsi.training.callbacks import Callback
from hsi.training.context import TrainingContext
from hsi.training.loop import Trainer

PIPELINE_SIDE = 145
"""Rows and columns of the scene: those of Indian Pines."""

BATCHES = 20
"""Batches in one repeat."""


def measure_pipeline(scale: Scale, setting: Setting) -> dict[str, Any]:
    """Measure how fast batches are cut round random pixels of a random cube, on the network's device."""
    device = setting.apply()
    generator = torch.Generator().manual_seed(0)
    cube = torch.randn(PIPELINE_SIDE, PIPELINE_SIDE, scale.bands, generator=generator)
    cutter = PatchCutter(cube, scale.patch, device=device)
    batches = torch.randint(0, PIPELINE_SIDE * PIPELINE_SIDE, (BATCHES, scale.batch), generator=generator)

    def cut() -> None:
        for pixels in batches:
            cutter(pixels)

    cut()
    taken = interleave({"cut": cut}, device, rounds=scale.rounds, seconds=min(1.0, scale.seconds))
    seconds = summarise(taken["cut"])
    return {
        "batch": scale.batch,
        "scene": [PIPELINE_SIDE, PIPELINE_SIDE, scale.bands],
        "seconds": seconds,
        **speed(seconds, BATCHES * scale.batch),
    }


LOOP_SIDE = 64
"""Rows and columns of the random scene; only a batch of it is used at a time."""

STEPS = 4
"""Steps in one repeat."""


def measure_loop(name: str, scale: Scale, setting: Setting) -> dict[str, Any]:
    """Measure an epoch of the real training loop, as many bare steps, and the preparation of batches alone.

    The loop has the defaults of ``--protocol disjoint``: it cuts and augments patches, averages the weights
    and checks for numbers that are not finite. A bare step is forward, cross-entropy, backward and Adam on a
    batch in memory. ``ratio`` is the loop's patches per second over the bare network's, ``outside`` the share
    of the loop's time that cutting, augmentation and class lookup take.
    """
    device = setting.apply()
    trainer = _trainer(name, scale, setting)
    pixels = trainer.split.train[: scale.batch]
    patches, classes = trainer.context.cutter(pixels), trainer.context.targets_of(pixels)
    bare = TrainingStep(make_network(name, scale, device), patches, classes, setting)

    def bare_steps() -> None:
        for _ in range(STEPS):
            bare()

    def prepare() -> None:
        for start in range(0, len(trainer.split.train), scale.batch):
            some = trainer.split.train[start : start + scale.batch]
            trainer.augmentation(trainer.context.cutter(some))
            trainer.context.targets_of(some)

    actions = {"loop": trainer.train_epoch, "bare": bare_steps, "prepare": prepare}
    for action in actions.values():
        action()
    taken = interleave(actions, device, rounds=scale.rounds, seconds=scale.seconds)
    middle = {kind: statistics.median(times) for kind, times in taken.items()}
    patches_a_repeat = STEPS * scale.batch
    sides = {f"{kind}_side": summarise(taken[kind]) for kind in ("loop", "bare")}
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
    cube = torch.randn(LOOP_SIDE, LOOP_SIDE, scale.bands, generator=torch.Generator().manual_seed(0))
    labels = random.integers(1, scale.classes + 1, (LOOP_SIDE, LOOP_SIDE))
    order = random.permutation(LOOP_SIDE * LOOP_SIDE)
    cut = STEPS * scale.batch
    train, val, test = (np.sort(part) for part in (order[:cut], order[cut : cut + 2], order[cut + 2 :]))
    split = Split(
        train=train, val=val, test=test, labelled=np.ones((LOOP_SIDE, LOOP_SIDE), dtype=bool),
        labels_sha256=hash_labels(labels), scheme="random", patch=scale.patch, seed=0,
    )  # fmt: skip
    context = TrainingContext(
        make_network(name, scale, device),
        PatchCutter(cube, scale.patch, device=device),
        torch.from_numpy(labels.ravel() - 1).to(device),
        split,
        _config(name, scale, setting),
        Path(),  # nothing is written within an epoch
        {},
        Callback(),
    )
    return Trainer(context)


def _config(name: str, scale: Scale, setting: Setting) -> Config:
    options = {
        "model": name, "dataset": "demo", "protocol": "disjoint", "patch": scale.patch, "batch": scale.batch,
        "device": setting.device, "precision": "bf16" if setting.precision == "bf16" else "float32",
        "tune": False,
    }  # fmt: skip
    return resolve_config(options)


MAP_NETWORKS = ("densenet3d", "ssrn", "hybridsn", "cnn1d")
"""The backbone, which computes each patch alone, and networks whose overlapping patches share features."""


class Patches(Dataset[Tensor]):
    """The patch of each pixel of a scene ``(rows, cols, bands)``, zero-padded; one at a time."""

    def __init__(self, cube: Tensor, patch: int) -> None:
        margin = patch // 2
        self.rows, self.cols = cube.shape[:2]
        self.patch = patch
        self._padded = F.pad(cube.permute(2, 0, 1), (margin, margin, margin, margin))

    def __len__(self) -> int:
        return self.rows * self.cols

    def __getitem__(self, pixel: int) -> Tensor:
        """Return ``(bands, P, P)``."""
        row, col = divmod(pixel, self.cols)
        return self._padded[:, row : row + self.patch, col : col + self.patch]


def loader_loop(network: nn.Module, cube: Tensor, patch: int, setting: Setting) -> Tensor:
    """Return logits ``(rows * cols, classes)`` on the CPU, batch by batch from a DataLoader."""
    loader = DataLoader(Patches(cube, patch), batch_size=BATCH)
    with torch.inference_mode(), setting.autocast():
        return torch.cat([network(batch.to(setting.device)).float().cpu() for batch in loader])


def whole_map(network: nn.Module, cube: NDArray[np.float32], scale: Scale, setting: Setting) -> Tensor:
    """Return the same logits as `hsi map` computes them."""
    blocks = SceneBlocks(cube, np.copy, scale.bands, scale.patch)
    logits = np.empty((*cube.shape[:2], scale.classes), np.float32)
    with setting.autocast():
        for window, found, _ in classify_scene(network, blocks, scale.classes, device=setting.device):
            logits[window.top : window.bottom, window.left : window.right] = found
    return torch.from_numpy(logits.reshape(-1, scale.classes))


def measure_map(scale: Scale, setting: Setting) -> list[dict[str, Any]]:
    """Measure maps of a random scene; one row a network.

    ``ratio`` is the loop's median time over ours; ``macs`` and ``loop_macs`` are multiply-adds per pixel.

    Raises
    ------
    HsiError
        When the logits or labels of the two differ.
    """
    return [_measure_one_map(name, scale, setting) for name in MAP_NETWORKS]


def _measure_one_map(name: str, scale: Scale, setting: Setting) -> dict[str, Any]:
    device = setting.apply()
    torch.manual_seed(0)
    network = build_model(name, bands=scale.bands, classes=scale.classes, patch=scale.patch).eval()
    loop_macs = count_macs(network, scale.bands, scale.patch)
    side = scale.map_side
    cube = torch.randn(side, side, scale.bands, generator=torch.Generator().manual_seed(1))
    macs = _macs_of_map(network, cube.numpy(), scale, setting)
    network.to(device)
    actions: dict[str, Callable[[], Tensor]] = {
        "ours": lambda: whole_map(network, cube.numpy(), scale, setting),
        "loop": lambda: loader_loop(network, cube, scale.patch, setting),
    }
    ours, loop = (action() for action in actions.values())
    difference = relative_difference(ours, loop)
    check_difference(f"The map by {name}", difference, setting.precision)
    if setting.precision == "float32" and not torch.equal(ours.argmax(dim=1), loop.argmax(dim=1)):
        raise HsiError(f"The map by {name} has other labels than the loop over patches.")
    taken = interleave(actions, device, rounds=scale.rounds, seconds=scale.seconds)
    seconds = {side: summarise(samples) for side, samples in taken.items()}
    return {
        "name": name,
        "scene": [side, side, scale.bands],
        "difference": difference,
        "macs": macs,
        "loop_macs": loop_macs,
        "ours_side": {"seconds": seconds["ours"], **speed(seconds["ours"], side * side)},
        "loop_side": {"seconds": seconds["loop"], **speed(seconds["loop"], side * side)},
        "ratio": seconds["loop"]["median"] / seconds["ours"]["median"],
    }


def _macs_of_map(network: nn.Module, cube: NDArray[np.float32], scale: Scale, setting: Setting) -> float:
    """Return multiply-adds per pixel of the whole map, margins of cells included."""
    counter = FlopCounterMode(display=False)
    with counter:
        whole_map(network, cube, scale, Setting("cpu", setting.threads))
    return int(counter.get_total_flops()) / 2 / (cube.shape[0] * cube.shape[1])
