"""How a process that torchrun started finds the others of its job, and what it says when one is lost."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch.distributed.rendezvous import rendezvous

from hsi.errors import ClusterError
from hsi.training.ranks import Together

TIMEOUT = timedelta(minutes=10)
"""A rank waits so long for the others, who load the scene at about the same pace: our decision."""

TELLING = timedelta(seconds=5)
"""So long a rank that failed waits to hear whether another one has told why: our decision."""


class Joined(Together):
    """A rank of a job whose processes talk to each other, over NCCL between GPUs and over gloo else."""

    def __init__(self, number: int, count: int, local: int, store: Any) -> None:
        super().__init__(number, count, local)
        self._store = store

    def tells(self) -> bool:
        """Return True on the one rank that asks first: it tells the user why the job ended."""
        try:
            self._store.set_timeout(TELLING)
            return bool(self._store.add("hsi/told", 1) == 1)
        except (RuntimeError, ValueError):  # nobody is left to ask
            return True

    def leave(self) -> None:
        """End the connections, once all ranks are done."""
        dist.destroy_process_group()


def join(number: int, count: int, local: int) -> Joined:
    """Join the other processes of the job, which the environment says how to reach (``MASTER_ADDR`` ...).

    Parameters
    ----------
    number, count, local
        As in `hsi.training.ranks.Together`.

    Raises
    ------
    ClusterError
        When the others cannot be reached, or this PyTorch has no torch.distributed.
    """
    if not dist.is_available():
        raise ClusterError("This PyTorch was built without torch.distributed, which torchrun jobs need.")
    gpus = torch.cuda.is_available() and dist.is_nccl_available()
    try:
        store, number, count = next(rendezvous("env://", number, count, timeout=TIMEOUT))
        dist.init_process_group(
            "cpu:gloo,cuda:nccl" if gpus else "gloo",
            store=store,
            rank=number,
            world_size=count,
            timeout=TIMEOUT,
        )
    except (RuntimeError, ValueError, OSError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
        raise ClusterError(f"The {count} processes of this job could not join: {reason}.") from None
    return Joined(number, count, local, store)


def lost_another(error: BaseException) -> bool:
    """Tell whether an error means that another rank no longer answers."""
    return isinstance(error, RuntimeError) and (isinstance(error, dist.DistError) or "gloo" in str(error))
