"""From what the user says about a training to every option of it, by what its scene wants."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hsi.datasets import scene_entry
from hsi.errors import SceneNotFoundError
from hsi.runs.config import Config, read_config
from hsi.runs.protocols import resolve


def settle(
    model: str | None = None,
    dataset: str | None = None,
    *,
    config: str | Path | None = None,
    **options: Any,
) -> Config:
    """Return every option of a training; the parameters are those of `hsi.training.train`.

    Raises
    ------
    ConfigError
        For an unknown option, a wrong value, or two options that clash.
    """
    given = {"model": model, "dataset": dataset, **options}
    file = read_config(Path(config)) if config is not None else {}
    return resolve(given, file, **_defaults_of_scene(dataset or file.get("dataset")))


def _defaults_of_scene(dataset: str | None) -> dict[str, str]:
    """A named benchmark scene defaults to the papers' protocol, the demo to a quick disjoint one."""
    if dataset is None:
        return {}
    try:
        entry = scene_entry(dataset)
    except SceneNotFoundError:
        return {}
    if entry.name == "demo":
        return {"default_protocol": "disjoint", "default_preset": "quick"}
    return {"default_protocol": "paper"}
