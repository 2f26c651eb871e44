"""Training: one network, one scene, one run folder; or several of them."""

from hsi.training.repeat import resume_runs, train_runs
from hsi.training.session import resume, train
from hsi.training.watcher import EpochRow, Watcher

__all__ = ["EpochRow", "Watcher", "resume", "resume_runs", "train", "train_runs"]
