"""The training loop.

Every epoch: set the learning rate, go once through the training pixels in random order, look at the
validation pixels, keep the network if it is the best so far, and write down all that is needed to go on.
Several processes can share the work of each step; see `hsi.training.ranks`.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from functools import partial
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from hsi.errors import RunError, TrainingError
from hsi.mapping.memory import out_of_memory
from hsi.mapping.predict import predict_logits
from hsi.models.memory_format import other_formats
from hsi.runs.atomic import write_text
from hsi.runs.checkpoint import BEST, LAST, load_state, save_state, save_weights
from hsi.runs.device import autocast
from hsi.training.augmentation import Augmentation
from hsi.training.average import RunningMean
from hsi.training.batches import cut_batches
from hsi.training.dropout import drop_features
from hsi.training.failures import name_batch, no_memory, not_finite
from hsi.training.gradient import BatchGradient
from hsi.training.history import history_csv, history_of, out_of_patience, quality
from hsi.training.job import Job
from hsi.training.schedule import learning_rate
from hsi.training.tally import NotFiniteError, Tally, Totals, gradient_norm, look_every
from hsi.training.watcher import EpochRow
from hsi.training.way import Way, choose_way, step_trial

STATISTICS_PIXELS = 2048
"""Training pixels at most for the batch-norm statistics of averaged weights: our decision."""


@runtime_checkable
class FollowsEpochs(Protocol):
    """A network that adapts itself as training goes on, as KANet does with its grid."""

    def start_epoch(self, epoch: int) -> None:
        """Epoch `epoch` (0-based) begins."""


@dataclass
class Trainer(Job):
    """A network in training, step by step."""

    def __post_init__(self) -> None:
        self.device = self.targets.device
        if self.config.dropout:
            drop_features(self.model, self.config.dropout)
        self.way = self.ranks.once(self._choose_way)
        called = self.way.of(self.model)
        self.scaler = torch.amp.GradScaler(enabled=self.way.precision == torch.float16)
        self.optimiser = torch.optim.Adam(
            self.model.parameters(),
            lr=self.config.lr,
            weight_decay=self.config.weight_decay,
            fused=self.device.type in ("cpu", "cuda"),  # one pass over each parameter instead of six
        )
        self.average = RunningMean(self.model, self.config.ema) if self.config.ema else None
        self.order = torch.Generator().manual_seed(self.config.seed)
        self.augmentation = Augmentation(self.config, self.differences())
        self.generators = {"order": self.order, **self.augmentation.generators}
        weight = self._inverse_frequencies() if self.config.class_weights else None
        self.gradient = BatchGradient(
            called, weight, self.scaler, self.way.precision, self.config, self.watcher.say, self.ranks
        )
        self.history: list[EpochRow] = []

    def fit(self, *, resume: bool = False) -> list[EpochRow]:
        """Train to the last epoch, or until patience runs out; return one row for each epoch.

        Raises
        ------
        TrainingError
            When a loss or gradient stops being a number, or memory runs out; the checkpoints stay as the
            last whole epoch left them.
        """
        if resume:
            self._restore()
        epochs, patience = self.config.epochs, self.config.patience
        steps = len(cut_batches(self.split.train, self.config.batch))
        self.gradient.say_shares()
        self.watcher.start(self.folder, epochs, len(self.history), steps)
        try:
            while len(self.history) < epochs and not out_of_patience(self.history, patience):
                self._epoch(len(self.history))
        except (RuntimeError, MemoryError) as error:
            if not out_of_memory(error):
                raise
            raise no_memory(len(self.history), self.config, self.gradient.portion.size) from None
        finally:
            self.watcher.stop()
        self._say_overflows(steps * len(self.history))
        return self.history

    def _epoch(self, epoch: int) -> None:
        started = time.perf_counter()
        rate = learning_rate(self.config.schedule, self.config.lr, epoch, self.config.epochs)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        self.ranks.vary(self.config.seed, epoch)
        if isinstance(self.model, FollowsEpochs):
            self.model.start_epoch(epoch)

        trained = self.train_once()
        self.ranks.mean_norms_(self.model)
        self.ranks.check_same(f"The network after epoch {epoch + 1}", self.model.state_dict().values())
        if self.average is not None:
            self._settle(self.average)
        val_loss, val_oa = self._validate()
        if not math.isfinite(val_loss):  # the last step can spoil weights that no further batch looks at
            raise self._not_finite("validation loss", val_loss)
        row = EpochRow(
            epoch=epoch,
            lr=rate,
            train_loss=trained.loss,
            train_oa=trained.oa,
            val_loss=val_loss,
            val_oa=val_oa,
            overflows=trained.overflows,
            seconds=time.perf_counter() - started,
        )
        row = self.ranks.once(lambda: row)  # what decides is the same on all ranks, to the last bit
        best = all(quality(row) > quality(earlier) for earlier in self.history)
        self.history.append(row)
        self.ranks.once(lambda: self._save(best))
        self.watcher.epoch(row, best)

    def train_once(self) -> Totals:
        """Take one step for each batch of training pixels; return what the epoch came to."""
        self.model.train()
        shuffled = self.split.train[torch.randperm(len(self.split.train), generator=self.order).numpy()]
        batches = cut_batches(shuffled, self.config.batch)
        tally = Tally(batches, look_every(self.device), self.scaler.is_enabled(), self.watcher)
        try:
            for pixels in batches:
                patches = self.augmentation(self.cutter(pixels))
                loss, right = self.gradient(patches, self.wanted(pixels))
                tally.add(loss, right, gradient_norm(self.model.parameters()))
                self.scaler.step(self.optimiser)
                self.scaler.update()
                if self.average is not None:
                    self.average.update_parameters(self.model)
            return tally.totals()
        except NotFiniteError as found:
            raise self._bad_batch(found, batches) from None

    def _bad_batch(self, found: NotFiniteError, batches: list[NDArray[np.int64]]) -> TrainingError:
        bad_patches = not bool(torch.isfinite(self.cutter(batches[found.batch])).all())
        batch = name_batch(found.batch, batches, self.split.shape[1], bad_patches)
        return self._not_finite(found.what, found.value, batch)

    def _not_finite(self, what: str, value: float, batch: str = "") -> TrainingError:
        mixed = self.way.precision != torch.float32
        return not_finite(what, value, len(self.history), self.folder, self.config, mixed, batch)

    def _settle(self, average: RunningMean) -> None:
        """Measure the batch-norm statistics of the mean weights on training pixels, always the same ones."""
        random = np.random.default_rng(self.config.seed)
        pixels = random.permutation(self.split.train)[:STATISTICS_PIXELS]
        equal = np.array_split(pixels, max(1, len(pixels) // max(2, self.config.batch)))
        with autocast(self.device, self.way.precision):
            average.settle(self.cutter(part) for part in equal)
        self.ranks.agree_(average.state_dict().values())

    def _validate(self) -> tuple[float, float]:
        """Return mean loss and OA on the validation pixels."""
        pixels = self.split.val
        with autocast(self.device, self.way.precision):
            logits = self.ranks.spread(partial(predict_logits, self._kept(), self.cutter), pixels)
        wanted = self.wanted(pixels).cpu()
        loss = functional.cross_entropy(logits, wanted).item()
        return loss, float((logits.argmax(dim=1) == wanted).double().mean())

    def _kept(self) -> nn.Module:
        """Return the network that is validated and kept: the running mean of the weights, if there is one."""
        return self.model if self.average is None else self.average.module

    def _choose_way(self) -> Way:
        steps = self.config.epochs * len(cut_batches(self.split.train, self.config.batch))
        trial = step_trial(self.model, self.cutter.bands, self.config, self.device)
        formats = other_formats(self.model)
        return choose_way(self.config, self.device, formats, steps, trial, self.watcher.say)

    def _inverse_frequencies(self) -> Tensor:
        """Return class weights proportional to 1 / training pixels, with mean 1 over training pixels."""
        wanted = self.wanted(self.split.train)
        counts = torch.bincount(wanted, minlength=int(self.targets.max()) + 1).float()
        weights = torch.where(counts > 0, 1 / counts.clamp(min=1), 0.0)
        return weights * counts.sum() / (weights * counts).sum()

    def _say_overflows(self, steps: int) -> None:
        overflows = sum(row["overflows"] for row in self.history)
        if overflows:
            self.watcher.say(
                f"Gradients overflowed in float16 in {overflows} of {steps} steps, which were left out."
            )

    def _save(self, best: bool) -> None:
        checkpoints = self.folder / "checkpoint"
        row = self.history[-1]
        if best:
            save_weights(
                checkpoints / BEST,
                self._kept(),
                {**self.facts, "epoch": row["epoch"], "val_oa": row["val_oa"]},
            )
        facts = {
            "history": self.history,
            "scaler": self.scaler.state_dict(),
            "patches_at_once": self.gradient.portion.size,
        }
        save_state(checkpoints / LAST, self.model, self.optimiser, self.generators, facts, self.average)
        self._write_history()

    def _write_history(self) -> None:
        write_text(self.folder / "history.csv", history_csv(self.history))

    def _restore(self) -> None:
        path = self.folder / "checkpoint" / LAST
        facts = load_state(path, self.model, self.optimiser, self.generators, self.average)
        try:
            self.history = history_of(facts["history"])
            self.scaler.load_state_dict(facts["scaler"])
            self.gradient.portion.size = int(facts.get("patches_at_once", self.config.batch))
            if not 0 < self.gradient.portion.size <= self.config.batch:
                raise ValueError(f"it takes {self.gradient.portion.size} patches at once")
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            raise RunError(f"The checkpoint '{path}' is damaged: {error}.") from None
        # Whoever was killed after the checkpoint had not written down its last epoch yet.
        self.ranks.once(self._write_history)
