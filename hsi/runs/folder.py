"""A run folder: what is in it, read when it is first asked for."""

from __future__ import annotations

import json
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hsi.confidence.calibration import Calibration
from hsi.config import Config, load_config
from hsi.datasets.catalogue.entries import find_entry
from hsi.datasets.mosaic import load_scenes
from hsi.datasets.preprocess import Preprocess
from hsi.datasets.scene import BandChoice, Scene
from hsi.datasets.splits.indices import SUBSETS, Split, hash_labels
from hsi.errors import RunError, command_to_paste
from hsi.runs.postprocessing import Postprocessing
from hsi.runs.run_files import (
    check_format,
    load_predictions,
    read_environment,
    read_history,
    read_metrics,
)
from hsi.scoring import Scores, scores_of


def resolve_path(path: str, run: Path) -> str:
    """Return the path of a scene or label file, as in config.toml, as it is reached now.

    A relative path is looked for in the current folder, in the folder that the run was trained from, then in
    the folders above the run, the nearest first, as where a whole project was moved. A path that leads
    nowhere, an absolute one, and the name of a scene are returned as they are.
    """
    file = Path(path).expanduser()
    if find_entry(path) is not None or file.is_absolute() or file.exists():
        return path
    folders = [*_training_folder(run), *run.resolve().parents]
    return next((str(folder / file) for folder in folders if (folder / file).exists()), path)


def _training_folder(run: Path) -> list[Path]:
    try:
        environment = json.loads((run / "environment.json").read_text(encoding="utf-8"))
        return [Path(environment["working_folder"])]
    except (OSError, ValueError, KeyError, TypeError):  # of an older run, or damaged
        return []


class RunFolder:
    """One training, opened from its folder; everything is read when it is first asked for.

    A missing or damaged file raises RunError. ``scores["test"].oa`` and so on exist for "train", "val" and
    "test" if they have pixels.
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
        """Training, validation and test pixels."""
        return Split.load(self.path / "split.npz")

    @cached_property
    def metrics(self) -> dict[str, Any]:
        """Scores and facts of the finished run."""
        try:
            return read_metrics(self.path / "metrics.json")
        except FileNotFoundError:
            raise RunError(
                f"The run '{self.path}' is not finished; resume it with: "
                + command_to_paste("hsi", "train", "--resume", self.path)
            ) from None

    @property
    def band_choice(self) -> BandChoice | None:
        """Which bands of its file the run uses; None where that is not known, as for an unfinished run."""
        if not (self.path / "metrics.json").is_file():
            return None
        told = self.metrics.get("band_choice")
        return None if told is None else BandChoice(told["count"], tuple(told["numbers"]))

    @cached_property
    def scores(self) -> dict[str, Scores]:
        """Scores of each subset that has pixels, recomputed from the confusion matrices."""
        return {
            name: scores_of(self.metrics[name]["confusion"]) for name in SUBSETS if self.metrics.get(name)
        }

    @cached_property
    def predictions(self) -> dict[str, NDArray[np.int64]]:
        """Predicted class 1..C of each pixel of ``split.train``, ``.val`` and ``.test``, in their order."""
        return load_predictions(self.path, self.split.counts)

    @cached_property
    def history(self) -> list[dict[str, float]]:
        """One row for each epoch."""
        return read_history(self.path / "history.csv")

    @cached_property
    def environment(self) -> dict[str, Any]:
        """What the run was made with; see `hsi.runs.environment`."""
        return read_environment(self.path / "environment.json")

    @cached_property
    def preprocess(self) -> Preprocess:
        """Scaling and components, as fitted for this run."""
        return Preprocess.load(self.path / "preprocess.npz")

    @cached_property
    def postprocessing(self) -> Postprocessing:
        """How logits become probabilities, as fitted on validation pixels; plain softmax in older runs."""
        classes, features = len(self.metrics["class_names"]), self.preprocess.bands
        found = Postprocessing.load(self.path, features, classes, len(self.split.val))
        return Postprocessing(Calibration()) if found is None else found

    @property
    def scene_names(self) -> list[str]:
        """The scenes that it was trained on, and the one that it was tested on if that is another."""
        config = self.config
        return [*config.datasets, *([] if config.test_scene is None else [config.test_scene])]

    def load_scene(self, data_root: str | Path | None = None) -> Scene:
        """Load the scene that the run was trained on; several, and its test scene, as one.

        Raises
        ------
        RunError
            When its labels are no longer those of the run.
        """
        config = self.config
        scene = load_scenes(
            [resolve_path(dataset, self.path) for dataset in config.datasets],
            test_scene=None if config.test_scene is None else resolve_path(config.test_scene, self.path),
            labels=None if config.labels is None else resolve_path(config.labels, self.path),
            cube_key=config.cube_key,
            labels_key=config.labels_key,
            data_root=data_root,
            band_choice=self.band_choice,
        )
        if hash_labels(scene.labels) != self.split.labels_sha256:
            raise RunError(
                f"The labels of '{' and '.join(self.scene_names)}' are not those that the run '{self.path}' "
                "was made with."
            )
        return scene
