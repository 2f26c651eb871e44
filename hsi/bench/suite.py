"""The whole benchmark: operators and training steps, networks, input pipeline, training loop, maps."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection
from typing import Any

from hsi.bench.cases import CASES, find_references, load_references
from hsi.bench.comparisons import compare
from hsi.bench.networks import measure_network
from hsi.bench.pipelines import measure_loop, measure_map, measure_pipeline
from hsi.bench.setting import FULL, QUICK, Scale, Setting, describe_machine
from hsi.bench.summary import save_speed
from hsi.errors import ConfigError, unknown
from hsi.models.registry import list_models, model_entry

FORMAT = 1
PIPELINE = "pipeline"
LOOP = "loop"
MAP = "map"


def network_names() -> list[str]:
    """Return the backbone and the networks built on it, not the baselines."""
    return [name for name in list_models() if not model_entry(name).baseline]


def case_names() -> list[str]:
    """Return the names of all cases in their order; baselines are not measured alone."""
    return [*CASES, *network_names(), PIPELINE, LOOP, MAP]


def run_bench(
    setting: Setting,
    scale: Scale = FULL,
    *,
    only: Collection[str] = (),
    progress: Callable[[str], None] = lambda name: None,
) -> dict[str, Any]:
    """Measure and return the result, ready for JSON.

    Parameters
    ----------
    setting
        See `make_setting`. The default folder of references is ``benchmarks/references`` of the checkout.
    scale
        FULL, QUICK, or another.
    only
        Names of `case_names`; empty for all.
    progress
        Called with the name of each case before it is measured.

    Raises
    ------
    ConfigError
        For an unknown name, or a folder without references.
    HsiError
        When ours and a reference do not compute the same function.
    """
    names = case_names()
    for name in only:
        if name not in names:
            raise ConfigError(unknown("case", name, names))
    if setting.references is None:
        setting = dataclasses.replace(setting, references=find_references())
    load_references(setting.references)
    result: dict[str, Any] = {
        "format": FORMAT,
        "machine": describe_machine(setting),
        "quick": scale == QUICK,
        "bands": scale.bands,
        "classes": scale.classes,
        "patch": scale.patch,
        "references": setting.references is not None,
        "comparisons": [],
        "networks": [],
        "pipeline": None,
        "loops": [],
        "maps": [],
    }
    for name in names:
        if only and name not in only:
            continue
        progress(name)
        if name in CASES:
            result["comparisons"].append(compare(name, scale, setting))
        elif name == PIPELINE:
            result["pipeline"] = measure_pipeline(scale, setting)
        elif name == LOOP:
            # A CPU cannot train in half precision; see `hsi.models.device.choose_precision`.
            if setting.precision != "bf16" or setting.device != "cpu":
                result["loops"] = [measure_loop(each, scale, setting) for each in network_names()]
        elif name == MAP:
            result["maps"] = measure_map(scale, setting)
        else:
            measured = measure_network(name, scale, setting)
            if scale != QUICK:
                save_speed(name, measured, scale, setting)
            result["networks"].append(measured)
    return result
