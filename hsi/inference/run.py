"""A finished run, applied: its network to any scene, and what that gives.

Whether the bands of a scene are those that a run was trained on; several runs of a folder; accuracy of a finished run
against the distance to its nearest training pixel.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from hsi.datasets.bands import Resample
from hsi.datasets.scene import Scene
from hsi.datasets.splits.indices import hash_labels
from hsi.errors import RunError, SceneError
from hsi.inference.batch_size import choose_batch_size
from hsi.inference.classify import TileClassifier
from hsi.inference.predict import as_classifier, build_network, make_cutter, predict_labels
from hsi.inference.tiles import TILE_BYTES, SceneBlocks, Window
from hsi.models.device import autocast, choose_device, choose_precision, lay_out, other_formats
from hsi.runs.checkpoint import BEST, load_weights
from hsi.runs.folder import RunFolder
from hsi.scoring import Scores, distance, score


class Run(RunFolder):
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
        memory already; see `hsi.inference.classify`.

        Parameters
        ----------
        scene
            Any scene with the run's bands; its labels do not matter. Areas are masked as in `predict`.
        resample
            Bring the scene to the run's wavelengths where they differ; see `hsi.datasets.bands`.
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
            at_once = choose_batch_size(model, shape, scene.rows * scene.cols, where, precision, facts)
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


def open_runs(path: str | Path) -> list[Run]:
    """Open a run folder as a list of one, or a folder of run folders as all of them, in order of their names.

    Numbers inside names count as numbers: ``seed2`` comes before ``seed10``.

    Raises
    ------
    RunError
        When the folder is missing, or neither is a run nor holds one.
    """
    folder = Path(path)
    if (folder / "config.toml").is_file():
        return [Run(folder)]
    runs = [Run(config.parent) for config in folder.glob("*/config.toml")]
    if not runs:
        raise RunError(f"'{path}' is not a run folder, nor a folder of run folders.")
    return sorted(runs, key=lambda run: _natural(run.path.name))


def _natural(name: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name)]


def accuracy_by_distance(
    run: Run, scene: Scene | None = None, *, data_root: str | Path | None = None
) -> tuple[distance.DistanceBin, ...]:
    """Return how accurate a run is on test pixels near to its training pixels and far from them.

    Distances are Chebyshev distances in pixels, the bins are `hsi.scoring.distance.DISTANCE_BINS`.

    Parameters
    ----------
    run
        A finished run; its predictions and split are used as they are, nothing is classified anew.
    scene
        The scene that it was trained on; loaded if not given.
    data_root
        Where the scene's files lie, if not under ``HSI_DATA``.

    Returns
    -------
    tuple of DistanceBin
        Nearest first; accuracies are fractions.

    Raises
    ------
    RunError
        When the run is not finished, or the scene's labels are no longer those of the run.
    SplitError
        When `scene` has other labels than the run.
    """
    scene = scene or run.load_scene(data_root)
    split = run.split
    split.check(scene)
    right = run.predictions["test"] == scene.labels.ravel()[split.test]
    away = distance.distance_to_nearest(split.train, split.test, split.shape)
    return distance.bin_by_distance(away, right)


def fit_bands(run: Run, scene: Scene, resample: bool = False) -> Resample | None:
    """Return what brings a scene to the bands of a run, or None where it has them already.

    Bands are the same if there are as many and, where both have wavelengths, no centre is off by more than
    half the distance to the run's next band (our decision).

    Parameters
    ----------
    run
        A finished run.
    scene
        Any scene.
    resample
        Resample where wavelengths differ at all, instead of refusing.

    Raises
    ------
    RunError
        When the bands differ and may not or cannot be resampled; the message says by how much.
    """
    bands = int(run.metrics["bands"])
    known = run.metrics.get("wavelengths_nm")
    wanted = None if known is None else np.asarray(known, np.float64)
    measured = scene.wavelengths_nm
    if resample:
        if wanted is None or measured is None:
            who = f"the run '{run.path}'" if wanted is None else f"'{scene.name}'"
            raise RunError(f"Resampling needs the wavelengths of both, but {who} has none.")
        if len(measured) == len(wanted) and np.array_equal(measured, wanted):
            return None
        # Widths only where both are known: with one alone, two like sensors would look unlike.
        widths = run.metrics.get("fwhm_nm")
        if widths is None or scene.fwhm_nm is None:
            both: dict[str, NDArray[np.float64]] = {}
        else:
            both = {"source_fwhm_nm": scene.fwhm_nm, "target_fwhm_nm": np.asarray(widths, np.float64)}
        try:
            return Resample(measured, wanted, **both)
        except SceneError as error:
            raise RunError(f"'{scene.name}' cannot be brought to the run '{run.path}': {error}") from None
    advice = "; --resample brings them to the run's" if wanted is not None and measured is not None else ""
    if scene.bands != bands:
        raise RunError(
            f"The run '{run.path}' was trained on {bands} bands{_span(wanted)}, but '{scene.name}' has "
            f"{scene.bands}{_span(measured)}{advice}."
        )
    if wanted is not None and measured is not None and bands > 1:
        off = np.abs(measured - wanted)
        if (off > _half_distance(wanted)).any():
            raise RunError(
                f"The run '{run.path}' and '{scene.name}' both have {bands} bands, but their wavelengths "
                f"differ by up to {off.max():.3g} nm{advice}."
            )
    return None


def _half_distance(wavelengths: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return half the distance of each band to the nearer of its neighbours in the list."""
    steps = np.abs(np.diff(wavelengths))
    nearer: NDArray[np.float64] = np.minimum(np.append(steps, np.inf), np.append(np.inf, steps)) / 2
    return nearer


def _span(wavelengths: NDArray[np.float64] | None) -> str:
    return "" if wavelengths is None else f" ({wavelengths.min():g} to {wavelengths.max():g} nm)"
