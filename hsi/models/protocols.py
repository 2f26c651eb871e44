"""Optional interfaces of a model beside ``forward``, which training and inference look for."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from torch import Tensor


@runtime_checkable
class DensePrefix(Protocol):
    """A network whose first layers can run over a whole image, since neighbouring patches share their output.

    The prefix has no spatial padding, no stride and no sum over the patch, so that ``prefix(patch of image)``
    is a window of ``prefix(image)``; and ``forward(x) = after_prefix(prefix(x))``.

    Attributes
    ----------
    prefix_shrinks_by
        Rows, and columns, that the prefix removes from its input; at most P - 1.
    """

    prefix_shrinks_by: int

    def prefix(self, image: Tensor) -> Tensor:
        """``(N, bands, H, W)``, H and W >= P, to ``(N, features, H - s, W - s)``, s = prefix_shrinks_by."""

    def after_prefix(self, features: Tensor) -> Tensor:
        """``(N, features, P - s, P - s)`` to logits ``(N, classes)``."""


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
        """Fit to features and classes 0..C-1; return notes for the user.

        `groups` number the connected fields, which the model's own cross-validation keeps together.
        """


@runtime_checkable
class EpochAware(Protocol):
    """A network that adapts itself between epochs, as KANet does with its grid."""

    def start_epoch(self, epoch: int) -> None:
        """Called before epoch `epoch` (0-based)."""


@runtime_checkable
class SelfInitialised(Protocol):
    """A block whose convolutions keep the start that the block gave them.

    The backbone's rule, made for convolutions over all channels, passes over it.

    Attributes
    ----------
    self_initialised
        True; the attribute alone marks the block.
    """

    self_initialised: bool


@runtime_checkable
class Switchable(Protocol):
    """A block whose mechanism is off while some of its parameters are zero; see `hsi.explain.switch_off`.

    Attributes
    ----------
    mechanism
        What is switched off, such as "wavelets".
    """

    mechanism: str

    def switch_parameters(self) -> Iterable[Tensor]:
        """Return the parameters that are zero while the mechanism is off."""
