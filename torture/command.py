"""The command line of the parts that run commands of hsi, and the imports before the first fork."""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from torture.outcome import Outcome, show
from torture.scenarios import SCENARIOS, TINY, Scenario


def run_part(
    description: str | None,
    trials: int,
    run: Callable[[str, argparse.Namespace], list[Outcome]],
    choices: dict[str, tuple[str, ...]] | None = None,
) -> int:
    """Parse the command line, run every verb asked for, print the outcomes; return the exit status.

    ``trials`` is the default number; ``choices`` are further options, the first value of each the default.
    """
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--verb", action="append", choices=list(SCENARIOS), help="default: all of them")
    parser.add_argument("--trials", type=int, default=trials, help="of each verb")
    parser.add_argument("--seed", type=int, default=0)
    for flag, values in (choices or {}).items():
        parser.add_argument(flag, choices=values, default=values[0])
    options = parser.parse_args()
    preload()
    return show([outcome for verb in options.verb or SCENARIOS for outcome in run(verb, options)])


@contextmanager
def open_scenario(verb: str) -> Iterator[Scenario]:
    """Prepare the scenario of a verb in a temporary folder."""
    shared = Path(tempfile.mkdtemp(prefix="hsi-torture-"))
    try:
        with SCENARIOS[verb](shared).ready() as scenario:
            yield scenario
    finally:
        shutil.rmtree(shared, ignore_errors=True)


def preload() -> None:
    """Train and map once in this process, on one thread, so that forked commands need no imports."""
    os.environ["OMP_NUM_THREADS"] = "1"
    import requests  # noqa: F401  imported late by downloads
    import torch

    from hsi.commands.app import run

    torch.set_num_threads(1)
    output = io.StringIO()
    before = Path.cwd()
    with tempfile.TemporaryDirectory(prefix="hsi-torture-") as folder:
        os.chdir(folder)
        try:
            with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
                status = run(["train", *TINY, "--epochs", "1", "--out", "r"])
                for suffix in (".tif", ".png", ".mat", ".npy"):
                    status = status or run(["map", "r", "--out", f"m{suffix}", "--device", "cpu"])
        finally:
            os.chdir(before)
    if status != 0:
        raise RuntimeError(f"hsi failed without any fault: {output.getvalue()}")
