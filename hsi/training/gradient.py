"""The gradient of one batch: of all its patches at once, in pieces that fit, or in shares of processes."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from hsi.config import Config
from hsi.inference.predict import MicroBatcher
from hsi.models.device import autocast
from hsi.training.batches import SMALLEST, batch_norms
from hsi.training.distributed import World


class BatchGradient:
    """Leaves the gradient of a batch's mean loss in the parameters.

    With ``config.fit_memory`` a batch that does not fit is cut into pieces of about equal size, half as large
    each time that memory runs out. Their gradients, weighed by what each has in the mean loss, add up to the
    gradient of the batch, so the effective batch stays ``config.batch``. Batch norm is the exception: it
    normalises with the statistics of a piece, and its running averages move once a piece. With several ranks
    each takes its share of the batch like such a piece, whole or in pieces of its own.

    Parameters
    ----------
    model
        The network, in training mode and on its device.
    weight
        ``(classes,)`` weight of each class in the loss, or None.
    scaler
        Scales the loss up in float16, and does nothing else.
    precision
        What the network computes in, see `hsi.models.device.choose_precision`.
    config
        The run's options.
    message
        Told when the pieces become smaller.
    ranks
        The processes that share each batch; default: this one.

    Attributes
    ----------
    portion
        How many patches go through the network at once.
    """

    def __init__(
        self,
        model: nn.Module,
        weight: Tensor | None,
        scaler: torch.amp.GradScaler,
        precision: torch.dtype,
        config: Config,
        message: Callable[[str], None],
        world: World | None = None,
    ) -> None:
        self.model, self.weight, self.scaler, self.precision, self.message = (
            model,
            weight,
            scaler,
            precision,
            message,
        )
        self.loss = nn.CrossEntropyLoss(weight=weight, label_smoothing=config.label_smoothing)
        self.batch, self.in_pieces = config.batch, config.fit_memory
        self.norms, self.world = batch_norms(model), world or World()
        self.portion = MicroBatcher(config.batch, SMALLEST if self.in_pieces else config.batch)

    def __call__(self, patches: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Return the mean loss of a batch and the number of right answers, on its device: nothing waits.

        Parameters
        ----------
        patches, wanted
            ``(N, bands, P, P)`` and the classes ``(N,)``, 0..C-1, of the whole batch on every rank.

        Raises
        ------
        RuntimeError, MemoryError
            When memory runs out and pieces cannot become smaller, or may not.
        """
        undo = self._undo(patches.device) if self.in_pieces else None

        def attempt(size: int) -> tuple[Tensor, Tensor]:
            if size < before and undo is not None:
                undo()
            return self._add_up(patches[share], targets[share], size, whole)

        whole = self._amount(targets)
        share = self.world.share(len(patches), SMALLEST)
        before = self.portion.size
        loss, right = self.portion.run(attempt)
        if self.portion.size < before:
            self._say_so()
        answer = torch.stack((loss, right.to(loss.dtype)))
        self.world.sum_gradients_(self.model, answer)
        return answer[0], answer[1]

    def _add_up(
        self, patches: Tensor, targets: Tensor, size: int, whole: Tensor | int
    ) -> tuple[Tensor, Tensor]:
        self.model.zero_grad(set_to_none=True)
        # A last batch can hold one patch more than the others, and stays whole with them.
        count = 1 if size >= self.batch else min(-(-len(patches) // size), max(1, len(patches) // SMALLEST))
        if not len(targets):  # fewer patches than ranks have use for
            nothing = patches.new_zeros(())
            return nothing, nothing
        losses, rights = [], []
        for some, their in zip(patches.tensor_split(count), targets.tensor_split(count), strict=True):
            with autocast(patches.device, self.precision):
                logits = self.model(some)
                loss = self.loss(logits.float(), their) * (self._amount(their) / whole)
            self.scaler.scale(loss).backward()
            losses.append(loss.detach())
            rights.append((logits.detach().argmax(dim=1) == their).sum())
        return torch.stack(losses).sum(), torch.stack(rights).sum()

    def _amount(self, targets: Tensor) -> Tensor | int:
        """Return what the mean loss of some patches is divided by."""
        return len(targets) if self.weight is None else self.weight[targets].sum()

    def _undo(self, device: torch.device) -> Callable[[], None]:
        """Remember what a forward pass moves, and return what puts it back: running averages, randomness."""
        kept = [[(tensor, tensor.clone()) for tensor in norm.buffers()] for norm in self.norms]
        cpu = torch.get_rng_state()
        gpu = torch.cuda.get_rng_state(device) if device.type == "cuda" else None

        def put_back() -> None:
            for norm in kept:
                for tensor, value in norm:
                    tensor.copy_(value)
            torch.set_rng_state(cpu)
            if gpu is not None:
                torch.cuda.set_rng_state(gpu, device)

        return put_back

    def say_shares(self) -> None:
        """Say what several ranks change: batch norm sees a share of a batch."""
        if self.norms and self.world.world_size > 1:
            count = self.world.world_size
            self.message(
                f"Batch norm takes its statistics from the {self.batch // count} patches that each of "
                f"{count} processes has of a batch, so results differ somewhat from those of one; "
                "a larger --batch brings them closer."
            )

    def _say_so(self) -> None:
        norm = (
            " Batch norm takes its statistics from a piece, so results differ somewhat from those of whole "
            "batches."
            if self.norms
            else ""
        )
        self.message(
            f"Memory ran out: each batch of {self.batch} patches is now taken in pieces of at most "
            f"{self.portion.size}, whose gradients add up to that of the batch.{norm}"
        )
