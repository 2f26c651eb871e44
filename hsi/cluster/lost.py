"""When a machine goes away: what Ray says then, and how often its work is done again."""

from __future__ import annotations

RETRIES = 3
"""How often work is done again whose machine, or process, went away: our decision. Work that ends its process
each time, for want of memory say, would go on for ever."""


def is_lost(error: BaseException) -> bool:
    """Tell whether an error of Ray says that a machine or a process went away, not that the work failed."""
    from ray import exceptions

    gone = (
        exceptions.NodeDiedError,
        exceptions.WorkerCrashedError,
        exceptions.LocalRayletDiedError,
        exceptions.ObjectLostError,
        exceptions.OutOfMemoryError,
    )
    return isinstance(error, gone)


def in_words(error: BaseException) -> str:
    """Return one line about what went wrong on another machine."""
    cause = getattr(error, "cause", None) or error
    lines = str(cause).strip().splitlines() or [""]
    return f"{type(cause).__name__}: {lines[-1].strip()}"
