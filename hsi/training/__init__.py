"""Training: one network, one scene, one run folder; or several of them."""

from hsi.training.callbacks import Callback, EpochRow
from hsi.training.run_group import resume_runs, train_runs
from hsi.training.session import resume, train

__all__ = ["Callback", "EpochRow", "resume", "resume_runs", "train", "train_runs"]
