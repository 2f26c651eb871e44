"""The commands that are tortured, each small enough to run hundreds of times, and what they must come to."""

from __future__ import annotations

import os
import re
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

from torture.contents import contents, damaged, read
from torture.forked_popen import ForkedPopen
from torture.forks import Ended, run_forked
from torture.mirror import NAME, mirror

TINY = [
    "--model",
    "cnn1d",
    "--dataset",
    "demo",
    "--protocol",
    "paper",
    "--train",
    "0.03",
    "--val",
    "0.03",
    "--batch",
    "64",
    "--patch",
    "1",
    "--pca",
    "8",
    "--device",
    "cpu",
]
EPOCHS = "3"


class Scenario:
    """One command, from a folder as it is found to a folder as it must become.

    Parameters
    ----------
    shared
        A folder for what all trials share.
    """

    verb = ""
    variants = 1

    def __init__(self, shared: Path) -> None:
        self.shared = shared
        self.place = shared
        self.wanted: dict[int, dict[str, object]] = {}
        self.seconds: dict[int, float] = {}
        self.sizes: dict[int, int] = {}

    @contextmanager
    def ready(self) -> Iterator[Scenario]:
        """Make what the trials share, and run each variant once without interruption."""
        for variant in range(self.variants):
            folder = self.folder(f"whole{variant}", variant)
            ended = run_forked(self.command(folder, variant), folder)
            if ended.status != 0:
                raise RuntimeError(f"hsi {self.verb} failed without any torture: {ended.said}")
            self.wanted[variant], self.seconds[variant] = contents(folder), ended.seconds
            self.sizes[variant] = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        yield self

    def folder(self, name: str, variant: int) -> Path:
        """Return a new folder for a trial, as the command finds it."""
        self.after_kill(True)
        folder = self.place / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        self.fill(folder, variant)
        return folder

    def fill(self, folder: Path, variant: int) -> None:
        """Put into a trial's folder what is there before the command."""

    def command(self, folder: Path, variant: int) -> list[str]:
        """Return the command that begins, or that goes on with what is there, as its messages say."""
        raise NotImplementedError

    def check(self, folder: Path, variant: int) -> list[str]:
        """Say what is wrong in a folder where the command was ended: nothing under a final name is half."""
        return damaged(folder)

    def forbids(self, lock: Path, variant: int) -> bool:
        """Whether a second command must be refused while this lock is held."""
        return True

    def may_wait(self, ended: Ended) -> bool:
        """Whether the command is right to refuse for now, since what was left behind still works."""
        return False

    def after_kill(self, orphans_too: bool) -> None:
        """Do what follows the death of the command's process."""


class Train(Scenario):
    """`hsi train` of one run, and of a group of two."""

    verb = "train"
    variants = 2

    def command(self, folder: Path, variant: int) -> list[str]:
        """Return a new training, or ``--resume`` where there is something to go on with."""
        mark = ("config.toml", "group.toml")[variant]
        if (folder / "r" / mark).is_file():
            return ["train", "--resume", "r"]
        several = ["--runs", "2"] if variant else []
        return ["train", *TINY, "--epochs", "2" if variant else EPOCHS, *several, "--out", "r"]


class Map(Scenario):
    """`hsi map` in every format, each over an older map."""

    verb = "map"
    formats = (".npy", ".tif", ".mat", ".png")
    variants = len(formats)

    @contextmanager
    def ready(self) -> Iterator[Scenario]:
        """Train the run that is mapped."""
        ended = run_forked(["train", *TINY, "--epochs", "1", "--out", "run"], self.shared)
        if ended.status != 0:
            raise RuntimeError(ended.said)
        with super().ready():
            yield self

    def fill(self, folder: Path, variant: int) -> None:
        """Put older files where the map goes."""
        for name in self._names(variant):
            (folder / name).write_bytes(b"older")

    def command(self, folder: Path, variant: int) -> list[str]:
        """Return the same command every time: a map is made anew."""
        more = [] if variant == 3 else ["--proba", "--confidence"]
        run = str(self.shared / "run")
        return ["map", run, "--out", f"m{self.formats[variant]}", *more, "--device", "cpu"]

    def check(self, folder: Path, variant: int) -> list[str]:
        """Each file is the older or the new one."""
        words = []
        for name in self._names(variant):
            path = folder / name
            if not path.is_file() or (
                path.read_bytes() != b"older" and read(path) != self.wanted[variant][name]
            ):
                words.append(f"{name} is neither the older map nor the new one")
        return words

    def _names(self, variant: int) -> list[str]:
        suffix = self.formats[variant]
        names = (
            [f"m{suffix}"] if variant == 3 else [f"m{kind}{suffix}" for kind in ("", "-proba", "-confidence")]
        )
        return [*names, "m.tif.aux.xml"] if suffix == ".tif" else names


class Download(Scenario):
    """`hsi download` of a scene of two files from a slow mirror."""

    verb = "download"

    @contextmanager
    def ready(self) -> Iterator[Scenario]:
        """Start the mirror."""
        with mirror(), super().ready():
            yield self

    def command(self, folder: Path, variant: int) -> list[str]:
        """Return the same command every time: it goes on where it stopped."""
        return ["download", NAME, "--data-root", "data"]

    def check(self, folder: Path, variant: int) -> list[str]:
        """A file with its final name is whole."""
        return [
            f"{path.name} is not whole"
            for path in folder.rglob("*.mat")
            if read(path) != self.wanted[variant][path.relative_to(folder).as_posix()]
        ]

    def forbids(self, lock: Path, variant: int) -> bool:
        """Only the file that is being fetched is held; one that is whole needs no fetching."""
        name = lock.name.removeprefix(".").removesuffix(".lock")
        return not lock.with_name(name).is_file()


class Sweep(Scenario):
    """`hsi sweep` of two runs, one at a time; the runs are forked as well."""

    verb = "sweep"
    text = (
        'seeds = [0, 1]\n[defaults]\nprotocol = "paper"\ntrain = 0.03\nval = 0.03\nbatch = 64\npatch = 1\n'
        'pca = 8\nepochs = 2\ndevice = "cpu"\n[scenes.demo]\n[protocols.random]\n[models.cnn1d]\n'
    )

    @contextmanager
    def ready(self) -> Iterator[Scenario]:
        """Let sweeps fork their runs."""
        from hsi.sweep import execute as child

        ForkedPopen.numbers = self.shared / "numbers"
        real = child.subprocess
        stand_in = SimpleNamespace(**{**vars(real), "Popen": ForkedPopen})
        child.subprocess = stand_in  # type: ignore[assignment]
        try:
            with super().ready():
                yield self
        finally:
            child.subprocess = real
            self.after_kill(True)

    def fill(self, folder: Path, variant: int) -> None:
        """Write the experiment."""
        (folder / "x.toml").write_text(self.text, encoding="utf-8")

    def command(self, folder: Path, variant: int) -> list[str]:
        """Return the same command every time."""
        return ["sweep", "x.toml", "--workers", "1"]

    def may_wait(self, ended: Ended) -> bool:
        """Whether a run that outlives its killed sweep is still at work."""
        return ended.status == 2 and re.search("still at work", ended.said) is not None

    def after_kill(self, orphans_too: bool) -> None:
        """Kill the runs of a killed sweep too, as a batch system does; or leave them to their end."""
        if not orphans_too or not ForkedPopen.numbers.is_file():
            return
        for line in ForkedPopen.numbers.read_text(encoding="ascii").split():
            try:
                if os.getpgid(int(line)) == int(line):
                    os.kill(int(line), signal.SIGKILL)
            except ProcessLookupError:
                pass
        time.sleep(0.01)
        ForkedPopen.numbers.unlink()


SCENARIOS: dict[str, type[Scenario]] = {kind.verb: kind for kind in (Train, Map, Download, Sweep)}
