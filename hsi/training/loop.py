"""The training loop.

Each epoch: set the learning rate, train once on all training pixels in random order, validate, keep the
network if `is_kept` says so, and write a checkpoint to resume from. Several processes can share each step;
see `hsi.training.distributed`.
"""

from __future__ import annotations

import math
import time
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from hsi.errors import RunError, TrainingError
from hsi.inference.predict import out_of_memory, predict_logits
from hsi.io.files import write_text
from hsi.models.device import autocast, other_formats
from hsi.models.protocols import EpochAware
from hsi.runs.checkpoint import BEST, LAST, load_state, save_state, save_weights
from hsi.training.augmentation import Augmentation
from hsi.training.autotune import ExecutionPlan, choose_plan, step_trial
from hsi.training.batches import cut_batches
from hsi.training.callbacks import EpochRow
from hsi.training.context import TrainingContext
from hsi.training.epoch_metrics import (
    EpochMetrics,
    EpochTotals,
    NotFiniteError,
    gradient_norm,
    history_csv,
    history_of,
    is_kept,
    memory_error,
    name_batch,
    not_finite_error,
    out_of_patience,
    quality,
    sync_interval,
)
from hsi.training.gradient import BatchGradient
from hsi.training.regularisation import ExponentialMovingAverage, drop_features


def learning_rate(schedule: str, peak: float, epoch: int, epochs: int) -> float:
    """Return the learning rate of a 0-based epoch.

    "wave"
        ``peak (1 + cos(pi max(epoch - 1, 0) / 15)) / 2``: what the released code amounts to, which makes a
        new scheduler in each epoch: a cosine of period 30 epochs that is 0 at epochs 16, 46 and 76.
    "cosine"
        ``peak (1 + cos(pi epoch / epochs)) / 2``: once from peak to almost 0.
    "constant"
        ``peak``.
    """
    if schedule == "wave":
        return peak * (1 + math.cos(math.pi * max(epoch - 1, 0) / 15)) / 2
    if schedule == "cosine":
        return peak * (1 + math.cos(math.pi * epoch / epochs)) / 2
    return peak


BATCH_NORM_PIXELS = 2048
"""Training pixels at most for the batch-norm statistics of averaged weights."""


class Trainer:
    """Trains a network step by step."""

    def __init__(self, context: TrainingContext) -> None:
        self.context, self.config, self.model = context, context.config, context.model
        self.split, self.callback, self.world = context.split, context.callback, context.world
        self.checkpoints = context.folder / "checkpoint"
        self.device = context.targets.device
        if self.config.dropout:
            drop_features(self.model, self.config.dropout)
        self.plan = self.world.on_rank_zero(self._choose_plan)
        planned_model = self.plan.of(self.model)
        self.scaler = torch.amp.GradScaler(enabled=self.plan.precision == torch.float16)
        self.optimiser = torch.optim.Adam(
            self.model.parameters(),
            lr=self.config.lr,
            weight_decay=self.config.weight_decay,
            fused=self.device.type in ("cpu", "cuda"),  # one pass over each parameter instead of six
        )
        self.ema = ExponentialMovingAverage(self.model, self.config.ema) if self.config.ema else None
        self.order = torch.Generator().manual_seed(self.config.seed)
        self.augmentation = Augmentation(self.config, context.field_shifts())
        self.generators = {"order": self.order, **self.augmentation.generators}
        self.gradient = BatchGradient(
            planned_model,
            self._class_weights() if self.config.class_weights else None,
            self.scaler,
            self.plan.precision,
            self.config,
            self.callback.message,
            self.world,
        )
        self.history: list[EpochRow] = []

    def fit(self, *, resume: bool = False) -> list[EpochRow]:
        """Train to the last epoch, or until patience runs out; return one row for each epoch.

        Raises
        ------
        TrainingError
            When a loss or gradient becomes NaN or infinite, or memory runs out; the checkpoints stay as the
            last whole epoch left them.
        """
        if resume:
            self._restore()
        epochs, patience = self.config.epochs, self.config.patience
        steps = len(cut_batches(self.split.train, self.config.batch))
        self.gradient.note_batch_norm()
        self.callback.on_train_start(self.context.folder, epochs, len(self.history), steps)
        try:
            while len(self.history) < epochs and not out_of_patience(self.history, patience):
                self._run_epoch(len(self.history))
        except (RuntimeError, MemoryError) as error:
            if not out_of_memory(error):
                raise
            raise memory_error(len(self.history), self.config, self.gradient.micro_batch.size) from None
        finally:
            self.callback.on_train_end()
        overflows = sum(row["overflows"] for row in self.history)
        if overflows:
            self.callback.message(
                f"Gradients overflowed in float16 in {overflows} of {steps * len(self.history)} steps, which "
                "were skipped."
            )
        return self.history

    def _run_epoch(self, epoch: int) -> None:
        started = time.perf_counter()
        rate = learning_rate(self.config.schedule, self.config.lr, epoch, self.config.epochs)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        self.world.seed_rank(self.config.seed, epoch)
        if isinstance(self.model, EpochAware):
            self.model.start_epoch(epoch)

        trained = self.train_epoch()
        self.world.average_batch_norms_(self.model)
        self.world.check_same(f"The network after epoch {epoch + 1}", self.model.state_dict().values())
        if self.ema is not None:
            self._update_batch_norm(self.ema)
        val_loss, val_oa = self._validate()
        if not math.isfinite(val_loss):  # the last step can spoil weights that no further batch sees
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
        row = self.world.on_rank_zero(lambda: row)  # all ranks decide by the same numbers, to the last bit
        best = all(quality(row) > quality(earlier) for earlier in self.history)
        self.history.append(row)
        self.world.on_rank_zero(self._save)
        self.callback.on_epoch(row, best)

    def train_epoch(self) -> EpochTotals:
        """Take one step for each batch of training pixels."""
        self.model.train()
        shuffled = self.split.train[torch.randperm(len(self.split.train), generator=self.order).numpy()]
        batches = cut_batches(shuffled, self.config.batch)
        metrics = EpochMetrics(batches, sync_interval(self.device), self.scaler.is_enabled(), self.callback)
        try:
            for pixels in batches:
                patches = self.augmentation(self.context.cutter(pixels))
                loss, right = self.gradient(patches, self.context.targets_of(pixels))
                metrics.add(loss, right, gradient_norm(self.model.parameters()))
                self.scaler.step(self.optimiser)
                self.scaler.update()
                if self.ema is not None:
                    self.ema.update_parameters(self.model)
            return metrics.totals()
        except NotFiniteError as found:
            raise self._bad_batch(found, batches) from None

    def _bad_batch(self, found: NotFiniteError, batches: list[NDArray[np.int64]]) -> TrainingError:
        bad_patches = not bool(torch.isfinite(self.context.cutter(batches[found.batch])).all())
        batch = name_batch(found.batch, batches, self.split.shape[1], bad_patches)
        return self._not_finite(found.what, found.value, batch)

    def _not_finite(self, what: str, value: float, batch: str = "") -> TrainingError:
        mixed = self.plan.precision != torch.float32
        return not_finite_error(what, value, len(self.history), self.checkpoints, self.config, mixed, batch)

    def _update_batch_norm(self, ema: ExponentialMovingAverage) -> None:
        """Measure the batch-norm statistics of the mean weights on training pixels, always the same ones."""
        random = np.random.default_rng(self.config.seed)
        pixels = random.permutation(self.split.train)[:BATCH_NORM_PIXELS]
        batches = np.array_split(pixels, max(1, len(pixels) // max(2, self.config.batch)))
        with autocast(self.device, self.plan.precision):
            ema.update_batch_norm(self.context.cutter(batch) for batch in batches)
        self.world.broadcast_(ema.state_dict().values())

    def _validate(self) -> tuple[float, float]:
        """Return mean loss and OA on the validation pixels."""
        pixels = self.split.val
        predict = partial(predict_logits, self._validated_model(), self.context.cutter)
        with autocast(self.device, self.plan.precision):
            logits = self.world.map_pixels(predict, pixels)
        targets = self.context.targets_of(pixels).cpu()
        loss = functional.cross_entropy(logits, targets).item()
        return loss, float((logits.argmax(dim=1) == targets).double().mean())

    def _validated_model(self) -> nn.Module:
        """Return the network that is validated and kept: with the mean weights, if there are any."""
        return self.model if self.ema is None else self.ema.module

    def _choose_plan(self) -> ExecutionPlan:
        steps = self.config.epochs * len(cut_batches(self.split.train, self.config.batch))
        trial = step_trial(self.model, self.context.cutter.bands, self.config, self.device)
        formats = other_formats(self.model)
        return choose_plan(self.config, self.device, formats, steps, trial, self.callback.message)

    def _class_weights(self) -> Tensor:
        """Return class weights proportional to 1 / training pixels, with mean 1 over training pixels."""
        targets = self.context.targets_of(self.split.train)
        counts = torch.bincount(targets, minlength=int(self.context.targets.max()) + 1).float()
        weights = torch.where(counts > 0, 1 / counts.clamp(min=1), 0.0)
        return weights * counts.sum() / (weights * counts).sum()

    def _save(self) -> None:
        row = self.history[-1]
        if is_kept(self.history, self.config):
            facts = {**self.context.facts, "epoch": row["epoch"], "val_oa": row["val_oa"]}
            save_weights(self.checkpoints / BEST, self._validated_model(), facts)
        state = {
            "history": self.history,
            "scaler": self.scaler.state_dict(),
            "patches_at_once": self.gradient.micro_batch.size,
        }
        save_state(self.checkpoints / LAST, self.model, self.optimiser, self.generators, state, self.ema)
        self._write_history()

    def _write_history(self) -> None:
        write_text(self.context.folder / "history.csv", history_csv(self.history))

    def _restore(self) -> None:
        path, micro_batch = self.checkpoints / LAST, self.gradient.micro_batch
        facts = load_state(path, self.model, self.optimiser, self.generators, self.ema)
        try:
            self.history = history_of(facts["history"])
            self.scaler.load_state_dict(facts["scaler"])
            micro_batch.size = int(facts.get("patches_at_once", self.config.batch))
            if not 0 < micro_batch.size <= self.config.batch:
                raise ValueError(f"it has micro-batches of {micro_batch.size} patches")
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            raise RunError(f"The checkpoint '{path}' is damaged: {error}.") from None
        # A process killed after the checkpoint had not written its last epoch to history.csv yet.
        self.world.on_rank_zero(self._write_history)
