"""What a network computes once a pixel, for all the patches that the pixel lies in."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from torch import Tensor


@runtime_checkable
class SharesPixels(Protocol):
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

    shrinks_by: int

    def shared_part(self, image: Tensor) -> Tensor:
        """``(N, bands, H, W)``, H and W at least P, to ``(N, features, H - shrinks_by, W - shrinks_by)``."""

    def after_shared(self, features: Tensor) -> Tensor:
        """``(N, features, P - shrinks_by, P - shrinks_by)`` to logits ``(N, classes)``."""
