"""A whole run on this machine: every case and network, the input pipeline, the training loop, maps."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from hsi.bench.cases import CASES, find_references, load_references
from hsi.bench.comparisons import compare
from hsi.bench.networks import measure_network
from hsi.bench.pipelines import measure_loop, measure_map, measure_pipeline
from hsi.bench.setting import FULL, QUICK, Scale, Setting, describe_machine
from hsi.bench.summary import remember_speed
from hsi.errors import ConfigError, unknown
from hsi.models.registry import list_models, model_entry

FORMAT = 1
PIPELINE = "pipeline"
LOOP = "loop"
MAP = "map"


def case_names() -> list[str]:
    """Return the names of all that can be measured, in the order of a run; baselines are not measured."""
    return [*CASES, *_networks(), PIPELINE, LOOP, MAP]


def run_bench(
    setting: Setting,
    scale: Scale = FULL,
    *,
    only: Collection[str] = (),
    say: Callable[[str], None] = lambda sentence: None,
) -> dict[str, Any]:
    """Measure and return the result, ready for JSON.

    Parameters
    ----------
    setting
        See `hsi.bench.make_setting`. Without a folder of references, the one beside the checkout is taken.
    scale
        FULL, QUICK, or another.
    only
        Names of `case_names`; empty for all.
    say
        Told what is measured next.

    Raises
    ------
    ConfigError
        For an unknown name, or a folder without references.
    HsiError
        When ours and a reference do not compute the same.
    """
    names = case_names()
    for name in only:
        if name not in names:
            raise ConfigError(unknown("case", name, names))
    if setting.references is None:
        setting = Setting(setting.device, setting.threads, setting.precision, find_references())
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
        say(name)
        if name in CASES:
            result["comparisons"].append(compare(name, scale, setting))
        elif name == PIPELINE:
            result["pipeline"] = measure_pipeline(scale, setting)
        elif name == LOOP:
            # Half precision is no way to train on a CPU; see `hsi.models.device.choose_precision`.
            if setting.precision != "bf16" or setting.device != "cpu":
                result["loops"] = [measure_loop(each, scale, setting) for each in _networks()]
        elif name == MAP:
            result["maps"] = measure_map(scale, setting)
        else:
            measured = measure_network(name, scale, setting)
            if scale != QUICK:
                remember_speed(name, measured, scale, setting)
            result["networks"].append(measured)
    return result


def _networks() -> list[str]:
    return [name for name in list_models() if not model_entry(name).baseline]
