"""When memory runs out: the same work again, with fewer patches at once."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import TypeVar

import torch

Result = TypeVar("Result")

# What PyTorch says where it has no type of error: CPU on Linux, on Windows; a GPU's libraries; Apple's GPU.
_WORDS = ("can't allocate memory", "not enough memory", "ALLOC_FAILED", "bad_alloc", "out of memory")


def out_of_memory(error: BaseException) -> bool:
    """Tell whether an error says that the memory of a GPU or of the CPU ran out.

    A system that promises more memory than it has, as Linux does, may end the process without any error.
    """
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(word in str(error) for word in _WORDS)


class Portion:
    """How many patches go through a network at once: half as many each time that memory runs out.

    Parameters
    ----------
    size
        Patches at once to begin with.
    smallest
        The size below which it does not go.
    """

    def __init__(self, size: int, smallest: int = 1) -> None:
        self.size, self.smallest = size, smallest

    def run(self, work: Callable[[int], Result]) -> Result:
        """Return ``work(size)``; where memory runs out, do it again with half the size, rounded up.

        Raises
        ------
        RuntimeError, MemoryError
            PyTorch's own error, when memory runs out at the smallest size.
        """
        while True:
            try:
                return work(self.size)
            except (RuntimeError, MemoryError) as error:
                if self.size <= self.smallest or not out_of_memory(error):
                    raise
            # Only here, behind the except, is the error gone, and with it the tensors of the failed attempt.
            _give_back()
            self.size = max(self.smallest, -(-self.size // 2))


def _give_back() -> None:
    """Return what PyTorch keeps for later, since the next attempt wants blocks of other sizes."""
    gc.collect(1)  # cycles of the failed attempt are young; a full collection takes a good part of a second
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    if torch.backends.mps.is_available():
        torch.mps.empty_cache()
