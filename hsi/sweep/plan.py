"""The runs of an experiment, each with its options resolved and a run folder, and their status."""

from __future__ import annotations

import hashlib
import json
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
        Labels in the experiment file.
    name
        ``seed0``, or ``seed0-fold0``.
    config
        Every option, resolved.
    folder
        ``runs/sweeps/EXPERIMENT/SCENE/PROTOCOL/MODEL/NAME``.
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

    @cached_property  # used after each run
    def fingerprint(self) -> str:
        """Hash of the options that differ from their defaults, but for the device and the scene's folder.

        An option added later changes no fingerprint until it is used.
        """
        options = self.config.as_dict()
        changed = {name: value for name, value in options.items() if value != OPTIONS[name].default}
        names = [Path(dataset).name for dataset in self.config.datasets]
        changed |= {"dataset": names if len(names) > 1 else names[0], "device": None}
        if self.config.test_scene is not None:
            changed["test_scene"] = Path(self.config.test_scene).name
        text = json.dumps(changed, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def state(self) -> RunState:
        """State of its folder."""
        return run_state(self.folder)

    def changed_option(self) -> str | None:
        """Return the first option in which its folder differs from the plan, in words, or None.

        Raises
        ------
        ConfigError
            When the options in its folder cannot be read.
        """
        return None if self.state is RunState.MISSING else first_difference(self.folder, self.config)


def make_plan(experiment: Experiment, root: Path = RUNS) -> list[PlannedRun]:
    """Return the runs of an experiment, ordered by seed, so that a complete table comes early.

    A run that several grids ask for is planned once.

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
    """Return the runs whose key matches one of the patterns (``*`` matches anything); all without a pattern.

    A pattern matches a whole key or its beginning up to a slash: ``indian-mnf``, ``*/disjoint/kanet``.

    Raises
    ------
    ConfigError
        For a pattern that matches no run.
    """
    patterns = list(patterns)
    for pattern in patterns:
        if not any(_fits(run, pattern) for run in plan):
            raise ConfigError(
                f"No run fits --only '{pattern}'; runs are called SCENE/PROTOCOL/MODEL/seedN, such as "
                f"{plan[0].key}."
            )
    return [run for run in plan if not patterns or any(_fits(run, pattern) for pattern in patterns)]


def _fits(run: PlannedRun, pattern: str) -> bool:
    parts = run.key.split("/")
    return any(fnmatchcase("/".join(parts[:count]), pattern) for count in range(1, len(parts) + 1))


def check_scenes(plan: Iterable[PlannedRun], data_root: str | Path | None = None) -> None:
    """Check that the files of every scene exist.

    Raises
    ------
    InputError
        For the first scene without files; the message says what to download or which file to put where.
    """
    configs = [run.config for run in plan]
    scenes = [scene for config in configs for scene in (*config.datasets, config.test_scene)]
    for dataset in dict.fromkeys(scene for scene in scenes if scene is not None):
        if find_entry(dataset) is not None:
            entry = scene_entry(dataset)
            if not is_on_disk(entry, data_root):
                raise SceneNotFoundError(missing_files_message(entry, data_root))
        elif not Path(dataset).exists():
            raise SceneNotFoundError(f"There is no file {dataset}; check the path, or see 'hsi scenes'.")
        elif dataset.endswith(".toml"):
            read_description(Path(dataset), data_root)


def check_options(
    plan: Iterable[PlannedRun], *, rerun: bool = False, chosen: Iterable[PlannedRun] | None = None
) -> list[PlannedRun]:
    """Check that existing run folders have the options that the experiment asks for now.

    Returns
    -------
    list
        With `rerun`, the runs whose folders have other options, to be removed and trained again.

    Raises
    ------
    RunError
        When a folder has other options, and `rerun` is False or the run is not among the `chosen`.
    """
    changed = [(run, difference) for run in plan if (difference := run.changed_option()) is not None]
    if changed and not rerun:
        run, difference = changed[0]
        more = f" and {len(changed) - 1} more" if len(changed) > 1 else ""
        raise RunError(
            f"'{run.folder}'{more} was trained with other options than the experiment asks for now "
            f"({difference}); --rerun trains such runs again."
        )
    trained = None if chosen is None else {run.key for run in chosen}
    kept = [run for run, _ in changed if trained is not None and run.key not in trained]
    if kept:
        more = f" and {len(kept) - 1} more" if len(kept) > 1 else ""
        raise RunError(
            f"'{kept[0].folder}'{more} was trained with other options than the experiment asks for now, and "
            "is not among the runs of --only, so --rerun would remove it without training it again; widen "
            "--only, or move it away."
        )
    return [run for run, _ in changed]


CHANGED = "changed"
ELSEWHERE = "elsewhere"


def run_status(run: PlannedRun, recorded: Container[str] = ()) -> str:
    """Return the status of a run; `recorded` holds the keys of the runs that the table of results has.

    "missing", "interrupted" and "done" are states of its folder; "changed": the folder has other options than
    the experiment asks for now; "elsewhere": only the table has it, from another machine or a folder removed
    since.

    Raises
    ------
    ConfigError
        When the options in its folder cannot be read.
    """
    if run.state is RunState.MISSING:
        return ELSEWHERE if run.key in recorded else run.state.value
    return run.state.value if run.changed_option() is None else CHANGED
