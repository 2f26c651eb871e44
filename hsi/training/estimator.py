"""Training of an estimator, which is fitted in one go."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hsi.datasets.augment import shift_spectra
from hsi.inference.predict import BATCH, predict_labels
from hsi.io.files import write_text
from hsi.models.protocols import Estimator
from hsi.runs.checkpoint import BEST, save_weights
from hsi.training.augmentation import SEED_OFFSETS
from hsi.training.autotune import ExecutionPlan
from hsi.training.callbacks import EpochRow
from hsi.training.context import TrainingContext
from hsi.training.epoch_metrics import history_csv

COPIES = 3
"""Shifted copies of each training pixel beside the pixel itself, with ``field_shift``."""


class EstimatorTrainer:
    """Fits an estimator; made and used as `hsi.training.loop.Trainer`.

    It writes the same files but the last checkpoint, as there is nothing to resume. The history has one row;
    learning rate and losses are NaN there. Of the random changes of patches only ``field_shift`` applies: it
    adds `COPIES` of each training pixel.
    """

    plan = ExecutionPlan(torch.float32)

    def __init__(self, context: TrainingContext) -> None:
        assert isinstance(context.model, Estimator)
        self.context, self.model, self.pixels = context, context.model, context.split.train

    def fit(self, *, resume: bool = False) -> list[EpochRow]:
        """Fit on the training pixels, from the start even if `resume`; return the one row of the history."""
        context = self.context
        context.callback.on_train_start(context.folder, 1, 0, 1)
        try:
            started = time.perf_counter()
            self._fit()
            row = EpochRow(
                epoch=0,
                lr=math.nan,
                train_loss=math.nan,
                train_oa=self._oa(self.pixels),
                val_loss=math.nan,
                val_oa=self._oa(context.split.val),
                overflows=0,
                seconds=time.perf_counter() - started,
            )
            facts = {**context.facts, "epoch": row["epoch"], "val_oa": row["val_oa"]}
            save_weights(context.folder / "checkpoint" / BEST, context.model, facts)
            write_text(context.folder / "history.csv", history_csv([row]))
            context.callback.on_epoch(row, True)
        finally:
            context.callback.on_train_end()
        return [row]

    def _fit(self) -> None:
        targets, fields = self.context.targets_of(self.pixels).cpu(), self.context.fields()
        features = self._features()
        copies = len(features) // len(targets)
        notes = self.model.fit(
            features,
            targets.repeat(copies),
            np.tile(fields.group, copies),
            seed=self.context.config.seed,
            balanced=self.context.config.class_weights,
        )
        if self.model.chosen and fields.cut:
            self.context.callback.message(
                "The settings were chosen by cross-validation over training fields, connected pieces of one "
                f"class; {len(fields.cut)} of {len(targets.unique())} classes have too few fields, so theirs "
                "were cut into touching pieces, which makes the accuracy during that choice look too good."
            )
        for note in notes:
            self.context.callback.message(note)

    def _features(self) -> Tensor:
        """Return the training pixels' features, followed by those of shifted copies with ``field_shift``."""
        shifts = self.context.field_shifts()
        features = [self.model.extract(patches) for patches in self._patches()]
        if shifts is not None:
            draws = torch.Generator().manual_seed(self.context.config.seed + SEED_OFFSETS["fields"])
            for _ in range(COPIES):
                for patches in self._patches():
                    features.append(self.model.extract(shift_spectra(patches, shifts, draws)))
        return torch.cat(features)

    def _patches(self) -> Iterator[Tensor]:
        starts = range(0, len(self.pixels), BATCH)
        return (self.context.cutter(self.pixels[start : start + BATCH]) for start in starts)

    def _oa(self, pixels: NDArray[np.int64]) -> float:
        found = predict_labels(self.context.model, self.context.cutter, pixels) - 1
        return float((found == self.context.targets_of(pixels).cpu().numpy()).mean())
