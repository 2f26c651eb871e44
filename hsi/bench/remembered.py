"""Speeds that were measured on this machine before, so that they can be shown without measuring again.

They lie in the user's cache folder, one file for each combination of hardware, threads, precision and
versions: a speed is only ever shown where it was measured. Our decision.
"""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

from hsi.bench.machine import describe_machine, file_name
from hsi.bench.scale import Scale
from hsi.bench.setting import Setting
from hsi.datasets.locate import default_cache
from hsi.runs.atomic import write_text

MEASURED = ("training_patches_per_second", "inference_patches_per_second")


def remember_speed(name: str, measured: dict[str, Any], scale: Scale, setting: Setting) -> dict[str, Any]:
    """Keep and return the speeds that `measure_network` found; a cache that cannot be written is no error."""
    speeds = [measured[kind]["patches_per_second"] for kind in ("training", "inference")]
    row: dict[str, Any] = dict(zip(MEASURED, speeds, strict=True))
    row |= {"batch": scale.batch, "threads": setting.threads, "device": setting.device}
    path = _file(setting)
    known = _read(path)
    known.setdefault(_size(scale), {})[name] = row
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, json.dumps(known, indent=1) + "\n")
    return row


def recall_speeds(scale: Scale, setting: Setting) -> dict[str, dict[str, Any]]:
    """Return the speeds that were measured on this machine at these sizes, by name of the network."""
    speeds: dict[str, dict[str, Any]] = _read(_file(setting)).get(_size(scale), {})
    return speeds


def _file(setting: Setting) -> Path:
    return default_cache() / "speed" / file_name(describe_machine(setting))


def _size(scale: Scale) -> str:
    return f"{scale.bands} bands, {scale.classes} classes, patch {scale.patch}"


def _read(path: Path) -> dict[str, Any]:
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):  # not there, or damaged: then nothing is known
        return {}
    return known if isinstance(known, dict) else {}
