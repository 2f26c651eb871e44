"""The gradient of one batch: whole, in micro-batches that fit the memory, or shared by processes."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from hsi.config import Config
from hsi.inference.predict import MicroBatcher
from hsi.models.device import autocast
from hsi.training.batches import MIN_MICRO_BATCH, batch_norms
from hsi.training.distributed import World


class BatchGradient:
    """Leaves the gradient of a batch's mean loss in the parameters.

    With ``config.fit_memory`` a batch that does not fit is split into micro-batches of about equal size, half
    as large each time memory runs out; `message` is called with a sentence. Their gradients, weighted by
    their part of the mean loss, add up to the gradient of the batch, so the effective batch size stays
    ``config.batch``. Batch norm is the exception: it normalises by the statistics of a micro-batch, and
    updates its running averages once for each. Several ranks each take their share of the batch, whole or in
    micro-batches of their own.

    Parameters
    ----------
    model
        The network, in training mode and on its device.
    weight
        ``(classes,)`` weight of each class in the loss, or None.
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
        self.model, self.weight, self.scaler, self.precision = model, weight, scaler, precision
        self.message, self.world, self.norms = message, world or World(), batch_norms(model)
        self.loss = nn.CrossEntropyLoss(weight=weight, label_smoothing=config.label_smoothing)
        self.batch, self.fit_memory = config.batch, config.fit_memory
        self.micro_batch = MicroBatcher(config.batch, MIN_MICRO_BATCH if self.fit_memory else config.batch)

    def __call__(self, patches: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Return the mean loss of a batch and its number of right answers, without a wait for the device.

        `patches` ``(N, features, P, P)`` and `targets` ``(N,)``, 0..C-1, are the whole batch on every rank.

        Raises
        ------
        RuntimeError, MemoryError
            When memory runs out and micro-batches cannot become smaller, or may not.
        """
        restore = self._save_state(patches.device) if self.fit_memory else None

        def attempt(size: int) -> tuple[Tensor, Tensor]:
            if size < before and restore is not None:
                restore()
            return self._accumulate(patches[share], targets[share], size, total)

        total = self._total_weight(targets)
        share = self.world.share(len(patches), MIN_MICRO_BATCH)
        before = self.micro_batch.size
        loss, right = self.micro_batch.run(attempt)
        if self.micro_batch.size < before:
            self._note_smaller()
        sums = torch.stack((loss, right.to(loss.dtype)))
        self.world.sum_gradients_(self.model, sums)
        return sums[0], sums[1]

    def _accumulate(
        self, patches: Tensor, targets: Tensor, size: int, total: Tensor | int
    ) -> tuple[Tensor, Tensor]:
        self.model.zero_grad(set_to_none=True)
        # A last batch can hold one patch more than the others, and stays whole with them.
        whole = size >= self.batch
        count = 1 if whole else min(-(-len(patches) // size), max(1, len(patches) // MIN_MICRO_BATCH))
        if not len(targets):  # fewer patches than the ranks need
            nothing = patches.new_zeros(())
            return nothing, nothing
        losses, rights = [], []
        for some, their in zip(patches.tensor_split(count), targets.tensor_split(count), strict=True):
            with autocast(patches.device, self.precision):
                logits = self.model(some)
                loss = self.loss(logits.float(), their) * (self._total_weight(their) / total)
            self.scaler.scale(loss).backward()
            losses.append(loss.detach())
            rights.append((logits.detach().argmax(dim=1) == their).sum())
        return torch.stack(losses).sum(), torch.stack(rights).sum()

    def _total_weight(self, targets: Tensor) -> Tensor | int:
        """Return what the mean loss of some patches is divided by."""
        return len(targets) if self.weight is None else self.weight[targets].sum()

    def _save_state(self, device: torch.device) -> Callable[[], None]:
        """Save what a forward pass changes (running averages, random state); return what restores it."""
        buffers = [(tensor, tensor.clone()) for norm in self.norms for tensor in norm.buffers()]
        cpu = torch.get_rng_state()
        gpu = torch.cuda.get_rng_state(device) if device.type == "cuda" else None

        def restore() -> None:
            for tensor, value in buffers:
                tensor.copy_(value)
            torch.set_rng_state(cpu)
            if gpu is not None:
                torch.cuda.set_rng_state(gpu, device)

        return restore

    def note_batch_norm(self) -> None:
        """Tell the user what several ranks change: batch norm sees a share of a batch."""
        if self.norms and self.world.world_size > 1:
            count = self.world.world_size
            self.message(
                f"Batch norm takes its statistics from the {self.batch // count} patches that each of "
                f"{count} processes has of a batch, so results differ somewhat from those of one; "
                "a larger --batch brings them closer."
            )

    def _note_smaller(self) -> None:
        norm = " Batch norm uses the statistics of a micro-batch, so results differ somewhat."
        self.message(
            f"Memory ran out: each batch of {self.batch} patches is now split into micro-batches of at most "
            f"{self.micro_batch.size}, whose gradients add up to that of the batch."
            + (norm if self.norms else "")
        )
