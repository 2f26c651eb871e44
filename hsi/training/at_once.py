"""Training of a classifier that is fitted at once, not step by step."""

from __future__ import annotations

import math
import time
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hsi.mapping.predict import BATCH, predict_labels
from hsi.runs.atomic import write_text
from hsi.runs.checkpoint import BEST, save_weights
from hsi.training.field_groups import field_groups
from hsi.training.history import history_csv
from hsi.training.job import Job
from hsi.training.watcher import EpochRow
from hsi.training.way import Way


@runtime_checkable
class FitsAtOnce(Protocol):
    """A model without gradients, as `hsi.models.classical.Classical`; its state dict is the fitted model."""

    @property
    def chosen(self) -> dict[str, float]:
        """The settings that `fit` chose."""

    def extract(self, patches: Tensor) -> Tensor:
        """Return features ``(N, features)`` of patches ``(N, bands, P, P)``."""

    def fit(
        self, features: Tensor, targets: Tensor, groups: NDArray[np.int64], *, seed: int, balanced: bool
    ) -> list[str]:
        """Learn from features and classes 0..C-1; return what the user should know.

        `groups` number the pieces of ground, for the model's own cross-validation.
        """


class AtOnce(Job):
    """A model that is fitted at once: made, used and watched as `hsi.training.loop.Trainer`.

    It writes the same files but for the last checkpoint, since there is nothing to go on from. The history
    has one row; learning rate and losses are NaN there.
    """

    way = Way(torch.float32)

    def fit(self, *, resume: bool = False) -> list[EpochRow]:
        """Fit on the training pixels, from the start even if `resume`; return the one row of the history."""
        self.watcher.start(self.folder, 1, 0, 1)
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
            self.watcher.epoch(row, True)
        finally:
            self.watcher.stop()
        return [row]

    def _fit(self) -> None:
        assert isinstance(self.model, FitsAtOnce)
        pixels = self.split.train
        batches = (self.cutter(pixels[start : start + BATCH]) for start in range(0, len(pixels), BATCH))
        features = torch.cat([self.model.extract(patches) for patches in batches])
        targets = self.wanted(pixels).cpu()
        fields = field_groups(pixels, targets.numpy(), self.split.shape[1])
        balanced = self.config.class_weights
        notes = self.model.fit(features, targets, fields.group, seed=self.config.seed, balanced=balanced)
        if self.model.chosen and fields.cut:
            self.watcher.say(
                "Cross-validation is less strict for classes with too few separate training fields, which "
                f"were cut into pieces that touch: {len(fields.cut)} of {len(targets.unique())} classes."
            )
        for note in notes:
            self.watcher.say(note)

    def _oa(self, pixels: NDArray[np.int64]) -> float:
        found = predict_labels(self.model, self.cutter, pixels) - 1
        return float((found == self.wanted(pixels).cpu().numpy()).mean())
