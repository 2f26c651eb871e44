"""The training loop.

Every epoch: set the learning rate, go once through the training pixels in random order, look at the
validation pixels, keep the network if it is the best so far, and write down all that is needed to go on.
"""

from __future__ import annotations

import csv
import io
import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from hsi.datasets.patches import PatchCutter
from hsi.datasets.split import Split
from hsi.errors import TrainingError
from hsi.mapping.predict import predict_logits
from hsi.runs.atomic import write_text
from hsi.runs.checkpoint import BEST, LAST, load_state, save_state, save_weights
from hsi.runs.config import Config
from hsi.runs.device import autocast, choose_precision
from hsi.training.augmentation import Augmentation
from hsi.training.average import RunningMean
from hsi.training.schedule import learning_rate
from hsi.training.watcher import EpochRow, Watcher

STATISTICS_PIXELS = 2048
"""Training pixels at most for the batch-norm statistics of averaged weights: our decision."""


@runtime_checkable
class FollowsEpochs(Protocol):
    """A network that adapts itself as training goes on, as KANet does with its grid."""

    def start_epoch(self, epoch: int) -> None:
        """Epoch `epoch` (0-based) begins."""


@dataclass
class Trainer:
    """One network in training on one split of one scene.

    `targets` holds the class 0..C-1 of every pixel of the scene (row-major, -1 where unlabelled) on the
    training device; `folder` is the run folder; `facts` is written beside the best weights.
    """

    model: nn.Module
    cutter: PatchCutter
    targets: Tensor
    split: Split
    config: Config
    folder: Path
    facts: dict[str, object]
    watcher: Watcher

    def __post_init__(self) -> None:
        self.device = self.targets.device
        self.precision = choose_precision(self.config.precision, self.device)
        self.scaler = torch.amp.GradScaler(enabled=self.precision == torch.float16)
        self.optimiser = torch.optim.Adam(
            self.model.parameters(),
            lr=self.config.lr,
            weight_decay=self.config.weight_decay,
            fused=self.device.type in ("cpu", "cuda"),  # one pass over each parameter instead of six
        )
        self.average = RunningMean(self.model, self.config.ema) if self.config.ema else None
        self.order = torch.Generator().manual_seed(self.config.seed)
        self.augmentation = Augmentation(self.config)
        self.generators = {"order": self.order, **self.augmentation.generators}
        self.loss = nn.CrossEntropyLoss(
            weight=self._inverse_frequencies() if self.config.class_weights else None,
            label_smoothing=self.config.label_smoothing,
        )
        self.history: list[EpochRow] = []

    def fit(self, *, resume: bool = False) -> list[EpochRow]:
        """Train to the last epoch, or until patience runs out; return one row for each epoch."""
        if resume:
            self._restore()
        epochs = self.config.epochs
        self.watcher.start(self.folder, epochs, len(self.history), len(self._batches(self.split.train)))
        try:
            while len(self.history) < epochs and not self._out_of_patience():
                self._epoch(len(self.history))
        finally:
            self.watcher.stop()
        return self.history

    def _epoch(self, epoch: int) -> None:
        started = time.perf_counter()
        rate = learning_rate(self.config.schedule, self.config.lr, epoch, self.config.epochs)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        if isinstance(self.model, FollowsEpochs):
            self.model.start_epoch(epoch)

        train_loss, train_oa = self._train_once()
        if self.average is not None:
            self._settle(self.average)
        val_loss, val_oa = self._validate()
        row = EpochRow(
            epoch=epoch,
            lr=rate,
            train_loss=train_loss,
            train_oa=train_oa,
            val_loss=val_loss,
            val_oa=val_oa,
            seconds=time.perf_counter() - started,
        )
        best = all(_quality(row) > _quality(earlier) for earlier in self.history)
        self.history.append(row)
        self._save(best)
        self.watcher.epoch(row, best)

    def _train_once(self) -> tuple[float, float]:
        """Take one step for each batch of training pixels; return mean loss and OA of the epoch."""
        self.model.train()
        shuffled = self.split.train[torch.randperm(len(self.split.train), generator=self.order).numpy()]
        total_loss, right, seen = 0.0, 0, 0
        for pixels in self._batches(shuffled):
            patches = self.augmentation(self.cutter(pixels))
            wanted = self.targets[torch.from_numpy(pixels).to(self.device)]
            with autocast(self.device, self.precision):
                logits = self.model(patches)
                loss = self.loss(logits.float(), wanted)
            value = loss.item()
            if not math.isfinite(value):
                raise TrainingError(
                    f"The loss became {value} in epoch {len(self.history) + 1}; the checkpoints of the "
                    f"epochs before it are in '{self.folder}'; try a lower --lr or --precision float32."
                )
            self.optimiser.zero_grad(set_to_none=True)
            self.scaler.scale(loss).backward()
            self.scaler.step(self.optimiser)
            self.scaler.update()
            if self.average is not None:
                self.average.update_parameters(self.model)

            total_loss += value * len(pixels)
            right += int((logits.argmax(dim=1) == wanted).sum())
            seen += len(pixels)
            self.watcher.step(value)
        return total_loss / seen, right / seen

    def _settle(self, average: RunningMean) -> None:
        """Measure the batch-norm statistics of the mean weights on training pixels, always the same ones."""
        random = np.random.default_rng(self.config.seed)
        pixels = random.permutation(self.split.train)[:STATISTICS_PIXELS]
        equal = np.array_split(pixels, max(1, len(pixels) // max(2, self.config.batch)))
        with autocast(self.device, self.precision):
            average.settle(self.cutter(part) for part in equal)

    def _validate(self) -> tuple[float, float]:
        """Return mean loss and OA on the validation pixels."""
        pixels = self.split.val
        with autocast(self.device, self.precision):
            logits = predict_logits(self._kept(), self.cutter, pixels)
        wanted = self.targets[torch.from_numpy(pixels).to(self.device)].cpu()
        loss = functional.cross_entropy(logits, wanted).item()
        return loss, float((logits.argmax(dim=1) == wanted).double().mean())

    def _kept(self) -> nn.Module:
        """Return the network that is validated and kept: the running mean of the weights, if there is one."""
        return self.model if self.average is None else self.average.module

    def _batches(self, pixels: NDArray[np.int64]) -> list[NDArray[np.int64]]:
        """Cut into batches; a last batch of one pixel joins the one before, since batch norm needs two."""
        size = self.config.batch
        cuts = list(range(size, len(pixels), size))
        if cuts and len(pixels) - cuts[-1] == 1:
            cuts.pop()
        return np.split(pixels, cuts)

    def _inverse_frequencies(self) -> Tensor:
        """Return class weights proportional to 1 / training pixels, with mean 1 over training pixels."""
        wanted = self.targets[torch.from_numpy(self.split.train).to(self.device)]
        counts = torch.bincount(wanted, minlength=int(self.targets.max()) + 1).float()
        weights = torch.where(counts > 0, 1 / counts.clamp(min=1), 0.0)
        return weights * counts.sum() / (weights * counts).sum()

    def _out_of_patience(self) -> bool:
        patience = self.config.patience
        if not patience or len(self.history) <= patience:
            return False
        qualities = [_quality(row) for row in self.history]
        return len(self.history) - 1 - qualities.index(max(qualities)) >= patience

    def _save(self, best: bool) -> None:
        checkpoints = self.folder / "checkpoint"
        row = self.history[-1]
        if best:
            save_weights(
                checkpoints / BEST,
                self._kept(),
                {**self.facts, "epoch": row["epoch"], "val_oa": row["val_oa"]},
            )
        facts = {"history": self.history, "scaler": self.scaler.state_dict()}
        save_state(checkpoints / LAST, self.model, self.optimiser, self.generators, facts, self.average)
        write_text(self.folder / "history.csv", history_csv(self.history))

    def _restore(self) -> None:
        path = self.folder / "checkpoint" / LAST
        facts = load_state(path, self.model, self.optimiser, self.generators, self.average)
        self.history = facts["history"]
        self.scaler.load_state_dict(facts["scaler"])


def history_csv(history: list[EpochRow]) -> str:
    """Return the history as CSV, one row an epoch."""
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(EpochRow.__annotations__), lineterminator="\n")
    writer.writeheader()
    writer.writerows(history)
    return text.getvalue()


def _quality(row: EpochRow) -> tuple[float, float]:
    """What "best" compares: validation OA, then lower validation loss."""
    return row["val_oa"], -row["val_loss"]
