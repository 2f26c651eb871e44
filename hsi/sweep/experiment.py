"""An experiment file: which networks are trained on which scenes, under which protocols, with which seeds.

.. code-block:: toml

    title = "Six networks on two scenes"
    seeds = [0, 1, 2]                    # for every [[grid]] that has none of its own

    [defaults]                           # any option of `hsi train`, in its TOML spelling
    patch = 7

    [scenes.indian-mnf]                  # a label of your own
    dataset = "scenes/indian-mnf.toml"   # a path from this file; default: the label, as in [scenes.IN]
    scale = "scene"                      # options of this scene

    [scenes.two-dates]                   # one model for several scenes
    dataset = ["scenes/june.toml", "scenes/july.toml"]
    test_scene = "scenes/august.toml"    # scored on the labelled pixels of another

    [protocols.random]
    scheme = "random"
    train = 0.1

    [protocols.folds]
    scheme = "disjoint"
    folds = 5                            # without fold: a run for each of them

    [models.kanet]
    lr = 0.001

    [models.svm-spatial]                 # the same model twice, under two labels
    model = "svm"                        # default: the label
    model_options = { features = "spatial" }

    [[grid]]                             # none: all models on all scenes under all protocols
    models = ["kanet"]                   # default: all of them
    scenes = ["indian-mnf"]
    protocols = ["random"]
    seeds = [0]

Options of a model override those of its protocol, these those of its scene, and these the defaults. Labels
become names of folders.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hsi.config import check_names
from hsi.errors import ConfigError, near_miss
from hsi.io.text import read_toml, refuse_unknown_keys

KEYS = ("title", "seeds", "defaults", "scenes", "protocols", "models", "grid")
AXES = ("models", "scenes", "protocols")
# Options that belong to another section.
_FOREIGN = {
    "defaults": ("model", "dataset", "seed"),
    "scenes": ("model", "seed"),
    "protocols": ("model", "dataset", "seed"),
    "models": ("dataset", "seed"),
}
_FILES = ("labels", "library", "train_mask", "test_mask", "split")  # options that name a file
_LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*")


@dataclass(frozen=True)
class Grid:
    """A ``[[grid]]``: every combination of models, scenes, protocols and seeds."""

    models: tuple[str, ...]
    scenes: tuple[str, ...]
    protocols: tuple[str, ...]
    seeds: tuple[int, ...]


@dataclass(frozen=True)
class Experiment:
    """An experiment file, with paths resolved; `name` is its stem, `scenes`... hold options by label."""

    name: str
    path: Path
    title: str
    defaults: dict[str, Any]
    scenes: dict[str, dict[str, Any]]
    protocols: dict[str, dict[str, Any]]
    models: dict[str, dict[str, Any]]
    grids: tuple[Grid, ...] = field(default=())

    def options(self, scene: str, protocol: str, model: str) -> dict[str, Any]:
        """Return the options of a run, without its seed."""
        return {
            **self.defaults,
            **self.scenes[scene],
            **self.protocols[protocol],
            **self.models[model],
        }


def read_experiment(path: str | Path) -> Experiment:
    """Read an experiment file, in the format that this module describes.

    Raises
    ------
    InputError
        For a missing or broken file, an unknown key, option or label (the message names the nearest one), or
        a file without runs.
    """
    file = Path(path)
    table = read_toml(file)
    refuse_unknown_keys(table, KEYS, str(file))
    title = table.get("title", file.stem)
    if not isinstance(title, str):
        raise ConfigError(f"{file}: title must be a text in quotes, not {title!r}.")
    defaults = _options("defaults", table.get("defaults", {}), f"{file}, [defaults]", file)
    axes = {axis: _axis(axis, table.get(axis, {}), file) for axis in AXES}
    for label, options in axes["scenes"].items():
        given = options.get("dataset", label)
        names = given if isinstance(given, list) else [given]
        if not names or not all(isinstance(name, str) for name in names):
            raise ConfigError(
                f"{file}, [scenes.{label}]: dataset must be a text or a list of texts, not {given!r}."
            )
        options["dataset"] = [_dataset(name, file) for name in names]
        if len(names) == 1:
            options["dataset"] = options["dataset"][0]
        if "test_scene" in options:
            options["test_scene"] = _dataset(options["test_scene"], file)
    for label, options in axes["models"].items():
        options.setdefault("model", label)
        if not isinstance(options["model"], str):
            raise ConfigError(f"{file}, [models.{label}]: model must be a text, not {options['model']!r}.")
    seeds = _seeds(table["seeds"], f"{file}: seeds") if "seeds" in table else None
    blocks = table.get("grid", [{}])
    if not isinstance(blocks, list) or not all(isinstance(block, Mapping) for block in blocks):
        raise ConfigError(f"{file}: write each block of runs as [[grid]], in double brackets.")
    grids = tuple(_grid(block, axes, seeds, f"{file}, [[grid]] {i}") for i, block in enumerate(blocks, 1))
    name = _label(file.stem, f"The name of {file}")
    return Experiment(name, file, title, defaults, grids=grids, **axes)


def _axis(axis: str, value: Any, file: Path) -> dict[str, dict[str, Any]]:
    example = {"models": "kanet", "scenes": "IN", "protocols": "random"}[axis]
    if not isinstance(value, Mapping) or not value:
        raise ConfigError(f"{file} names no {axis}; add a section such as [{axis}.{example}].")
    sections = {}
    folded: dict[str, str] = {}
    for label, options in value.items():
        where = f"{file}, [{axis}.{label}]"
        _label(label, where)
        if label.casefold() in folded:
            raise ConfigError(f"{where}: '{folded[label.casefold()]}' is the same folder on some systems.")
        folded[label.casefold()] = label
        sections[label] = _options(axis, options, where, file)
    return sections


def _options(section: str, value: Any, where: str, file: Path) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise ConfigError(f"{where} must be a section with options, not {value!r}.")
    for name in _FOREIGN[section]:
        if name in value:
            raise ConfigError(f"{where} cannot set {name}; {_HOME[name]}.")
    try:
        check_names(value)
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from None
    options = dict(value)
    for name in _FILES:
        if isinstance(options.get(name), str):
            options[name] = shown(file.parent / options[name])
    return options


_HOME = {
    "model": "each [models.LABEL] names its own",
    "dataset": "each [scenes.LABEL] names its own",
    "seed": "list seeds = [0, 1] at the top of the file or in a [[grid]]",
}


def _dataset(value: Any, file: Path) -> Any:
    """Return a short name unchanged, and a path relative to the current folder."""
    from hsi.datasets.catalogue.entries import find_entry
    from hsi.datasets.catalogue.locate import user_path

    if not isinstance(value, str) or find_entry(value) is not None:
        return value
    beside = user_path(file.parent / value)
    return shown(beside) if beside.exists() or Path(value).suffix else value


def shown(path: Path) -> str:
    """Return a path relative to the current folder if it lies in it, else the absolute path."""
    whole = Path(path).absolute()
    whole = Path(*_without_dots(whole))
    try:
        return whole.relative_to(Path.cwd()).as_posix()
    except ValueError:
        return whole.as_posix()


def _without_dots(path: Path) -> list[str]:
    """Resolve ``..`` without following links."""
    parts: list[str] = []
    for part in path.parts:
        if part == ".." and len(parts) > 1:
            parts.pop()
        else:
            parts.append(part)
    return parts


def _grid(
    block: Mapping[str, Any],
    axes: Mapping[str, Mapping[str, Any]],
    seeds: tuple[int, ...] | None,
    where: str,
) -> Grid:
    refuse_unknown_keys(block, (*AXES, "seeds"), where)
    chosen = {}
    for axis in AXES:
        labels = block.get(axis, list(axes[axis]))
        if not isinstance(labels, list) or not labels:
            raise ConfigError(f"{where}: {axis} must be a list of labels, not {labels!r}.")
        for label in labels:
            if not isinstance(label, str) or label not in axes[axis]:
                known = ", ".join(axes[axis])
                raise ConfigError(
                    f"{where}: there is no [{axis}.{label}].{near_miss(str(label), axes[axis])} "
                    f"Known: {known}."
                )
        chosen[axis] = tuple(labels)
    if "seeds" in block:
        seeds = _seeds(block["seeds"], f"{where}: seeds")
    return Grid(**chosen, seeds=seeds or (0,))


def _seeds(value: Any, where: str) -> tuple[int, ...]:
    whole = isinstance(value, list) and all(type(seed) is int and seed >= 0 for seed in value)
    if not whole or not value or len(set(value)) < len(value):
        raise ConfigError(f"{where} must be a list of different whole numbers from 0, not {value!r}.")
    return tuple(value)


def _label(label: str, where: str) -> str:
    if not _LABEL.fullmatch(label):
        raise ConfigError(
            f"{where} becomes a folder's name; use letters, digits and . _ + - (a letter or digit first)."
        )
    return label
