"""The processes ("ranks") that share one training: what each of them does, and how they stay in step.

Every rank holds the whole scene and the whole network, and draws the same batches and the same random changes
of their patches, so what a patch sees does not depend on the number of ranks. Each takes its share of a
batch; the gradients of the shares, weighted by their part of the mean loss of the batch, are summed, so that
all take the step of the whole batch. Prediction is shared by pixels. Rank 0 writes the files of the run; all
read them, so several machines need one shared folder.

*Batch norm* normalises with the statistics of a rank's share (`torch.nn.SyncBatchNorm` takes no CPU tensors,
and the fused operators bypass it), as it does in one process with micro-batches (`hsi.training.gradient`).
Running averages are averaged over the ranks after each epoch, so that all of them validate and keep one
network. A network without batch norm comes out as in one process, but for rounding.

*Random draws inside a network* (dropout) differ from rank to rank on purpose, and so from those of one
process. KANet takes its knots from the share of rank 0.

Why not `torch.nn.parallel.DistributedDataParallel`: it sends gradients during the backward pass, so a rank
that runs out of memory half-way and tries again with smaller micro-batches would send them twice. Ours are
sent when the gradient of a share is complete; that gives up the overlap of communication and computation,
which is small as the networks are (a few MB).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
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
PixelFunction = Callable[[NDArray[np.int64]], Tensor]


class World:
    """One process that trains alone; the base of what several do.

    Attributes
    ----------
    rank, world_size
        Index of this process, and how many there are.
    """

    rank = 0
    world_size = 1

    @property
    def is_rank_zero(self) -> bool:
        """Whether this is rank 0, which writes files and shows messages."""
        return self.rank == 0

    def share(self, length: int, least: int = 1) -> slice:
        """Return which of `length` rows are this rank's: an even share, in order, of `least` rows or more.

        With too few rows for all, the last ranks get none.
        """
        return share_of(self.rank, self.world_size, length, least)

    def set_device(self, device: torch.device) -> None:
        """Select this rank's own GPU if `device` is "cuda".

        Raises
        ------
        ConfigError
            When ranks cannot compute on such a device, or a machine has fewer GPUs than ranks.
        """

    def on_rank_zero(self, function: Callable[[], Result]) -> Result:
        """Call a function on rank 0 while all wait; return its result, or raise its error, on all ranks."""
        return function()

    def map_pixels(self, function: PixelFunction, pixels: NDArray[np.int64]) -> Tensor:
        """Return ``function(pixels)``, a row on the CPU for each pixel, each computed by one rank."""
        return function(pixels)

    def sum_gradients_(self, model: nn.Module, sums: Tensor) -> None:
        """Sum the gradients of the ranks' shares, and the numbers in `sums`, in place."""

    def average_batch_norms_(self, model: nn.Module) -> None:
        """Replace the running averages of batch norms by their mean over the ranks."""

    def broadcast_(self, tensors: Iterable[Tensor]) -> None:
        """Overwrite tensors with those of rank 0."""

    def check_same(self, what: str, tensors: Iterable[Tensor]) -> None:
        """Compare tensors over the ranks, to the last bit.

        Raises
        ------
        TrainingError
            When they differ; `what` names them.
        """

    def seed_rank(self, seed: int, epoch: int) -> None:
        """Seed dropout differently on each rank but rank 0, which keeps its random state."""


class MultiProcessWorld(World):
    """One of several ranks; `local_rank` is its index on its machine."""

    def __init__(self, rank: int, world_size: int, local_rank: int) -> None:
        self.rank, self.world_size, self.local_rank = rank, world_size, local_rank

    def set_device(self, device: torch.device) -> None:
        """See `World.set_device`."""
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

    def on_rank_zero(self, function: Callable[[], Result]) -> Result:
        """See `World.on_rank_zero`; the result must be picklable and small."""
        answer: list[Any] = [None, None]  # result, error
        try:
            if self.is_rank_zero:
                answer[0] = function()
        except HsiError as error:
            answer[1] = (type(error), error.args, vars(error))
            _broadcast_objects(answer)
            raise
        _broadcast_objects(answer)
        if not self.is_rank_zero and answer[1] is not None:
            kind, arguments, attributes = answer[1]
            failure = kind.__new__(kind, *arguments)  # not kind(...), which may take other arguments
            vars(failure).update(attributes)
            raise failure
        result: Result = answer[0]
        return result

    def map_pixels(self, function: PixelFunction, pixels: NDArray[np.int64]) -> Tensor:
        """See `World.map_pixels`."""
        shares = [share_of(rank, self.world_size, len(pixels)) for rank in range(self.world_size)]
        sizes = [share.stop - share.start for share in shares]
        # A rank without a pixel computes the first one, only for the shape of a row.
        mine = function(pixels[shares[self.rank] if sizes[self.rank] else slice(0, 1)])
        padded = mine.new_zeros((sizes[0], *mine.shape[1:]))
        padded[: sizes[self.rank]] = mine[: sizes[self.rank]]
        gathered = [torch.empty_like(padded) for _ in shares]
        dist.all_gather(gathered, padded)
        return torch.cat([rows[:size] for rows, size in zip(gathered, sizes, strict=True)])

    def sum_gradients_(self, model: nn.Module, sums: Tensor) -> None:
        """See `World.sum_gradients_`; each trained parameter then has a gradient, if only of zeros."""
        tensors = [sums]
        for parameter in model.parameters():
            if parameter.requires_grad:
                if parameter.grad is None:
                    parameter.grad = torch.zeros_like(parameter)
                tensors.append(parameter.grad)
        _in_place(tensors, dist.all_reduce)

    def average_batch_norms_(self, model: nn.Module) -> None:
        """See `World.average_batch_norms_`; the number of batches is that of rank 0."""
        buffers = [buffer for norm in batch_norms(model) for buffer in norm.buffers()]
        averages = [buffer for buffer in buffers if buffer.is_floating_point()]
        _in_place(averages, dist.all_reduce)
        for average in averages:
            average /= self.world_size
        self.broadcast_(buffer for buffer in buffers if not buffer.is_floating_point())

    def broadcast_(self, tensors: Iterable[Tensor]) -> None:
        """See `World.broadcast_`."""
        _in_place(tensors, lambda flat: dist.broadcast(flat, src=0))

    def check_same(self, what: str, tensors: Iterable[Tensor]) -> None:
        """See `World.check_same`."""
        mine = torch.frombuffer(bytearray(_digest(tensors)), dtype=torch.uint8)
        gathered = [torch.empty_like(mine) for _ in range(self.world_size)]
        dist.all_gather(gathered, mine)
        others = [rank for rank, theirs in enumerate(gathered) if not torch.equal(theirs, gathered[0])]
        if others:
            raise TrainingError(
                f"{what} of rank {others[0]} is not that of rank 0, so they no longer train one network; "
                "give all ranks the same kind of device and the same versions of hsi and PyTorch."
            )

    def seed_rank(self, seed: int, epoch: int) -> None:
        """See `World.seed_rank`; the seed depends on seed, epoch and rank alone, also in a resumed run."""
        if not self.is_rank_zero:
            words = np.random.SeedSequence([seed, epoch, self.rank]).generate_state(1, np.uint64)
            torch.manual_seed(int(words[0]))


def share_of(rank: int, world_size: int, length: int, least: int = 1) -> slice:
    """Return the share of a rank of `length` rows, cut as by ``numpy.array_split``; see `World.share`."""
    parts = min(world_size, max(1, length // least))
    if rank >= parts:
        return slice(length, length)
    size, longer = divmod(length, parts)
    start = rank * size + min(rank, longer)
    return slice(start, start + size + (rank < longer))


def _broadcast_objects(objects: list[Any]) -> None:
    dist.broadcast_object_list(objects, src=0, device=torch.device("cpu"))


@torch.no_grad()
def _in_place(tensors: Iterable[Tensor], operation: Callable[[Tensor], object]) -> None:
    """Change tensors of any layout in place, as one flat tensor for each dtype and device."""
    alike: dict[tuple[torch.dtype, torch.device], list[Tensor]] = {}
    for tensor in tensors:
        alike.setdefault((tensor.dtype, tensor.device), []).append(tensor)
    for group in alike.values():
        flat = torch.cat([tensor.reshape(-1) for tensor in group])
        operation(flat)
        for tensor, new in zip(group, flat.split([tensor.numel() for tensor in group]), strict=True):
            tensor.copy_(new.view(tensor.shape))


def _digest(tensors: Iterable[Tensor]) -> bytes:
    digest = hashlib.sha256()
    for tensor in tensors:
        digest.update(tensor.detach().reshape(-1).contiguous().view(torch.uint8).cpu().numpy().tobytes())
    return digest.digest()


TIMEOUT = timedelta(minutes=10)
"""How long a rank waits for the others, which load the scene at about the same pace."""

REPORT_TIMEOUT = timedelta(seconds=5)
"""How long a rank that failed waits to learn whether another one reports why."""


class TorchrunWorld(MultiProcessWorld):
    """A rank of a torchrun job; ranks communicate by NCCL between GPUs, by gloo otherwise."""

    def __init__(self, rank: int, world_size: int, local_rank: int, store: Any) -> None:
        super().__init__(rank, world_size, local_rank)
        self._store = store

    def claims_report(self) -> bool:
        """Return True on the one rank that asks first, which then tells the user why the job ended."""
        try:
            self._store.set_timeout(REPORT_TIMEOUT)
            return bool(self._store.add("hsi/reported", 1) == 1)
        except (RuntimeError, ValueError):  # no rank is left to ask
            return True

    def leave(self) -> None:
        """Close the connections, once all ranks are done."""
        dist.destroy_process_group()


def join(rank: int, world_size: int, local_rank: int) -> TorchrunWorld:
    """Join the other processes of the job, which the environment describes (``MASTER_ADDR`` ...).

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


def is_peer_failure(error: BaseException) -> bool:
    """Whether an error means that another rank no longer answers."""
    return isinstance(error, RuntimeError) and (isinstance(error, dist.DistError) or "gloo" in str(error))
