"""Files that a run's options name by a relative path, found again from another folder."""

from __future__ import annotations

import json
from pathlib import Path

from hsi.datasets.catalogue import find_entry


def find_again(said: str, run: Path) -> str:
    """Return the path of a scene or label file as it is reached now.

    A relative path holds from the folder that one is in; where there is no such file, from the folder that
    the run was trained from; else from those that the run lies in, the nearest first, as where a whole
    project was moved. A path that leads nowhere, an absolute one, and the name of a scene come back as they
    are.

    Parameters
    ----------
    said
        A scene's name, or a path, as in config.toml.
    run
        The run folder.
    """
    path = Path(said).expanduser()
    if find_entry(said) is not None or path.is_absolute() or path.exists():
        return said
    folders = [*_trained_from(run), *run.resolve().parents]
    return next((str(folder / path) for folder in folders if (folder / path).exists()), said)


def _trained_from(run: Path) -> list[Path]:
    try:
        environment = json.loads((run / "environment.json").read_text(encoding="utf-8"))
        return [Path(environment["working_folder"])]
    except (OSError, ValueError, KeyError, TypeError):  # of an older run, or damaged: then it does not help
        return []
