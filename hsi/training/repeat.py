"""One training repeated into a run group: over seeds, over folds, or both."""

from __future__ import annotations

from contextlib import ExitStack, suppress
from dataclasses import asdict, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import tomli_w

from hsi.datasets.toml_files import read_toml
from hsi.errors import ConfigError, HsiError, InputError, InUseError, RunError
from hsi.files.atomic import make_folder, write_text
from hsi.files.signals import signals_wait
from hsi.models import model_entry
from hsi.runs.config import Config, load_config
from hsi.runs.folder import Run
from hsi.runs.repetitions import repetitions
from hsi.runs.state import RunState, first_difference, run_state
from hsi.runs.work import LOCK, at_work, tidy
from hsi.training.ranks import Ranks
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
    ranks: Ranks | None = None,
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
    model, dataset, config, data_root, watcher, ranks, **options
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
    ranks = ranks or Ranks()
    folder = ranks.once(lambda: _group_folder(out, settled, runs))
    return _train_group(folder, settled, runs, data_root, watcher or Watcher(), ranks)


def resume_runs(
    folder: str | Path,
    *,
    data_root: str | Path | None = None,
    watcher: Watcher | None = None,
    ranks: Ranks | None = None,
) -> list[Run]:
    """Go on with a group that `train_runs` began; return all its runs, finished.

    Raises
    ------
    RunError
        When the folder is not such a group.
    """
    settled, runs = read_group(folder)
    return _train_group(Path(folder), settled, runs, data_root, watcher or Watcher(), ranks or Ranks())


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
    folder: Path,
    settled: Config,
    runs: int,
    data_root: str | Path | None,
    watcher: Watcher,
    ranks: Ranks,
) -> list[Run]:
    wanted = ranks.once(lambda: _named(folder, settled, runs))
    ranks.once(lambda: _check(folder, wanted))
    had_group = ranks.once(lambda: is_group(folder))
    where: dict[str, Any] = {"data_root": data_root, "watcher": watcher, "ranks": ranks}
    made = []
    shared = {name: value for name, value in asdict(settled).items() if value is not None}
    with ExitStack() as stack:

        def begin() -> None:
            make_folder(folder)
            stack.enter_context(at_work(folder))
            _check(folder, wanted)
            write_text(folder / GROUP, tomli_w.dumps({"runs": runs, "options": shared}))

        try:
            with signals_wait():
                ranks.once(begin)
            for number, (name, config) in enumerate(wanted.items(), start=1):
                inside = folder / name
                state = ranks.once(partial(run_state, inside))
                watcher.say(f"Run {number} of {len(wanted)}: {name}{_DOES[state]}.")
                if state is RunState.MISSING:
                    made.append(train_settled(config, out=inside, **where))
                elif state is RunState.INTERRUPTED:
                    made.append(resume(inside, **where))
                else:
                    ranks.once(partial(tidy, inside))
                    made.append(Run(inside))
        except InUseError:
            raise
        except (HsiError, KeyboardInterrupt):
            if ranks.first:  # not `once`: the others may be gone
                _remove_unused(folder, had_group)
            raise
    return made


def _named(folder: Path, settled: Config, runs: int) -> dict[str, Config]:
    """Return the options of each run by the name of its folder.

    One seed has ``fold0`` where several have ``seed0-fold0``: what is there keeps its name, since under both
    names it would be trained twice and count twice.
    """
    made: dict[str, Config] = {}
    for name, config in repetitions(settled, range(settled.seed, settled.seed + runs)).items():
        fold, both = f"fold{config.fold}", f"seed{config.seed}-fold{config.fold}"
        other = {fold: both, both: fold}.get(name, name)
        there = run_state(folder / other) is not RunState.MISSING
        made[other if there and first_difference(folder / other, config) is None else name] = config
    return made


def _remove_unused(folder: Path, had_group: bool) -> None:
    """Remove a new group in which no run was begun."""
    if not had_group and folder.is_dir() and not any(path.is_dir() for path in folder.iterdir()):
        with signals_wait(), suppress(OSError):  # something else may lie in it by now
            (folder / GROUP).unlink(missing_ok=True)
            (folder / LOCK).unlink(missing_ok=True)
            folder.rmdir()


_DOES = {RunState.MISSING: "", RunState.INTERRUPTED: " goes on", RunState.DONE: " is finished already"}


def _check(folder: Path, wanted: dict[str, Config]) -> None:
    """Refuse a folder that holds something else, or a run of this group with other options."""
    if (folder / "config.toml").exists():
        raise RunError(f"'{folder}' holds a single run; choose another --out for a group of runs.")
    if folder.exists() and not is_group(folder) and not _is_empty(folder):
        raise RunError(f"'{folder}' is there already and is not a group of runs; choose another --out.")
    any_of_them = next(iter(wanted.values()))
    for path in sorted(folder.glob("*/config.toml")):
        config = wanted.get(path.parent.name)
        if config is None:  # of another seed: `hsi compare` takes all that lie here for one network
            there = load_config(path)
            fold = there.fold if there.folds == any_of_them.folds else any_of_them.fold
            config = replace(any_of_them, seed=there.seed, fold=fold)
        difference = first_difference(path.parent, config)
        if difference is not None:
            raise RunError(
                f"'{path.parent}' was trained with other options ({difference}); choose another --out."
            )


def _is_empty(folder: Path) -> bool:
    """Whether nothing is in a folder, or only what a killed process left before it was a group."""
    left = (LOCK, f".{GROUP}.")
    return folder.is_dir() and all(path.name.startswith(left) for path in folder.iterdir())


def _group_folder(out: str | Path | None, config: Config, runs: int) -> Path:
    if out is not None:
        return Path(out)
    stamp = datetime.now().strftime("%Y%m%d-%H%M%S")
    count = f"{runs}runs" if runs > 1 or config.folds is None else f"{config.folds}folds"
    name = f"{model_entry(config.model).name}-{Path(config.dataset).stem}-{config.protocol}-{count}-{stamp}"
    return Path("runs") / name
