"""Several runs as one: a folder whose subfolders are runs, such as `hsi train --runs 5` makes."""

from __future__ import annotations

import re
from pathlib import Path

from hsi.errors import RunError
from hsi.runs.folder import Run


def open_runs(path: str | Path) -> list[Run]:
    """Open a run folder as a list of one, or a folder of run folders as all of them, in order of their names.

    Numbers inside names count as numbers: ``seed2`` comes before ``seed10``.

    Raises
    ------
    RunError
        When the folder is missing, or neither is a run nor holds one.
    """
    folder = Path(path)
    if (folder / "config.toml").is_file():
        return [Run(folder)]
    runs = [Run(config.parent) for config in folder.glob("*/config.toml")]
    if not runs:
        raise RunError(f"'{path}' is not a run folder, nor a folder of run folders.")
    return sorted(runs, key=lambda run: _natural(run.path.name))


def _natural(name: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name)]
