"""One training repeated into a group of runs: over seeds, over the folds of a cross-validation, or both."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack, suppress
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import tomli_w

from hsi.config import Config, load_config, make_config, resolve_config
from hsi.errors import ConfigError, HsiError, InputError, InUseError, RunError
from hsi.inference.joined import save_ensemble
from hsi.inference.run import Run
from hsi.io.files import make_folder, write_text
from hsi.io.locks import LOCK, remove_stale_run_lock, run_lock
from hsi.io.signals import defer_signals
from hsi.io.text import read_toml
from hsi.models import model_entry
from hsi.runs.status import RunState, first_difference, run_state
from hsi.training.callbacks import Callback
from hsi.training.distributed import World
from hsi.training.session import MOST_OF_NAME, resume, train_config


def repetitions(config: Config, seeds: Sequence[int]) -> dict[str, Config]:
    """Return the options of each run by the name of its folder.

    The seed fixes the split as well as the weights, so networks repeated over the same seeds see the same
    splits. ``folds`` without ``fold`` asks for a run for each fold.

    Returns
    -------
    dict
        ``seed0, seed1, ...``; ``fold0, fold1, ...`` if there is one seed; ``seed0-fold0, ...`` otherwise. Of
        several models, which are joined, a run each, by their names.

    Raises
    ------
    ConfigError
        For several models with several seeds or folds, a model named twice, or an option that none has.
    """
    if len(config.models) > 1:
        return _each_model(config, seeds)
    made: dict[str, Config] = {}
    for seed in seeds:
        if config.folds is None or config.fold is not None:
            made[f"seed{seed}"] = config.replace(seed=seed)
            continue
        for fold in range(config.folds):
            name = f"fold{fold}" if len(seeds) == 1 else f"seed{seed}-fold{fold}"
            made[name] = config.replace(seed=seed, fold=fold)
    return made


def _each_model(config: Config, seeds: Sequence[int]) -> dict[str, Config]:
    if len(seeds) > 1 or (config.folds is not None and config.fold is None):
        raise ConfigError(
            "Several models are joined on one split; leave out --runs and --folds, or train them one by one."
        )
    entries = [model_entry(name) for name in config.models]
    names = [entry.name for entry in entries]
    if len(set(names)) < len(names):
        raise ConfigError(f"A model is named twice in '{config.model}'; name each once.")
    for option in config.model_options:
        if not any(option in entry.options for entry in entries):
            raise ConfigError(f"None of {', '.join(names)} has an option '{option}'; see hsi models --json.")
    return {
        entry.name: config.replace(
            model=entry.name,
            seed=seeds[0],
            model_options={
                option: value for option, value in config.model_options.items() if option in entry.options
            },
        )
        for entry in entries
    }


GROUP = "group.toml"  # number of seeds, and the options that the runs share: enough to resume


def train_runs(
    model: str | None = None,
    dataset: str | Sequence[str] | None = None,
    *,
    runs: int = 1,
    out: str | Path | None = None,
    config: str | Path | None = None,
    data_root: str | Path | None = None,
    callback: Callback | None = None,
    world: World | None = None,
    **options: Any,
) -> list[Run]:
    """Train a network several times and return the finished runs.

    The seeds are ``seed, seed + 1, ...``; each fixes the split as well as the weights, so other networks get
    the same splits. With ``folds=k`` and no ``fold`` each seed gives k runs, one for each fold.

    Parameters
    ----------
    runs
        Number of seeds.
    out
        Folder of the group; its runs are ``seed0, seed1, ...``, ``fold0, ...`` or ``seed0-fold0, ...``.
        Finished runs are kept and interrupted ones resumed, so the same call resumes a group; more `runs`
        extend it. Default ``runs/MODEL-DATASET-PROTOCOL-...``.
    model, dataset, config, data_root, callback, world, **options
        As for `hsi.train`.

    Raises
    ------
    InputError
        For what `hsi.train` refuses, `runs` below one, or a folder that holds something else or runs with
        other options.
    TrainingError
        When the loss of a run becomes NaN or infinite; the group can be resumed.
    """
    resolved = resolve_config({"model": model, "dataset": dataset, **options}, config)
    return train_group(resolved, runs, out=out, data_root=data_root, callback=callback, world=world)


def train_group(
    config: Config,
    runs: int,
    *,
    out: str | Path | None = None,
    data_root: str | Path | None = None,
    callback: Callback | None = None,
    world: World | None = None,
) -> list[Run]:
    """Do what `train_runs` does, with every option resolved."""
    if runs < 1:
        raise ConfigError(f"runs must be at least 1, not {runs}.")
    for name in config.models:
        model_entry(name)
    world = world or World()
    folder = world.on_rank_zero(lambda: _group_folder(out, config, runs))
    return _train_group(folder, config, runs, data_root, callback or Callback(), world)


def resume_runs(
    folder: str | Path,
    *,
    data_root: str | Path | None = None,
    callback: Callback | None = None,
    world: World | None = None,
) -> list[Run]:
    """Resume a group that `train_runs` started; return all its runs, finished.

    Raises
    ------
    RunError
        When the folder is not such a group.
    """
    config, runs = read_group(folder)
    return _train_group(Path(folder), config, runs, data_root, callback or Callback(), world or World())


def is_group(folder: str | Path) -> bool:
    """Whether a folder is a group of runs."""
    return (Path(folder) / GROUP).is_file()


def read_group(folder: str | Path) -> tuple[Config, int]:
    """Return the options that the runs of a group share (with the first seed), and the number of seeds.

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
        return make_config(table["options"]), int(table["runs"])
    except (InputError, KeyError, TypeError, ValueError) as error:
        raise RunError(f"'{path}' is damaged: {error}.") from None


def _train_group(
    folder: Path,
    config: Config,
    runs: int,
    data_root: str | Path | None,
    callback: Callback,
    world: World,
) -> list[Run]:
    planned = world.on_rank_zero(lambda: _planned_runs(folder, config, runs))
    world.on_rank_zero(lambda: _refuse_other(folder, planned))
    had_group = world.on_rank_zero(lambda: is_group(folder))
    where: dict[str, Any] = {"data_root": data_root, "callback": callback, "world": world}
    finished = []
    shared = {name: value for name, value in config.as_dict().items() if value is not None}
    with ExitStack() as stack:

        def start_group() -> None:
            make_folder(folder)
            stack.enter_context(run_lock(folder))
            _refuse_other(folder, planned)
            write_text(folder / GROUP, tomli_w.dumps({"runs": runs, "options": shared}))

        try:
            with defer_signals():
                world.on_rank_zero(start_group)
            for number, (name, run_config) in enumerate(planned.items(), start=1):
                run_folder = folder / name
                state = world.on_rank_zero(partial(run_state, run_folder))
                callback.message(f"Run {number} of {len(planned)}: {name}{_STATE_NOTES[state]}.")
                if state is RunState.MISSING:
                    finished.append(train_config(run_config, out=run_folder, **where))
                elif state is RunState.INTERRUPTED:
                    finished.append(resume(run_folder, **where))
                else:
                    world.on_rank_zero(partial(remove_stale_run_lock, run_folder))
                    finished.append(Run(run_folder))
        except InUseError:
            raise
        except (HsiError, KeyboardInterrupt):
            if world.is_rank_zero:  # not `on_rank_zero`: the others may be gone
                _remove_unused(folder, had_group)
            raise
    if len(config.models) > 1:
        callback.message("The runs are joined: the mean of their calibrated probabilities.")
        world.on_rank_zero(lambda: save_ensemble(folder, finished, data_root))
    return finished


def _planned_runs(folder: Path, config: Config, runs: int) -> dict[str, Config]:
    """Return the options of each run by the name of its folder.

    One seed has ``fold0`` where several have ``seed0-fold0``: a run that exists keeps its name, so that no
    fold is trained and counted twice.
    """
    made: dict[str, Config] = {}
    for name, member in repetitions(config, range(config.seed, config.seed + runs)).items():
        fold, both = f"fold{member.fold}", f"seed{member.seed}-fold{member.fold}"
        other = {fold: both, both: fold}.get(name, name)
        exists = run_state(folder / other) is not RunState.MISSING
        made[other if exists and first_difference(folder / other, member) is None else name] = member
    return made


def _remove_unused(folder: Path, had_group: bool) -> None:
    """Remove a new group in which no run was started."""
    if not had_group and folder.is_dir() and not any(path.is_dir() for path in folder.iterdir()):
        with defer_signals(), suppress(OSError):  # something else may lie in it by now
            (folder / GROUP).unlink(missing_ok=True)
            (folder / LOCK).unlink(missing_ok=True)
            folder.rmdir()


_STATE_NOTES = {RunState.MISSING: "", RunState.INTERRUPTED: ", resumed", RunState.DONE: ", finished already"}


def _refuse_other(folder: Path, planned: dict[str, Config]) -> None:
    """Refuse a folder that holds something else, or a run with other options than the group's."""
    if (folder / "config.toml").exists():
        raise RunError(f"'{folder}' holds a single run; choose another --out for a group of runs.")
    if folder.exists() and not is_group(folder) and not _is_empty(folder):
        raise RunError(f"'{folder}' is there already and is not a group of runs; choose another --out.")
    any_config = next(iter(planned.values()))
    for path in sorted(folder.glob("*/config.toml")):
        config = planned.get(path.parent.name)
        if config is None:  # of another seed: `hsi compare` takes all runs of a folder for one network
            existing = load_config(path)
            fold = existing.fold if existing.folds == any_config.folds else any_config.fold
            config = any_config.replace(seed=existing.seed, fold=fold)
        difference = first_difference(path.parent, config)
        if difference is not None:
            raise RunError(
                f"'{path.parent}' was trained with other options ({difference}); choose another --out."
            )


def _is_empty(folder: Path) -> bool:
    """Whether a folder holds nothing, or only what a killed process left before it was a group."""
    remains = (LOCK, f".{GROUP}.")
    return folder.is_dir() and all(path.name.startswith(remains) for path in folder.iterdir())


def _group_folder(out: str | Path | None, config: Config, runs: int) -> Path:
    if out is not None:
        return Path(out)
    stamp = datetime.now().strftime("%Y%m%d-%H%M%S")
    count = f"{runs}runs" if runs > 1 or config.folds is None else f"{config.folds}folds"
    scenes = "+".join(Path(dataset).stem for dataset in config.datasets)[:MOST_OF_NAME]
    if len(config.models) > 1:
        count = f"seed{config.seed}"
    models = "+".join(model_entry(one).name for one in config.models)
    name = f"{models}-{scenes}-{config.protocol}-{count}-{stamp}"
    return Path("runs") / name
