"""The state of a run, from the files of its folder."""

from __future__ import annotations

import shutil
from enum import Enum
from pathlib import Path

from hsi.config import OPTIONS, Config, load_config
from hsi.errors import RunError
from hsi.io.locks import LOCK

# Written before config.toml, which makes the folder a run.
_INPUTS = (LOCK, "split.npz", "preprocess.npz", "environment.json", "checkpoint")


class RunState(Enum):
    """Whether a run is missing, can be resumed, or is finished."""

    MISSING = "missing"
    INTERRUPTED = "interrupted"
    DONE = "done"


def run_state(folder: Path) -> RunState:
    """Return the state of the run in `folder`; a folder that is not a run yet counts as missing."""
    if not (folder / "config.toml").is_file():
        return RunState.MISSING
    return RunState.DONE if (folder / "metrics.json").is_file() else RunState.INTERRUPTED


def is_unstarted(folder: Path) -> bool:
    """Whether a folder holds nothing but what a training killed before its start leaves."""
    if not folder.is_dir() or run_state(folder) is not RunState.MISSING:
        return False
    if any((folder / "checkpoint").glob("[!.]*")):
        return False
    return all(
        path.name in _INPUTS or (path.name.startswith(".") and path.name.endswith(".tmp"))
        for path in folder.iterdir()
    )


def clear_unstarted(folder: Path) -> None:
    """Remove what a training killed before its start left.

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


def first_difference(folder: Path, config: Config) -> str | None:
    """Describe the first option of the run in `folder` that differs from `config`; None if all agree.

    Raises
    ------
    ConfigError
        When its config.toml cannot be read.
    """
    existing = load_config(folder / "config.toml")
    for name in OPTIONS:
        old, new = getattr(existing, name), getattr(config, name)
        if old != new:
            return f"{name} = {_shown(old)} instead of {_shown(new)}"
    return None


def _shown(value: object) -> str:
    return "nothing" if value is None else str(value).lower() if isinstance(value, bool) else repr(value)
