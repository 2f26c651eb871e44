"""A function in a fresh process of its own, so that nothing done before is in its memory."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any, TypeVar

Result = TypeVar("Result")


def in_own_process(function: Callable[..., Result], *arguments: object) -> Result | None:
    """Return ``function(*arguments)``, computed in a new process; None when that process dies.

    Function and arguments must be picklable. A process dies, for one, when the system runs out of memory.

    Raises
    ------
    Exception
        What the function raised.
    """
    methods = multiprocessing.get_all_start_methods()
    # A fork server imports this package once and forks from there: quicker than a new interpreter each time.
    context: Any = multiprocessing.get_context("forkserver" if "forkserver" in methods else "spawn")
    if "forkserver" in methods:
        context.set_forkserver_preload(["hsi.models", "hsi.bench.subjects"])
    here, there = context.Pipe(duplex=False)
    process = context.Process(target=_answer, args=(there, function, arguments), daemon=True)
    process.start()
    there.close()
    try:
        result, error = here.recv()
    except EOFError:
        return None
    finally:
        here.close()
        process.join()
    if error is not None:
        raise error
    value: Result = result
    return value


def _answer(pipe: Connection, function: Callable[..., object], arguments: tuple[object, ...]) -> None:
    try:
        answer: tuple[object, Exception | None] = (function(*arguments), None)
    except Exception as error:  # whatever it is, the parent raises it
        answer = (None, error)
    pipe.send(answer)
    pipe.close()
