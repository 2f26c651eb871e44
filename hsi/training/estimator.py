"""Training of a classifier that is fitted at once, not step by step."""

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
from hsi.training.augmentation import PLACES
from hsi.training.autotune import ExecutionPlan
from hsi.training.callbacks import EpochRow
from hsi.training.context import TrainingContext
from hsi.training.epoch_metrics import history_csv

COPIES = 3
"""Shifted copies of each training pixel that a model learns from beside the pixel itself: our decision."""


class EstimatorTrainer(TrainingContext):
    """A model that is fitted at once: made, used and watched as `hsi.training.loop.Trainer`.

    It writes the same files but for the last checkpoint, since there is nothing to go on from. The history
    has one row; learning rate and losses are NaN there. Of the random changes of patches only ``field_shift``
    means something here: it adds `COPIES` of each training pixel.
    """

    plan = ExecutionPlan(torch.float32)

    def fit(self, *, resume: bool = False) -> list[EpochRow]:
        """Fit on the training pixels, from the start even if `resume`; return the one row of the history."""
        self.callback.on_train_start(self.folder, 1, 0, 1)
        try:
            started = time.perf_counter()
            self._fit()
            row = EpochRow(
                epoch=0,
                lr=math.nan,
                train_loss=math.nan,
                train_oa=self._oa(self.split.train),
                val_loss=math.nan,
                val_oa=self._oa(self.split.val),
                overflows=0,
                seconds=time.perf_counter() - started,
            )
            save_weights(
                self.folder / "checkpoint" / BEST,
                self.model,
                {**self.facts, "epoch": row["epoch"], "val_oa": row["val_oa"]},
            )
            write_text(self.folder / "history.csv", history_csv([row]))
            self.callback.on_epoch(row, True)
        finally:
            self.callback.on_train_end()
        return [row]

    def _fit(self) -> None:
        assert isinstance(self.model, Estimator)
        targets, fields = self.targets_of(self.split.train).cpu(), self.fields()
        features = self._features()
        copies = len(features) // len(targets)
        balanced = self.config.class_weights
        notes = self.model.fit(
            features,
            targets.repeat(copies),
            np.tile(fields.group, copies),
            seed=self.config.seed,
            balanced=balanced,
        )
        if self.model.chosen and fields.cut:
            self.callback.message(
                "Cross-validation is less strict for classes with too few separate training fields, which "
                f"were cut into pieces that touch: {len(fields.cut)} of {len(targets.unique())} classes."
            )
        for note in notes:
            self.callback.message(note)

    def _features(self) -> Tensor:
        """Return the training pixels' features, with `field_shift` behind them those of shifted copies."""
        assert isinstance(self.model, Estimator)
        pixels, differences = self.split.train, self.differences()
        features = [self.model.extract(patches) for patches in self._patches(pixels)]
        if differences is not None:
            draws = torch.Generator().manual_seed(self.config.seed + PLACES["fields"])
            for _ in range(COPIES):
                for patches in self._patches(pixels):
                    features.append(self.model.extract(shift_spectra(patches, differences, draws)))
        return torch.cat(features)

    def _patches(self, pixels: NDArray[np.int64]) -> Iterator[Tensor]:
        return (self.cutter(pixels[start : start + BATCH]) for start in range(0, len(pixels), BATCH))

    def _oa(self, pixels: NDArray[np.int64]) -> float:
        found = predict_labels(self.model, self.cutter, pixels) - 1
        return float((found == self.targets_of(pixels).cpu().numpy()).mean())
