"""The folder that all machines of a cluster must see, since the files of runs are written and read there."""

from __future__ import annotations

import os
import socket
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from hsi.errors import ClusterError
from hsi.io.files import make_folder, write_text

NAME = ".cluster"


@dataclass(frozen=True)
class SharedFolder:
    """Where a command was given, to be entered on another machine.

    Attributes
    ----------
    working
        The working folder of the command; relative paths hold from there.
    environment
        Variables of the command that this toolkit reads.
    proof
        A file with a word in it, which shows the folder to be the same one; None where nothing is written.
    word
        The word.
    """

    working: Path
    environment: tuple[tuple[str, str], ...]
    proof: Path | None = None
    word: str = ""

    def enter(self) -> None:
        """Make it the working folder of this process.

        Raises
        ------
        ClusterError
            When this machine does not see it, or another of the same name.
        """
        try:
            os.chdir(self.working)
            same = self.proof is None or self.proof.read_text(encoding="utf-8") == self.word
        except OSError:
            same = False
        if not same:
            raise ClusterError(
                f"The machine {socket.gethostname()} does not see '{self.proof or self.working}'; a Ray "
                "cluster needs a file system that all its machines share, with the working folder on it."
            )
        os.environ.update(self.environment)


def here() -> SharedFolder:
    """Return the working folder and the variables ``HSI_...`` of this process."""
    ours = sorted((name, value) for name, value in os.environ.items() if name.startswith("HSI_"))
    return SharedFolder(Path.cwd(), tuple(ours))


@contextmanager
def proven(folder: Path) -> Iterator[SharedFolder]:
    """Yield `here` with a proof in `folder`, for machines that will write there."""
    make_folder(folder)
    base, proof, word = here(), (folder / NAME).absolute(), uuid.uuid4().hex
    write_text(proof, word)
    try:
        yield SharedFolder(base.working, base.environment, proof, word)
    finally:
        proof.unlink(missing_ok=True)
