"""The commands under test, each small enough to run hundreds of times, and their expected results."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

from torture import faults
from torture.contents import contents, damaged, read
from torture.forked_popen import ForkedPopen
from torture.forks import Result, run_forked
from torture.mirror import NAME, mirror

TINY = [
    "--model", "cnn1d", "--dataset", "demo", "--protocol", "paper", "--train", "0.03", "--val", "0.03",
    "--batch", "64", "--patch", "1", "--pca", "8", "--device", "cpu",
]  # fmt: skip
EPOCHS = "3"


class Scenario:
    """One command, and what a folder holds before and after it; ``shared`` is a folder for all trials."""

    verb = ""
    variants = 1

    def __init__(self, shared: Path) -> None:
        self.shared = shared
        self.base = shared
        self.expected: dict[int, dict[str, object]] = {}
        self.seconds: dict[int, float] = {}
        self.sizes: dict[int, int] = {}

    @contextmanager
    def ready(self) -> Iterator[Scenario]:
        """Make what the trials share, and run each variant once without a fault."""
        for variant in range(self.variants):
            folder = self.folder(f"whole{variant}", variant)
            result = run_forked(self.command(folder, variant), folder)
            if result.status != 0:
                raise RuntimeError(f"hsi {self.verb} failed without any fault: {result.output}")
            self.expected[variant], self.seconds[variant] = contents(folder), result.seconds
            self.sizes[variant] = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        yield self

    def folder(self, name: str, variant: int) -> Path:
        """Return a new folder for a trial, with what the command expects."""
        self.after_kill(True)
        folder = self.base / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        self.prepare(folder, variant)
        return folder

    def prepare(self, folder: Path, variant: int) -> None:
        """Write what is in a trial's folder before the command."""

    def command(self, folder: Path, variant: int) -> list[str]:
        """Return the command that starts, or that resumes what is there, as its messages tell."""
        raise NotImplementedError

    def check(self, folder: Path, variant: int) -> list[str]:
        """Return the problems in a folder after an interruption: no file with a final name is incomplete."""
        return damaged(folder)

    def must_refuse(self, lock: Path, variant: int) -> bool:
        """Whether a second command must be refused while this lock is held."""
        return True

    def may_retry(self, result: Result) -> bool:
        """Whether the command rightly refuses for now, since orphans of the last one still run."""
        return False

    def after_kill(self, orphans_too: bool) -> None:
        """Clean up after the death of the command's process, which may have left orphans."""


class Train(Scenario):
    """`hsi train` of one run, and of a group of two."""

    verb = "train"
    variants = 2

    def command(self, folder: Path, variant: int) -> list[str]:
        """Return a new training, or ``--resume`` where there is something to resume."""
        mark = ("config.toml", "group.toml")[variant]
        if (folder / "r" / mark).is_file():
            return ["train", "--resume", "r"]
        several = ["--runs", "2"] if variant else []
        return ["train", *TINY, "--epochs", "2" if variant else EPOCHS, *several, "--out", "r"]


class Map(Scenario):
    """`hsi map` in every format, each overwriting an older map."""

    verb = "map"
    formats = (".npy", ".tif", ".mat", ".png")
    variants = len(formats)

    @contextmanager
    def ready(self) -> Iterator[Scenario]:
        """Train the run that is mapped."""
        result = run_forked(["train", *TINY, "--epochs", "1", "--out", "run"], self.shared)
        if result.status != 0:
            raise RuntimeError(result.output)
        with super().ready():
            yield self

    def prepare(self, folder: Path, variant: int) -> None:
        """Write older files where the map goes."""
        for name in self._names(variant):
            (folder / name).write_bytes(b"older")

    def command(self, folder: Path, variant: int) -> list[str]:
        """Return the same command every time: a map is computed again."""
        more = [] if variant == 3 else ["--proba", "--confidence"]
        run = str(self.shared / "run")
        return ["map", run, "--out", f"m{self.formats[variant]}", *more, "--device", "cpu"]

    def check(self, folder: Path, variant: int) -> list[str]:
        """Each file is the older or the new one."""
        problems = []
        for name in self._names(variant):
            path = folder / name
            if not path.is_file() or (
                path.read_bytes() != b"older" and read(path) != self.expected[variant][name]
            ):
                problems.append(f"{name} is neither the older map nor the new one")
        return problems

    def _names(self, variant: int) -> list[str]:
        suffix = self.formats[variant]
        names = (
            [f"m{suffix}"] if variant == 3 else [f"m{kind}{suffix}" for kind in ("", "-proba", "-confidence")]
        )
        return [*names, "m.tif.aux.xml", "m.qml"] if suffix == ".tif" else names


class Download(Scenario):
    """`hsi download` of a scene of two files from a slow mirror."""

    verb = "download"

    @contextmanager
    def ready(self) -> Iterator[Scenario]:
        """Start the mirror."""
        with mirror(), super().ready():
            yield self

    def command(self, folder: Path, variant: int) -> list[str]:
        """Return the same command every time: it resumes."""
        return ["download", NAME, "--data-root", "data"]

    def check(self, folder: Path, variant: int) -> list[str]:
        """A file with its final name is complete."""
        return [
            f"{path.name} is not complete"
            for path in folder.rglob("*.mat")
            if read(path) != self.expected[variant][path.relative_to(folder).as_posix()]
        ]

    def must_refuse(self, lock: Path, variant: int) -> bool:
        """Only the lock of an incomplete file forbids a second download."""
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
        from hsi.sweep import execute

        ForkedPopen.pids = self.shared / "pids"
        real = execute.subprocess
        execute.subprocess = SimpleNamespace(**{**vars(real), "Popen": ForkedPopen})  # type: ignore[assignment]
        try:
            with super().ready():
                yield self
        finally:
            execute.subprocess = real
            self.after_kill(True)

    def prepare(self, folder: Path, variant: int) -> None:
        """Write the experiment."""
        (folder / "x.toml").write_text(self.text, encoding="utf-8")

    def command(self, folder: Path, variant: int) -> list[str]:
        """Return the same command every time."""
        return ["sweep", "x.toml", "--workers", "1"]

    def may_retry(self, result: Result) -> bool:
        """Whether a run that outlived its killed sweep still runs."""
        return result.status == 2 and re.search("still at work", result.output) is not None

    def after_kill(self, orphans_too: bool) -> None:
        """Kill the runs of a killed sweep too, as a batch system does; or let them finish."""
        if not orphans_too or not ForkedPopen.pids.is_file():
            return
        for pid in map(int, ForkedPopen.pids.read_text(encoding="ascii").split()):
            with contextlib.suppress(ProcessLookupError):
                if os.getpgid(pid) == pid:
                    os.kill(pid, signal.SIGKILL)
        time.sleep(0.01)
        ForkedPopen.pids.unlink()


SCENARIOS: dict[str, type[Scenario]] = {kind.verb: kind for kind in (Train, Map, Download, Sweep)}


def count_moments(scenario: Scenario, variant: int) -> int:
    """Return the number of moments (see `torture.faults`) of a command."""
    folder, counter = scenario.folder("counted", variant), scenario.shared / "moments"
    counter.unlink(missing_ok=True)
    run_forked(scenario.command(folder, variant), folder, faults.count_into(counter))
    return counter.stat().st_size
