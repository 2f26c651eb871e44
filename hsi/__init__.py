"""Hyperspectral image classification: scenes in, scores and maps out.

Names are loaded when they are first used, so that ``import hsi`` stays light.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.2.0"

if TYPE_CHECKING:
    from hsi.comparison import Comparison, compare
    from hsi.datasets import Scene, Split, combine_scenes, load_scene, make_split, register_scene
    from hsi.errors import HsiError, InputError
    from hsi.inference.run import Run, accuracy_by_distance, ensemble, open_run
    from hsi.inference.scene_map import SceneMap, map_scene
    from hsi.models import build_model, register_model
    from hsi.scoring import Scores, score
    from hsi.training import Callback, resume, train, train_runs

_HOMES = {
    "Comparison": "hsi.comparison",
    "compare": "hsi.comparison",
    "Scene": "hsi.datasets",
    "Split": "hsi.datasets",
    "combine_scenes": "hsi.datasets",
    "load_scene": "hsi.datasets",
    "make_split": "hsi.datasets",
    "register_scene": "hsi.datasets",
    "HsiError": "hsi.errors",
    "InputError": "hsi.errors",
    "build_model": "hsi.models",
    "register_model": "hsi.models",
    "accuracy_by_distance": "hsi.inference.run",
    "ensemble": "hsi.inference.run",
    "Run": "hsi.inference.run",
    "open_run": "hsi.inference.run",
    "SceneMap": "hsi.inference.scene_map",
    "map_scene": "hsi.inference.scene_map",
    "Scores": "hsi.scoring",
    "score": "hsi.scoring",
    "Callback": "hsi.training",
    "resume": "hsi.training",
    "train": "hsi.training",
    "train_runs": "hsi.training",
}
__all__ = [
    "Callback",
    "Comparison",
    "HsiError",
    "InputError",
    "Run",
    "Scene",
    "SceneMap",
    "Scores",
    "Split",
    "accuracy_by_distance",
    "build_model",
    "combine_scenes",
    "compare",
    "ensemble",
    "load_scene",
    "make_split",
    "map_scene",
    "open_run",
    "register_model",
    "register_scene",
    "resume",
    "score",
    "train",
    "train_runs",
]
_SUBPACKAGES = (
    "areas", "comparison", "confidence", "datasets", "explain", "figures", "inference", "maps", "models",
    "report", "runs", "scoring", "smoothing", "training",
)  # fmt: skip


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    if name in _SUBPACKAGES:
        return importlib.import_module(f"hsi.{name}")
    raise AttributeError(f"module 'hsi' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES, *_SUBPACKAGES})
