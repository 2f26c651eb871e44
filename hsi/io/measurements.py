"""Short measurements of this machine, kept so that each is made once."""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
from collections.abc import Callable, Mapping
from typing import Any

import torch

import hsi
from hsi.io.files import cache_folder, write_text

Numbers = dict[str, float]


def measured_once(
    facts: Mapping[str, Any], device: str, measure: Callable[[], Numbers | None]
) -> Numbers | None:
    """Return what `measure` found, on this machine with these facts: now, or when it was asked before.

    The numbers lie in the user's cache folder, a file for each combination of facts, hardware, threads and
    versions; a cache that cannot be read or written is no error.

    Parameters
    ----------
    facts
        All that the numbers depend on beside the machine, ready for JSON.
    device
        Name of the device that does the work.
    measure
        Returns positive numbers by name, or None where the work cannot be done, which is not kept. Random
        numbers that it draws on the CPU do not change those that follow.
    """
    where = {
        "device": device,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "hsi": hsi.__version__,
    }
    known = {**where, **facts}
    name = hashlib.sha256(json.dumps(known, sort_keys=True).encode()).hexdigest()[:24]
    path = cache_folder() / "measured" / f"{name}.json"
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))["numbers"]
        if all(isinstance(value, float) and 0 <= value < math.inf for value in kept.values()):
            return dict(kept)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        pass  # not there, or damaged: then nothing is known
    with torch.random.fork_rng(devices=[]):
        numbers = measure()
    if numbers is not None:
        with contextlib.suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            write_text(path, json.dumps({"facts": known, "numbers": numbers}, indent=1) + "\n")
    return numbers
