"""Training: one network, one scene, one run folder."""

from hsi.training.session import resume, train
from hsi.training.watcher import EpochRow, Watcher

__all__ = ["EpochRow", "Watcher", "resume", "train"]
