"""The processes ("ranks") that share one training: what each of them does, and what all agree on.

Every rank holds the whole scene and the whole network, and draws the same batches and the same random changes
of their patches, so what a patch sees does not depend on the number of ranks. Each takes its share of a batch
through its network; the gradients of the shares, weighed by what each has in the mean loss of the batch, are
summed, so that all take the step of the whole batch. Prediction is shared out by pixels. The files of the run
are written once, by the first rank; all read them, so several machines need one folder that they share.

*Batch norm* normalises with the statistics of a rank's share (`torch.nn.SyncBatchNorm` takes no CPU tensors,
and the fused operators do not pass through it), just as it does where one process takes a batch in pieces
(`hsi.training.gradient`). Running averages are averaged over the ranks after each epoch, so that all of them
validate and keep one network. A network without batch norm comes out as in one process, but for rounding.

*Random draws inside a network* (dropout) differ from rank to rank on purpose, and so from those of one
process. KANet takes its knots from the share of the first rank.

Why not `torch.nn.parallel.DistributedDataParallel`: it sends gradients from within the backward pass, so a
rank that runs out of memory half-way and tries again in smaller pieces would send them twice. Ours are sent
when the gradient of a share is complete; that costs the overlap of sending and computing, which is small here
since the networks are (a few MB).

How a process that torchrun started finds the others of its job, and what it says when one is lost.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta
from typing import Any, TypeVar

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.distributed.rendezvous import rendezvous

from hsi.errors import ClusterError, ConfigError, HsiError, TrainingError
from hsi.training.batches import batch_norms

Result = TypeVar("Result")


class World:
    """One process that trains alone: it takes everything, agrees with itself, and none of this costs time.

    Attributes
    ----------
    rank, world_size
        Which rank this is, from 0, and how many there are.
    is_rank_zero
        Whether it is rank 0, which writes and speaks.
    """

    rank = 0
    world_size = 1

    @property
    def is_rank_zero(self) -> bool:
        """Whether this is rank 0."""
        return self.rank == 0

    def share(self, length: int, least: int = 1) -> slice:
        """Return which rows of `length` are this rank's: an even part, in order, of `least` rows or more.

        Where the rows do not suffice for all, the last ranks get an empty part.
        """
        return share_of(self.rank, self.world_size, length, least)

    def place(self, device: torch.device) -> None:
        """Take this rank's own GPU where `device` is "cuda".

        Raises
        ------
        ConfigError
            Where ranks cannot compute on such a device, or a machine has fewer GPUs than ranks.
        """

    def on_rank_zero(self, act: Callable[[], Result]) -> Result:
        """Have the first rank do something while all wait; return what it got, or raise what it raised."""
        return act()

    def map_pixels(self, work: Callable[[NDArray[np.int64]], Tensor], pixels: NDArray[np.int64]) -> Tensor:
        """Return ``work(pixels)``, a row on the CPU for each pixel, each computed by one rank."""
        return work(pixels)

    def sum_gradients_(self, model: nn.Module, beside: Tensor) -> None:
        """Sum the gradients of the ranks' shares, and the numbers in `beside`, in place."""

    def average_batch_norms_(self, model: nn.Module) -> None:
        """Replace the running averages of batch norms by their mean over the ranks."""

    def broadcast_(self, tensors: Iterable[Tensor]) -> None:
        """Overwrite tensors with those of the first rank."""

    def check_same(self, what: str, tensors: Iterable[Tensor]) -> None:
        """Compare tensors over the ranks, to the last bit.

        Raises
        ------
        TrainingError
            When they differ; `what` names them.
        """

    def seed_rank(self, seed: int, epoch: int) -> None:
        """Give each rank but the first random numbers of its own for dropout in this epoch."""


class MultiProcessWorld(World):
    """One of several ranks, joined by `hsi.training.distributed.join`.

    Parameters
    ----------
    rank, world_size
        As in `World`.
    local_rank
        Which rank this is on its machine.
    """

    def __init__(self, rank: int, world_size: int, local_rank: int) -> None:
        self.rank, self.world_size, self.local_rank = rank, world_size, local_rank

    def place(self, device: torch.device) -> None:
        """See `World.place`."""
        if device.type == "cuda":
            gpus = torch.cuda.device_count()
            if self.local_rank >= gpus:
                raise ConfigError(
                    f"torchrun started a process for more GPUs than this machine has; use --nproc-per-node "
                    f"{gpus}, or --device cpu."
                )
            torch.cuda.set_device(self.local_rank)
        elif device.type != "cpu":
            raise ConfigError(f"Several processes cannot share '{device.type}'; use --device cpu.")

    def on_rank_zero(self, act: Callable[[], Result]) -> Result:
        """See `World.on_rank_zero`; what comes back must be picklable and small."""
        told: list[Any] = [None, None]
        try:
            if self.is_rank_zero:
                told[0] = act()
        except HsiError as error:
            told[1] = (type(error), error.args, vars(error))
            _from_first(told)
            raise
        _from_first(told)
        if not self.is_rank_zero and told[1] is not None:
            kind, arguments, facts = told[1]
            failed = kind.__new__(kind, *arguments)  # not kind(...), which may want other arguments
            vars(failed).update(facts)
            raise failed
        result: Result = told[0]
        return result

    def map_pixels(self, work: Callable[[NDArray[np.int64]], Tensor], pixels: NDArray[np.int64]) -> Tensor:
        """See `World.map_pixels`."""
        parts = [share_of(number, self.world_size, len(pixels)) for number in range(self.world_size)]
        sizes = [part.stop - part.start for part in parts]
        # A rank without a pixel does the first one, for the shape of a row alone.
        mine = work(pixels[parts[self.rank] if sizes[self.rank] else slice(0, 1)])
        padded = mine.new_zeros((sizes[0], *mine.shape[1:]))
        padded[: sizes[self.rank]] = mine[: sizes[self.rank]]
        gathered = [torch.empty_like(padded) for _ in parts]
        dist.all_gather(gathered, padded)
        return torch.cat([rows[:size] for rows, size in zip(gathered, sizes, strict=True)])

    def sum_gradients_(self, model: nn.Module, beside: Tensor) -> None:
        """See `World.sum_gradients_`; each trained parameter has a gradient then, zero if none moved it."""
        tensors = [beside]
        for parameter in model.parameters():
            if parameter.requires_grad:
                if parameter.grad is None:
                    parameter.grad = torch.zeros_like(parameter)
                tensors.append(parameter.grad)
        _all(tensors, dist.all_reduce)

    def average_batch_norms_(self, model: nn.Module) -> None:
        """See `World.average_batch_norms_`; the count of batches, a whole number, is that of the first rank."""
        buffers = [buffer for norm in batch_norms(model) for buffer in norm.buffers()]
        averages = [buffer for buffer in buffers if buffer.is_floating_point()]
        _all(averages, dist.all_reduce)
        for average in averages:
            average /= self.world_size
        self.broadcast_(buffer for buffer in buffers if not buffer.is_floating_point())

    def broadcast_(self, tensors: Iterable[Tensor]) -> None:
        """See `World.broadcast_`."""
        _all(tensors, lambda flat: dist.broadcast(flat, src=0))

    def check_same(self, what: str, tensors: Iterable[Tensor]) -> None:
        """See `World.check_same`."""
        mine = torch.frombuffer(bytearray(_digest(tensors)), dtype=torch.uint8)
        gathered = [torch.empty_like(mine) for _ in range(self.world_size)]
        dist.all_gather(gathered, mine)
        other = [number for number, theirs in enumerate(gathered) if not torch.equal(theirs, gathered[0])]
        if other:
            raise TrainingError(
                f"{what} of rank {other[0]} is not that of rank 0, so they no longer train one network; give "
                "all ranks the same kind of device and the same versions of hsi and PyTorch."
            )

    def seed_rank(self, seed: int, epoch: int) -> None:
        """See `World.seed_rank`; draws depend on seed, epoch and rank alone, so a resumed run has them too."""
        if not self.is_rank_zero:
            words = np.random.SeedSequence([seed, epoch, self.rank]).generate_state(1, np.uint64)
            torch.manual_seed(int(words[0]))


def share_of(rank: int, world_size: int, length: int, least: int = 1) -> slice:
    """Return the rows that rank `rank` of `world_size` has of `length`; as ``numpy.array_split`` cuts them."""
    parts = min(world_size, max(1, length // least))
    if rank >= parts:
        return slice(length, length)
    size, longer = divmod(length, parts)
    start = rank * size + min(rank, longer)
    return slice(start, start + size + (rank < longer))


def _from_first(told: list[Any]) -> None:
    dist.broadcast_object_list(told, src=0, device=torch.device("cpu"))


def _all(tensors: Iterable[Tensor], act: Callable[[Tensor], object]) -> None:
    """Let `act` change tensors of any layout in place, in one piece for each dtype and device."""
    alike: dict[tuple[torch.dtype, torch.device], list[Tensor]] = {}
    for tensor in tensors:
        alike.setdefault((tensor.dtype, tensor.device), []).append(tensor)
    for group in alike.values():
        _act_on(group, act)


@torch.no_grad()
def _act_on(tensors: Sequence[Tensor], act: Callable[[Tensor], object]) -> None:
    flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
    act(flat)
    for tensor, new in zip(tensors, flat.split([tensor.numel() for tensor in tensors]), strict=True):
        tensor.copy_(new.view(tensor.shape))


def _digest(tensors: Iterable[Tensor]) -> bytes:
    found = hashlib.sha256()
    for tensor in tensors:
        found.update(tensor.detach().reshape(-1).contiguous().view(torch.uint8).cpu().numpy().tobytes())
    return found.digest()


TIMEOUT = timedelta(minutes=10)
"""A rank waits so long for the others, who load the scene at about the same pace: our decision."""

TELLING = timedelta(seconds=5)
"""So long a rank that failed waits to hear whether another one has told why: our decision."""


class TorchrunWorld(MultiProcessWorld):
    """A rank of a job whose processes talk to each other, over NCCL between GPUs and over gloo else."""

    def __init__(self, rank: int, world_size: int, local_rank: int, store: Any) -> None:
        super().__init__(rank, world_size, local_rank)
        self._store = store

    def claims_report(self) -> bool:
        """Return True on the one rank that asks first: it tells the user why the job ended."""
        try:
            self._store.set_timeout(TELLING)
            return bool(self._store.add("hsi/told", 1) == 1)
        except (RuntimeError, ValueError):  # nobody is left to ask
            return True

    def leave(self) -> None:
        """End the connections, once all ranks are done."""
        dist.destroy_process_group()


def join(rank: int, world_size: int, local_rank: int) -> TorchrunWorld:
    """Join the other processes of the job, which the environment says how to reach (``MASTER_ADDR`` ...).

    Parameters
    ----------
    rank, world_size, local_rank
        As in `hsi.training.distributed.MultiProcessWorld`.

    Raises
    ------
    ClusterError
        When the others cannot be reached, or this PyTorch has no torch.distributed.
    """
    if not dist.is_available():
        raise ClusterError("This PyTorch was built without torch.distributed, which torchrun jobs need.")
    gpus = torch.cuda.is_available() and dist.is_nccl_available()
    try:
        store, rank, world_size = next(rendezvous("env://", rank, world_size, timeout=TIMEOUT))
        dist.init_process_group(
            "cpu:gloo,cuda:nccl" if gpus else "gloo",
            store=store,
            rank=rank,
            world_size=world_size,
            timeout=TIMEOUT,
        )
    except (RuntimeError, ValueError, OSError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
        raise ClusterError(f"The {world_size} processes of this job could not join: {reason}.") from None
    return TorchrunWorld(rank, world_size, local_rank, store)


def lost_another(error: BaseException) -> bool:
    """Tell whether an error means that another rank no longer answers."""
    return isinstance(error, RuntimeError) and (isinstance(error, dist.DistError) or "gloo" in str(error))
