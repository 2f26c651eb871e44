"""A training told to experiment trackers while it runs: TensorBoard and MLflow."""

from hsi.tracking.trackers import TRACKERS, tracked

__all__ = ["TRACKERS", "tracked"]
