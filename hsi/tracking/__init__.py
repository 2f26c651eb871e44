"""A training logged to experiment trackers while it runs: TensorBoard and MLflow."""

from hsi.tracking.trackers import TRACKERS, with_trackers

__all__ = ["TRACKERS", "with_trackers"]
