"""One training repeated into a run group: over seeds, over folds, or both."""

from __future__ import annotations

import dataclasses
from datetime import datetime
from pathlib import Path
from typing import Any

import tomli_w

from hsi.datasets.toml_files import read_toml
from hsi.errors import ConfigError, InputError, RunError
from hsi.models import model_entry
from hsi.runs.atomic import write_text
from hsi.runs.config import Config
from hsi.runs.folder import Run
from hsi.runs.repetitions import repetitions
from hsi.runs.state import RunState, clear_stillborn, first_difference, run_state
from hsi.training.session import resume, train_settled
from hsi.training.settle import settle
from hsi.training.watcher import Watcher

GROUP = "group.toml"  # number of seeds, and the options that the runs share: enough to go on


def train_runs(
    model: str | None = None,
    dataset: str | None = None,
    *,
    runs: int = 1,
    out: str | Path | None = None,
    config: str | Path | None = None,
    data_root: str | Path | None = None,
    watcher: Watcher | None = None,
    **options: Any,
) -> list[Run]:
    """Train a network several times and return the finished runs.

    The seeds are ``seed, seed + 1, ...``; each fixes the split as well as the weights, so that other networks
    get the same splits. With ``folds=k`` and no ``fold`` each seed gives k runs, one for each fold.

    Parameters
    ----------
    runs
        Number of seeds.
    out
        Folder of the group; its runs are ``seed0, seed1, ...``, ``fold0, ...`` or ``seed0-fold0, ...``. Runs
        that are finished there are kept, interrupted ones go on, so the same call continues a group; more
        `runs` extend it. Default ``runs/MODEL-DATASET-PROTOCOL-...``.
    model, dataset, config, data_root, watcher, **options
        As for `hsi.train`.

    Raises
    ------
    InputError
        For what `hsi.train` refuses, `runs` below one, or a folder that holds something else or runs with
        other options.
    TrainingError
        When the loss of a run stops being a number; the group can be gone on with.
    """
    if runs < 1:
        raise ConfigError(f"runs must be at least 1, not {runs}.")
    settled = settle(model, dataset, config=config, **options)
    model_entry(settled.model)
    return _train_group(_group_folder(out, settled, runs), settled, runs, data_root, watcher or Watcher())


def resume_runs(
    folder: str | Path, *, data_root: str | Path | None = None, watcher: Watcher | None = None
) -> list[Run]:
    """Go on with a group that `train_runs` began; return all its runs, finished.

    Raises
    ------
    RunError
        When the folder is not such a group.
    """
    settled, runs = read_group(folder)
    return _train_group(Path(folder), settled, runs, data_root, watcher or Watcher())


def is_group(folder: str | Path) -> bool:
    """Whether `train_runs` began a group in this folder."""
    return (Path(folder) / GROUP).is_file()


def read_group(folder: str | Path) -> tuple[Config, int]:
    """Return the options that the runs of a group share (with their first seed), and the number of seeds.

    Raises
    ------
    RunError
        When the folder is not a group, or its file is damaged.
    """
    if not is_group(folder):
        raise RunError(f"'{folder}' is not a group of runs: it has no {GROUP}.")
    path = Path(folder) / GROUP
    try:
        table = read_toml(path)
        return Config(**table["options"]), int(table["runs"])
    except (InputError, KeyError, TypeError, ValueError) as error:
        raise RunError(f"'{path}' is damaged: {error}.") from None


def _train_group(
    folder: Path, settled: Config, runs: int, data_root: str | Path | None, watcher: Watcher
) -> list[Run]:
    wanted = repetitions(settled, range(settled.seed, settled.seed + runs))
    _check(folder, wanted)
    had_group = is_group(folder)
    folder.mkdir(parents=True, exist_ok=True)
    shared = {name: value for name, value in dataclasses.asdict(settled).items() if value is not None}
    write_text(folder / GROUP, tomli_w.dumps({"runs": runs, "options": shared}))
    made = []
    try:
        for number, (name, config) in enumerate(wanted.items(), start=1):
            inside = folder / name
            state = run_state(inside)
            watcher.say(f"Run {number} of {len(wanted)}: {name}{_DOES[state]}.")
            if state is RunState.MISSING:
                clear_stillborn(inside)
                made.append(train_settled(config, out=inside, data_root=data_root, watcher=watcher))
            elif state is RunState.INTERRUPTED:
                made.append(resume(inside, data_root=data_root, watcher=watcher))
            else:
                made.append(Run(inside))
    except InputError:
        if not had_group and not any(path.is_dir() for path in folder.iterdir()):
            (folder / GROUP).unlink()
            folder.rmdir()
        raise
    return made


_DOES = {RunState.MISSING: "", RunState.INTERRUPTED: " goes on", RunState.DONE: " is finished already"}


def _check(folder: Path, wanted: dict[str, Config]) -> None:
    """Refuse a folder that holds something else, or a run of this group with other options."""
    if (folder / "config.toml").exists():
        raise RunError(f"'{folder}' holds a single run; choose another --out for a group of runs.")
    if folder.exists() and not is_group(folder) and (not folder.is_dir() or any(folder.iterdir())):
        raise RunError(f"'{folder}' is there already and is not a group of runs; choose another --out.")
    for name, config in wanted.items():
        if run_state(folder / name) is not RunState.MISSING:
            difference = first_difference(folder / name, config)
            if difference is not None:
                raise RunError(
                    f"'{folder / name}' was trained with other options ({difference}); choose another --out."
                )


def _group_folder(out: str | Path | None, config: Config, runs: int) -> Path:
    if out is not None:
        return Path(out)
    stamp = datetime.now().strftime("%Y%m%d-%H%M%S")
    count = f"{runs}runs" if runs > 1 or config.folds is None else f"{config.folds}folds"
    name = f"{model_entry(config.model).name}-{Path(config.dataset).stem}-{config.protocol}-{count}-{stamp}"
    return Path("runs") / name
