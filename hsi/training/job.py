"""What any training works on, whether step by step or at once."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from hsi.datasets.patches import PatchCutter
from hsi.datasets.split import Split
from hsi.runs.config import Config
from hsi.training.field_differences import field_differences
from hsi.training.field_groups import FieldGroups, field_groups
from hsi.training.ranks import Ranks
from hsi.training.watcher import Watcher


@dataclass
class Job:
    """One model on one split of one scene, and the run folder that is written.

    `targets` holds the class 0..C-1 of every pixel of the scene (row-major, -1 where unlabelled) on the
    training device; `folder` is the run folder; `facts` is written beside the best weights; `ranks` are the
    processes that share the work.
    """

    model: nn.Module
    cutter: PatchCutter
    targets: Tensor
    split: Split
    config: Config
    folder: Path
    facts: dict[str, object]
    watcher: Watcher
    ranks: Ranks = field(default_factory=Ranks)

    def wanted(self, pixels: NDArray[np.int64]) -> Tensor:
        """Return the classes 0..C-1 of some pixels, on the training device."""
        return self.targets[torch.tensor(pixels).to(self.targets.device)]

    def fields(self) -> FieldGroups:
        """Return the pieces of ground that the training pixels lie on, in their order."""
        pixels = self.split.train
        return field_groups(pixels, self.wanted(pixels).cpu().numpy(), self.split.shape[1])

    def differences(self) -> Tensor | None:
        """Return the ``(fields, bands)`` that `field_shift` changes patches by; None where it is off."""
        if not self.config.field_shift:
            return None
        pixels = self.split.train
        classes = self.wanted(pixels).cpu().numpy()
        rows = field_differences(self.cutter.spectra(pixels), classes, self.fields().group)
        return self.config.field_shift * rows
