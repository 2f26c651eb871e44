"""Files that a run's options name by a relative path, found again from another folder.

A run folder: what is in it, and what can be done with a finished run.
"""

from __future__ import annotations

import json
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hsi.config import Config, load_config
from hsi.datasets import load_scene
from hsi.datasets.catalogue.entries import find_entry
from hsi.datasets.preprocess import Preprocess
from hsi.datasets.scene import Scene
from hsi.datasets.splits.indices import Split, hash_labels
from hsi.errors import RunError
from hsi.runs.run_files import check_format, load_predictions, read_environment, read_history, read_metrics
from hsi.scoring import Scores, scores_of


def find_again(said: str, run: Path) -> str:
    """Return the path of a scene or label file as it is reached now.

    A relative path holds from the folder that one is in; where there is no such file, from the folder that
    the run was trained from; else from those that the run lies in, the nearest first, as where a whole
    project was moved. A path that leads nowhere, an absolute one, and the name of a scene come back as they
    are.

    Parameters
    ----------
    said
        A scene's name, or a path, as in config.toml.
    run
        The run folder.
    """
    path = Path(said).expanduser()
    if find_entry(said) is not None or path.is_absolute() or path.exists():
        return said
    folders = [*_trained_from(run), *run.resolve().parents]
    return next((str(folder / path) for folder in folders if (folder / path).exists()), said)


def _trained_from(run: Path) -> list[Path]:
    try:
        environment = json.loads((run / "environment.json").read_text(encoding="utf-8"))
        return [Path(environment["working_folder"])]
    except (OSError, ValueError, KeyError, TypeError):  # of an older run, or damaged: then it does not help
        return []


PARTS = ("train", "val", "test")


class RunFolder:
    """One training, opened from its folder; everything is read when it is first asked for.

    Attributes
    ----------
    path
        The folder.
    config, split, metrics, history
        What config.toml, split.npz, metrics.json and history.csv hold.
    scores
        ``scores["test"].oa`` and so on, for "train", "val" and "test" where the part has pixels.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        if not (self.path / "config.toml").is_file():
            raise RunError(f"'{path}' is not a run folder: it has no config.toml.")
        check_format(self.path)

    def __repr__(self) -> str:
        return f"{type(self).__name__}('{self.path}')"

    @cached_property
    def config(self) -> Config:
        """Every resolved option."""
        return load_config(self.path / "config.toml")

    @cached_property
    def split(self) -> Split:
        """The pixels that were trained, validated and tested on."""
        return Split.load(self.path / "split.npz")

    @cached_property
    def metrics(self) -> dict[str, Any]:
        """Scores and facts of the finished run.

        Raises
        ------
        RunError
            When the training has not come to its end, or its metrics.json is damaged.
        """
        try:
            return read_metrics(self.path / "metrics.json")
        except FileNotFoundError:
            raise RunError(
                f"The run '{self.path}' is not finished; go on with: hsi train --resume {self.path}"
            ) from None

    @cached_property
    def scores(self) -> dict[str, Scores]:
        """Scores of each part that has pixels, recomputed from the confusion matrices."""
        return {part: scores_of(self.metrics[part]["confusion"]) for part in PARTS if self.metrics.get(part)}

    @cached_property
    def predictions(self) -> dict[str, NDArray[np.int64]]:
        """Predicted class 1..C of each pixel of ``split.train``, ``.val`` and ``.test``, in their order.

        Raises
        ------
        RunError
            When the training has not come to its end, or its predictions.npz is damaged or of another split.
        """
        return load_predictions(self.path, self.split.counts)

    @cached_property
    def history(self) -> list[dict[str, float]]:
        """One row for each epoch.

        Raises
        ------
        RunError
            When the run's history.csv is missing or damaged.
        """
        return read_history(self.path / "history.csv")

    @cached_property
    def environment(self) -> dict[str, Any]:
        """What the run was made with; see `hsi.runs.environment`.

        Raises
        ------
        RunError
            When the run's environment.json is missing or damaged.
        """
        return read_environment(self.path / "environment.json")

    @cached_property
    def preprocess(self) -> Preprocess:
        """Scaling and components, as fitted for this run."""
        return Preprocess.load(self.path / "preprocess.npz")

    def load_scene(self, data_root: str | Path | None = None) -> Scene:
        """Load the scene that the run was trained on.

        Raises
        ------
        RunError
            When its labels are no longer those that the run was split by.
        """
        config = self.config
        scene = load_scene(
            find_again(config.dataset, self.path),
            labels=None if config.labels is None else find_again(config.labels, self.path),
            cube_key=config.cube_key,
            labels_key=config.labels_key,
            data_root=data_root,
        )
        if hash_labels(scene.labels) != self.split.labels_sha256:
            raise RunError(
                f"The labels of '{config.dataset}' are not those that the run '{self.path}' was made with."
            )
        return scene
