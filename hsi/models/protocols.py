"""What a model may offer beside ``forward``; the training and the inference look for it by these protocols."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from torch import Tensor


@runtime_checkable
class DensePrefix(Protocol):
    """A network whose first part sees no border of the patch: neighbouring patches share what it computes.

    Such a part has no padding between its layers (in rows and columns), no sum over the whole patch, and no
    stride. Then cutting a patch and computing is the same as computing and cutting: for any image,
    ``shared_part(patch of image) = window of shared_part(image)``, and ``forward(x) =
    after_shared(shared_part(x))``. A network with zero padding in its first layers, such as the backbone, is
    not of this kind.

    Attributes
    ----------
    shrinks_by
        Rows, and columns, that the shared part takes off its input; at most P - 1.
    """

    prefix_shrinks_by: int

    def prefix(self, image: Tensor) -> Tensor:
        """``(N, bands, H, W)``, H and W at least P, to ``(N, features, H - shrinks_by, W - shrinks_by)``."""

    def after_prefix(self, features: Tensor) -> Tensor:
        """``(N, features, P - shrinks_by, P - shrinks_by)`` to logits ``(N, classes)``."""


@runtime_checkable
class Estimator(Protocol):
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


@runtime_checkable
class EpochAware(Protocol):
    """A network that adapts itself as training goes on, as KANet does with its grid."""

    def start_epoch(self, epoch: int) -> None:
        """Epoch `epoch` (0-based) begins."""
