"""An ensemble in a folder: which runs it has, what they count for, and how they score together."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hsi.errors import FileFormatError, RunError
from hsi.inference.ensemble import Ensemble
from hsi.inference.evaluation import Evaluation
from hsi.inference.run import Run, ensemble
from hsi.io.files import write_text
from hsi.io.text import read_json
from hsi.runs.postprocessing import Postprocessing

ENSEMBLE = "ensemble.json"
_SHARED = ("dataset", "synthetic", "seed", "protocol", "scheme", "patch", "class_names", "counts")


def save_ensemble(folder: Path, runs: Sequence[Run], data_root: str | Path | None = None) -> None:
    """Join runs that lie in a folder, score them on their test pixels, and write it there."""
    joined = ensemble(runs)
    evaluation = joined.evaluate(runs[0].load_scene(data_root))
    evaluation.post.save(folder)
    about = {
        "members": [run.path.name for run in runs],
        "weights": list(joined.weights),
        **ensemble_metrics(joined, evaluation),
    }
    write_text(folder / ENSEMBLE, json.dumps(about, indent=1) + "\n")


def is_ensemble(folder: str | Path) -> bool:
    """Whether a folder holds runs that were joined."""
    return (Path(folder) / ENSEMBLE).is_file()


def open_ensemble(folder: str | Path) -> Ensemble:
    """Open what `save_ensemble` wrote.

    Raises
    ------
    RunError
        When a file or a member is missing or damaged.
    """
    path = Path(folder) / ENSEMBLE
    try:
        about = read_json(path)
        members = tuple(Run(path.parent / Path(name).name) for name in about["members"])
        weights = tuple(float(weight) for weight in about["weights"])
        if not members or len(weights) != len(members) or abs(sum(weights) - 1) > 1e-6 or min(weights) <= 0:
            raise ValueError("its weights do not fit its members")
    except (OSError, ValueError, KeyError, TypeError, FileFormatError) as error:
        raise RunError(f"'{path}' is damaged: {error}.") from None
    first = members[0]
    features, classes = first.preprocess.bands, len(first.metrics["class_names"])
    post = Postprocessing.load(path.parent, features, classes, len(first.split.val))
    return Ensemble(members, post, weights)


def open_joined(folders: Sequence[Path]) -> Ensemble:
    """Open one run, several to join, or a folder of joined ones; errors as `hsi.open_run`."""
    if len(folders) == 1 and is_ensemble(folders[0]):
        return open_ensemble(folders[0])
    return ensemble(folders)


def ensemble_metrics(joined: Ensemble, evaluation: Evaluation) -> dict[str, Any]:
    """Return facts and test scores of runs together, with the keys that metrics.json of a run has."""
    first = joined.members[0].metrics
    return {
        "model": " + ".join(dict.fromkeys(member.metrics["model"] for member in joined.members)),
        **{key: first.get(key) for key in _SHARED},
        **evaluation.facts(),
    }
