"""From an experiment to its runs: each with its options resolved and a folder of its own.

In a word, how far a run of a sweep has come, as listings say it.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Container, Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path

from hsi.config import OPTIONS, Config, resolve_config
from hsi.datasets import is_on_disk, scene_entry
from hsi.datasets.catalogue.description import read_description
from hsi.datasets.catalogue.downloader import missing_files_message
from hsi.datasets.catalogue.entries import find_entry
from hsi.errors import ConfigError, HsiError, RunError, SceneNotFoundError
from hsi.models import model_entry
from hsi.runs.status import RunState, first_difference, run_state
from hsi.sweep.experiment import Experiment
from hsi.training.run_group import repetitions

RUNS = Path("runs") / "sweeps"


@dataclass(frozen=True)
class PlannedRun:
    """One run of an experiment.

    Attributes
    ----------
    scene, protocol, model
        Its labels in the experiment file.
    name
        What sets it apart from its repetitions: ``seed0``, or ``seed0-fold0``.
    config
        Every option, resolved.
    folder
        Its run folder: ``runs/sweeps/EXPERIMENT/SCENE/PROTOCOL/MODEL/NAME``.
    """

    scene: str
    protocol: str
    model: str
    name: str
    config: Config
    folder: Path

    @property
    def key(self) -> str:
        """``SCENE/PROTOCOL/MODEL/NAME``."""
        return f"{self.cell}/{self.name}"

    @property
    def cell(self) -> str:
        """``SCENE/PROTOCOL/MODEL``: equal for repetitions."""
        return f"{self.scene}/{self.protocol}/{self.model}"

    @cached_property  # the table of results asks for it after each run
    def fingerprint(self) -> str:
        """Hash of the options that are not at their defaults, wherever the scene's file and the device are.

        An option that a later version adds changes no fingerprint until it is used.
        """
        options = self.config.as_dict()
        told = {name: value for name, value in options.items() if value != OPTIONS[name].default}
        told |= {"dataset": Path(self.config.dataset).name, "device": None}
        text = json.dumps(told, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def state(self) -> RunState:
        """How far its folder has come."""
        return run_state(self.folder)

    def changed_option(self) -> str | None:
        """Return in words where the options in its folder differ from its own, or None.

        Raises
        ------
        ConfigError
            When the options in its folder cannot be read.
        """
        return None if self.state is RunState.MISSING else first_difference(self.folder, self.config)


def make_plan(experiment: Experiment, root: Path = RUNS) -> list[PlannedRun]:
    """Return the runs of an experiment: everything with the first seed first, so that a table comes early.

    A run that several blocks ask for is planned once.

    Raises
    ------
    InputError
        For options that cannot work together, an unknown model or scene; the message names the run.
    """
    order = sorted({seed for grid in experiment.grids for seed in grid.seeds})
    plan: dict[str, PlannedRun] = {}
    for seed in order:
        for grid in experiment.grids:
            if seed not in grid.seeds:
                continue
            for scene in grid.scenes:
                for protocol in grid.protocols:
                    for model in grid.models:
                        for run in _runs(experiment, scene, protocol, model, seed, root):
                            plan.setdefault(run.key, run)
    return list(plan.values())


def _runs(
    experiment: Experiment, scene: str, protocol: str, model: str, seed: int, root: Path
) -> list[PlannedRun]:
    cell = Path(scene) / protocol / model
    options = experiment.options(scene, protocol, model)
    try:
        model_entry(options["model"])
        config = resolve_config(options)
    except HsiError as error:
        raise ConfigError(f"{experiment.path}: {cell.as_posix()}: {error}") from None
    made = []
    for name, resolved in repetitions(config, [seed]).items():
        whole = name if name.startswith("seed") else f"seed{seed}-{name}"
        folder = root / experiment.name / cell / whole
        made.append(PlannedRun(scene, protocol, model, whole, resolved, folder))
    return made


def select(plan: list[PlannedRun], patterns: Iterable[str]) -> list[PlannedRun]:
    """Return the runs whose key fits one of the patterns (``*`` fits anything); all without a pattern.

    A pattern may fit a whole key or its beginning up to a slash: ``indian-mnf``, ``*/disjoint/kanet``.

    Raises
    ------
    ConfigError
        For a pattern that fits no run.
    """
    wanted = list(patterns)
    for pattern in wanted:
        if not any(_fits(run, pattern) for run in plan):
            raise ConfigError(
                f"No run fits --only '{pattern}'; runs are called SCENE/PROTOCOL/MODEL/seedN, such as "
                f"{plan[0].key}."
            )
    return [run for run in plan if not wanted or any(_fits(run, pattern) for pattern in wanted)]


def _fits(run: PlannedRun, pattern: str) -> bool:
    parts = run.key.split("/")
    return any(fnmatchcase("/".join(parts[:count]), pattern) for count in range(1, len(parts) + 1))


def check_scenes(plan: Iterable[PlannedRun], data_root: str | Path | None = None) -> None:
    """Make sure that the files of every scene are there, before anything is trained.

    Raises
    ------
    InputError
        For the first scene that is not; the message says what to download or which file to put where.
    """
    for dataset in dict.fromkeys(run.config.dataset for run in plan):
        if find_entry(dataset) is not None:
            entry = scene_entry(dataset)
            if not is_on_disk(entry, data_root):
                raise SceneNotFoundError(missing_files_message(entry, data_root))
        elif not Path(dataset).exists():
            raise SceneNotFoundError(f"There is no file {dataset}; check the path, or see 'hsi scenes'.")
        elif dataset.endswith(".toml"):
            read_description(Path(dataset), data_root)


def check_options(
    plan: Iterable[PlannedRun], *, replace: bool = False, chosen: Iterable[PlannedRun] | None = None
) -> None:
    """Make sure that the runs that are there have the options that the experiment asks for now.

    With `replace` those that have others are removed, so that they are trained anew; but none is where one
    of them is not among the `chosen` (default: all), since nothing would be trained in its place.

    Raises
    ------
    RunError
        When one has others, and `replace` is False or it is not among the `chosen`.
    """
    changed = [(run, difference) for run in plan if (difference := run.changed_option()) is not None]
    if changed and not replace:
        run, difference = changed[0]
        more = f" and {len(changed) - 1} more" if len(changed) > 1 else ""
        raise RunError(
            f"'{run.folder}'{more} was trained with other options than the experiment asks for now "
            f"({difference}); --replace trains such runs anew."
        )
    anew = None if chosen is None else {run.key for run in chosen}
    kept = [run for run, _ in changed if anew is not None and run.key not in anew]
    if kept:
        more = f" and {len(kept) - 1} more" if len(kept) > 1 else ""
        raise RunError(
            f"'{kept[0].folder}'{more} was trained with other options than the experiment asks for now, and "
            "is not among the runs of --only, so --replace would remove it without training it anew; widen "
            "--only, or move it away."
        )
    for run, _ in changed:
        shutil.rmtree(run.folder)


CHANGED = "changed"
ELSEWHERE = "elsewhere"


def standing(run: PlannedRun, recorded: Container[str] = ()) -> str:
    """Return a word for a run; `recorded` holds the keys of the runs whose rows the table has.

    "missing", "interrupted" and "done" are the states of its folder; "changed" is one whose folder was made
    with other options than the experiment asks for now; "elsewhere" is one that only the table knows, made on
    another machine or with its folder removed since.

    Raises
    ------
    ConfigError
        When the options in its folder cannot be read.
    """
    if run.state is RunState.MISSING:
        return ELSEWHERE if run.key in recorded else run.state.value
    return run.state.value if run.changed_option() is None else CHANGED
