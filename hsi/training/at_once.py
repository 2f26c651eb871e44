"""Training of a classifier that is fitted at once, not step by step."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from hsi.datasets.patches import PatchCutter
from hsi.datasets.split import Split
from hsi.mapping.predict import BATCH, predict_labels
from hsi.runs.atomic import write_text
from hsi.runs.checkpoint import BEST, save_weights
from hsi.runs.config import Config
from hsi.training.field_groups import field_groups
from hsi.training.loop import history_csv
from hsi.training.watcher import EpochRow, Watcher


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


@dataclass
class AtOnce:
    """One such model on one split of one scene: made, used and watched as `hsi.training.loop.Trainer`.

    It writes the same files but for the last checkpoint, since there is nothing to go on from. The history
    has one row; learning rate and losses are NaN there.
    """

    model: nn.Module
    cutter: PatchCutter
    targets: Tensor
    split: Split
    config: Config
    folder: Path
    facts: dict[str, object]
    watcher: Watcher

    precision = torch.float32

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
        targets = self._classes(pixels)
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
        return float((found == self._classes(pixels).numpy()).mean())

    def _classes(self, pixels: NDArray[np.int64]) -> Tensor:
        return self.targets[torch.from_numpy(pixels).to(self.targets.device)].cpu()
