"""A command that torchrun started several times: one output for all processes.

`join_torchrun` wraps what the verb does. Only rank 0 prints; when a rank fails, the first that knows reports
it, the others exit silently, and torchrun ends those that still wait.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hsi.errors import ClusterError, ConfigError, HsiError, in_words
from hsi.io.signals import Stopped, sigterm_stops
from hsi.io.text import plain

if TYPE_CHECKING:
    from hsi.training.distributed import World

VERBS = ("train",)
"""Verbs that several processes can share."""


@dataclass(frozen=True)
class Launched:
    """Which process of a job this is: its number and their count, and its number on this machine."""

    number: int
    count: int
    local: int


class ToldError(HsiError):
    """A failure that the user has been told of already."""

    def __init__(self, exit_status: int) -> None:
        super().__init__("")
        self.exit_status = exit_status


def launched() -> Launched | None:
    """Return this process's place among those of a torchrun job, or None for a process of its own.

    Raises
    ------
    ConfigError
        When the environment names a place that cannot be.
    """
    try:
        number, count = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
        local = int(os.environ.get("LOCAL_RANK", number))
    except KeyError:
        return None
    except ValueError:
        raise ConfigError(
            "RANK, WORLD_SIZE and LOCAL_RANK must be whole numbers, as torchrun sets them; unset them to "
            "train in one process."
        ) from None
    if not (0 <= number < count and local >= 0):
        raise ConfigError(
            f"RANK {number} does not fit WORLD_SIZE {count}; unset both to train in one process."
        )
    return Launched(number, count, local) if count > 1 else None


def check_verb(verb: str | None) -> None:
    """Refuse a verb that one process does alone.

    Raises
    ------
    ConfigError
        Under torchrun, for any verb but `VERBS`.
    """
    if verb is not None and verb not in VERBS and launched() is not None:
        raise ConfigError(f"Several processes share only hsi train; start hsi {verb} without torchrun.")


def speaks() -> bool:
    """Whether this process is the one of its job that prints."""
    try:
        place = launched()
    except ConfigError:
        return True
    return place is None or place.number == 0


@contextmanager
def join_torchrun(onward: Callable[[], str]) -> Iterator[World]:
    """Join the other processes of the job, if there are any, for as long as the block runs.

    An error of the block is told by the first rank that has one. `onward` says how to go on, for when another
    process has ended.
    """
    place = launched()
    if place is None:
        from hsi.training.distributed import World

        yield World()
        return

    from hsi.training.distributed import is_peer_failure, join

    world, voice = join(place.number, place.count, place.local), sys.stderr

    def lost() -> ClusterError:
        return ClusterError(
            f"This training was stopped, since another of its {world.world_size} processes ended (torchrun "
            f"says which and how) or torchrun itself was; {onward()}, with any number of processes."
        )

    def tell(error: Exception) -> None:
        if world.claims_report():
            print(f"hsi: {plain(in_words(error))}", file=voice, flush=True)

    with sigterm_stops(lambda: tell(lost())):
        try:
            with _heard(world.is_rank_zero):
                yield world
        except (HsiError, OSError, RuntimeError, Stopped) as error:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)  # now that it ends, let it say why
            said = lost() if isinstance(error, Stopped) or is_peer_failure(error) else error
            if not isinstance(said, HsiError | OSError):
                raise
            tell(said)
            raise ToldError(getattr(said, "exit_status", 1)) from None
    world.leave()


@contextmanager
def _heard(speaks: bool) -> Iterator[None]:
    """Send what the block prints nowhere, unless this process speaks."""
    if speaks:
        yield
        return
    with (
        open(os.devnull, "w", encoding="utf-8") as nowhere,
        redirect_stdout(nowhere),
        redirect_stderr(nowhere),
    ):
        yield
