"""The working folder, which all machines of a cluster must share: run files are written and read there."""

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
    """The working folder of a command, to be entered on another machine.

    Attributes
    ----------
    working
        The working folder, which relative paths start from.
    environment
        Variables of the command that this toolkit reads.
    marker, token
        A file and its content, which tell the folder from another one of the same name; None where nothing
        will be written.
    """

    working: Path
    environment: tuple[tuple[str, str], ...]
    marker: Path | None = None
    token: str = ""

    def enter(self) -> None:
        """Make it the working folder of this process.

        Raises
        ------
        ClusterError
            When this machine does not see it, or sees another one of the same name.
        """
        try:
            os.chdir(self.working)
            same = self.marker is None or self.marker.read_text(encoding="utf-8") == self.token
        except OSError:
            same = False
        if not same:
            raise ClusterError(
                f"The machine {socket.gethostname()} does not see '{self.marker or self.working}'; a Ray "
                "cluster needs a file system that all its machines share, with the working folder on it."
            )
        os.environ.update(self.environment)


def working_folder() -> SharedFolder:
    """Return the working folder and the variables ``HSI_...`` of this process."""
    environment = sorted((name, value) for name, value in os.environ.items() if name.startswith("HSI_"))
    return SharedFolder(Path.cwd(), tuple(environment))


@contextmanager
def verified_folder(folder: Path) -> Iterator[SharedFolder]:
    """Yield the working folder with a marker in `folder`, for machines that will write there."""
    make_folder(folder)
    base, marker, token = working_folder(), (folder / NAME).absolute(), uuid.uuid4().hex
    write_text(marker, token)
    try:
        yield SharedFolder(base.working, base.environment, marker, token)
    finally:
        marker.unlink(missing_ok=True)
