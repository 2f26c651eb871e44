"""A run folder: what is in it, and what can be done with a finished run."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from hsi.datasets import load_scene
from hsi.datasets.preprocess import Preprocess
from hsi.datasets.scene import Scene
from hsi.datasets.split import Split, hash_labels
from hsi.errors import RunError
from hsi.mapping.blocks import SceneBlocks
from hsi.mapping.cells import TILE_BYTES, Window
from hsi.mapping.predict import predict_labels
from hsi.models.memory_format import lay_out, other_formats
from hsi.runs.at_once import choose_at_once
from hsi.runs.bands import fit_bands
from hsi.runs.building import as_classifier, build_network, make_cutter
from hsi.runs.checkpoint import BEST, load_weights
from hsi.runs.config import Config, load_config
from hsi.runs.device import autocast, choose_device, choose_precision
from hsi.runs.predictions import load_predictions
from hsi.runs.run_format import check_format
from hsi.runs.tile_classifier import TileClassifier
from hsi.runs.whereabouts import find_again
from hsi.runs.written import read_environment, read_history, read_metrics
from hsi.scoring import Scores, score, scores_of

PARTS = ("train", "val", "test")


class Run:
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
        return f"Run('{self.path}')"

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

    def load_model(self, device: str = "auto") -> nn.Module:
        """Return the network with its best weights, in evaluation mode; on a GPU as it was tested there."""
        network = build_network(self.config, self.preprocess.bands, len(self.metrics["class_names"]))
        load_weights(self.path / "checkpoint" / BEST, network)
        where = choose_device(device)
        memory_format = self._memory_format(where)
        if memory_format in other_formats(network):
            lay_out(network, memory_format)
        return network.to(where).eval()

    def predict(self, scene: Scene, *, device: str = "auto") -> NDArray[np.int64]:
        """Return the label map ``(rows, cols)``, 1..C: every pixel, borders too; 0 for pixels without data.

        On the scene that the run was trained on, a patch sees what it saw in training (areas masked), so that
        the map agrees with the scores.

        Raises
        ------
        RunError
            When the scene has other bands than the run.
        """
        labels = np.empty((scene.rows, scene.cols), np.int64)
        for window, logits, missing in self.classify(scene, device=device):
            found = np.where(missing, 0, logits.argmax(axis=2) + 1)
            labels[window.top : window.bottom, window.left : window.right] = found
        return labels

    def classify(
        self,
        scene: Scene,
        *,
        resample: bool = False,
        device: str = "auto",
        budget: int = TILE_BYTES,
        at_once: int | None = None,
    ) -> Iterator[tuple[Window, NDArray[np.float32], NDArray[np.bool_]]]:
        """Yield tile by tile: its window, logits ``(h, w, classes)``, and which pixels have no data.

        Whatever the size of the scene, about `budget` bytes of it are in memory at a time, beside what is in
        memory already; see `hsi.mapping.classify`.

        Parameters
        ----------
        scene
            Any scene with the run's bands; its labels do not matter. Areas are masked as in `predict`.
        resample
            Bring the scene to the run's wavelengths where they differ; see `hsi.datasets.resample`.
        device
            "auto", "cpu", "cuda" or "mps".
        budget
            Memory of a tile, bytes.
        at_once
            Patches that go through the network together; default: what was measured to be quickest here, for
            all but small scenes. It changes logits by rounding only.

        Raises
        ------
        RunError
            When the scene has other bands than the run.
        """
        classifier = self.tile_classifier(scene, resample=resample, device=device, at_once=at_once)
        for tile in classifier.tiles(budget):
            yield tile, *classifier(tile)

    def tile_classifier(
        self, scene: Scene, *, resample: bool = False, device: str = "auto", at_once: int | None = None
    ) -> TileClassifier:
        """Return what classifies single tiles of a scene; arguments and errors as in `classify`."""
        where = choose_device(device)
        model = as_classifier(self.load_model(device), self.config).eval()
        blocks = self.blocks(scene, resample=resample)
        precision = self._precision(where)
        if at_once is None:
            shape = (self.preprocess.bands, self.config.patch)
            facts = {name: getattr(self.config, name) for name in ("model", "model_options", "tta")}
            memory_format = self._memory_format(where)
            if memory_format is not None:
                facts["memory_format"] = memory_format
            at_once = choose_at_once(model, shape, scene.rows * scene.cols, where, precision, facts)
        classes = len(self.metrics["class_names"])
        return TileClassifier(model, blocks, classes, where, precision, at_once)

    def blocks(self, scene: Scene, *, resample: bool = False) -> SceneBlocks:
        """Return the scene as the network sees it, to be read block by block; arguments as in `classify`.

        Raises
        ------
        RunError
            When the scene has other bands than the run.
        """
        fitting = fit_bands(self, scene, resample)
        preprocess = self.preprocess

        def transform(cube: NDArray[Any]) -> NDArray[np.float32]:
            return preprocess.transform(cube if fitting is None else fitting.transform(cube))

        same = bool(scene.classes) and hash_labels(scene.labels) == self.split.labels_sha256
        return SceneBlocks(
            scene.cube,
            transform,
            preprocess.bands,
            self.config.patch,
            regions=self.split.patch_regions if same else None,
            padding=self.config.padding,
            missing=scene.missing,
        )

    def evaluate(self, scene: Scene, *, device: str = "auto") -> Scores:
        """Classify the run's test pixels anew with the best weights and score them.

        Raises
        ------
        SplitError
            When the scene's labels are not those of the run.
        """
        self.split.check(scene)
        fit_bands(self, scene)
        pixels = self.split.test
        where = choose_device(device)
        cutter = make_cutter(scene, self.preprocess, self.split, self.config, where)
        with autocast(where, self._precision(where)):
            predicted = predict_labels(as_classifier(self.load_model(device), self.config), cutter, pixels)
        return score(scene.labels.ravel()[pixels], predicted, scene.classes)

    def _precision(self, device: torch.device) -> torch.dtype:
        """Return the precision that the run was tested in; a CPU has float32 alone."""
        name = self.metrics.get("precision") or self.config.precision
        return choose_precision("auto" if device.type == "cpu" else name, device)

    def _memory_format(self, device: torch.device) -> str | None:
        """Return the memory format that the run was tested in; None, as it is built, but on a GPU."""
        name: str | None = self.metrics.get("memory_format")
        return name if device.type == "cuda" else None


def open_run(path: str | Path) -> Run:
    """Open a run folder.

    Raises
    ------
    RunError
        When the folder is not there or is not a run.
    """
    return Run(path)
