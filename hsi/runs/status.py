"""How far a run folder has come, told from its files."""

from __future__ import annotations

import shutil
from enum import Enum
from pathlib import Path

from hsi.config import OPTIONS, Config, load_config
from hsi.errors import RunError
from hsi.io.locks import LOCK

# What a training writes before config.toml, the file that makes the folder a run.
_BEFORE = (LOCK, "split.npz", "preprocess.npz", "environment.json", "checkpoint")


class RunState(Enum):
    """Whether a run is still to be made, to be gone on with, or finished."""

    MISSING = "missing"
    INTERRUPTED = "interrupted"
    DONE = "done"


def run_state(folder: Path) -> RunState:
    """Return how far the run in `folder` has come; a folder that is not a run yet counts as missing."""
    if not (folder / "config.toml").is_file():
        return RunState.MISSING
    return RunState.DONE if (folder / "metrics.json").is_file() else RunState.INTERRUPTED


def is_unstarted(folder: Path) -> bool:
    """Whether a folder holds nothing but what a training leaves that was stopped before it was a run."""
    if not folder.is_dir() or run_state(folder) is not RunState.MISSING:
        return False
    if any((folder / "checkpoint").glob("[!.]*")):
        return False
    return all(
        path.name in _BEFORE or (path.name.startswith(".") and path.name.endswith(".tmp"))
        for path in folder.iterdir()
    )


def clear_unstarted(folder: Path) -> None:
    """Remove what a training that was stopped before its first epoch left, so that it can start anew.

    Raises
    ------
    RunError
        When the folder holds something else, which is then left as it is.
    """
    if not folder.exists() or run_state(folder) is not RunState.MISSING:
        return
    if not is_unstarted(folder):
        raise RunError(f"'{folder}' is there already and is not a run folder; move it away first.")
    shutil.rmtree(folder)


def first_difference(folder: Path, wanted: Config) -> str | None:
    """Return in words where the options of the run in `folder` differ from the wanted ones, or None.

    Raises
    ------
    ConfigError
        When its config.toml cannot be read.
    """
    there = load_config(folder / "config.toml")
    for name in OPTIONS:
        old, new = getattr(there, name), getattr(wanted, name)
        if old != new:
            return f"{name} = {_said(old)} instead of {_said(new)}"
    return None


def _said(value: object) -> str:
    return "nothing" if value is None else str(value).lower() if isinstance(value, bool) else repr(value)
