"""A finished run, applied to scenes: label maps, logits, scores."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from hsi.datasets.bands import Resample, band_tolerance, name_bands
from hsi.datasets.cube import Window
from hsi.datasets.parts import image_windows, pixels_apart, rows_apart
from hsi.datasets.scene import Scene
from hsi.datasets.splits.indices import hash_labels
from hsi.datasets.transforms import BandList
from hsi.errors import ConfigError, RunError, SceneError
from hsi.inference.batch_size import choose_batch_size
from hsi.inference.classify import TileClassifier
from hsi.inference.ensemble import Ensemble
from hsi.inference.predict import as_classifier, build_network, make_cutter, predict_logits
from hsi.inference.tiles import TILE_BYTES, SceneBlocks
from hsi.models.cores import shared_cores
from hsi.models.device import autocast, choose_device, choose_precision, lay_out, other_formats
from hsi.runs.checkpoint import BEST, load_weights
from hsi.runs.folder import RunFolder
from hsi.scoring import Scores, distance


class Run(RunFolder):
    """One training, opened from its folder; attributes as in `hsi.runs.folder.RunFolder`."""

    def load_model(self, device: str = "auto") -> nn.Module:
        """Return the network with the kept weights, in evaluation mode; on a GPU in its memory format."""
        network = build_network(self.config, self.preprocess.bands, len(self.metrics["class_names"]))
        load_weights(self.path / "checkpoint" / BEST, network)
        chosen = choose_device(device)
        memory_format = self._memory_format(chosen)
        if memory_format in other_formats(network):
            lay_out(network, memory_format)
        return network.to(chosen).eval()

    def predict(
        self,
        scene: Scene,
        *,
        smooth: str | None = None,
        reject: float | None = None,
        device: str = "auto",
    ) -> NDArray[np.int64]:
        """Return the label map ``(rows, cols)``, 1..C: every pixel, borders too; 0 for pixels without data.

        On the scene that the run was trained on, a patch sees what it saw in training (regions masked), so
        that the map agrees with the scores.

        Parameters
        ----------
        smooth
            Method of smoothing, see `hsi.smoothing.methods`; default: as the run was scored.
        reject
            Share of validation pixels that would be rejected, as looking like nothing in training; rejected
            pixels are 0. Default: none are.

        Raises
        ------
        ConfigError
            For a share outside 0..1.
        RunError
            When the scene has other bands than the run.
        """
        return Ensemble((self,)).predict(scene, smooth=smooth, reject=reject, device=device)

    def classify(
        self,
        scene: Scene,
        *,
        resample: bool = False,
        device: str = "auto",
        budget: int = TILE_BYTES,
        batch_size: int | None = None,
    ) -> Iterator[tuple[Window, NDArray[np.float32], NDArray[np.bool_]]]:
        """Yield each tile: its window, logits ``(h, w, classes)``, and which pixels have no data.

        Whatever the size of the scene, about `budget` bytes of it are read into memory at a time.

        Parameters
        ----------
        scene
            Any scene with the run's bands; its labels do not matter. Regions are masked as in `predict`.
        resample
            Resample the scene to the run's wavelengths if they differ; see `hsi.datasets.bands`.
        batch_size
            Patches that go through the network together; default: the fastest in a short benchmark, for all
            but small scenes. It changes logits by rounding only.

        Raises
        ------
        RunError
            When the scene has other bands than the run.
        """
        classifier = self.tile_classifier(scene, resample=resample, device=device, batch_size=batch_size)
        yield from classifier.scene(budget)

    def tile_classifier(
        self, scene: Scene, *, resample: bool = False, device: str = "auto", batch_size: int | None = None
    ) -> TileClassifier:
        """Return what classifies single tiles of a scene; arguments and errors as in `classify`."""
        chosen = choose_device(device)
        model = as_classifier(self.load_model(device), self.config).eval()
        blocks = self.blocks(scene, resample=resample)
        precision = self._precision(chosen)
        if batch_size is None:
            shape = (self.preprocess.bands, self.config.patch)
            facts = {name: getattr(self.config, name) for name in ("model", "model_options", "tta")}
            memory_format = self._memory_format(chosen)
            if memory_format is not None:
                facts["memory_format"] = memory_format
            batch_size = choose_batch_size(model, shape, scene.rows * scene.cols, chosen, precision, facts)
        classes = len(self.metrics["class_names"])
        return TileClassifier(model, blocks, classes, chosen, precision, batch_size)

    def blocks(self, scene: Scene, *, resample: bool = False) -> SceneBlocks:
        """Return the scene, preprocessed block by block; arguments and errors as in `classify`."""
        resampler = fit_bands(self, scene, resample)
        preprocess = self.preprocess

        def transform(cube: NDArray[Any]) -> NDArray[np.float32]:
            return preprocess.transform(cube if resampler is None else resampler.transform(cube))

        return SceneBlocks(
            scene.cube,
            transform,
            preprocess.bands,
            self.config.patch,
            regions=self._regions_of(scene),
            padding=self.config.padding,
            missing=scene.missing,
        )

    def is_own(self, scene: Scene) -> bool:
        """Whether the run was trained on the scene, or on it among several."""
        return self._place_in_split(scene) is not None

    def separate_regions(self, scene: Scene) -> NDArray[Any] | None:
        """Return the regions that no smoothing may cross; None for scenes that are not the run's."""
        place, regions = self._place_in_split(scene), self.split.separate_regions
        return None if place is None or regions is None else regions[place]

    def _regions_of(self, scene: Scene) -> NDArray[Any] | None:
        """Return the regions that masked patches of the scene in training; None for other scenes."""
        place, regions = self._place_in_split(scene), self.split.patch_regions
        return None if place is None or regions is None else regions[place]

    def _place_in_split(self, scene: Scene) -> tuple[slice, slice] | None:
        """Return where the scene lies in the array that was split; None for scenes that are not the run's.

        Of a run on several, each alone is known by its labelled pixels.
        """
        split = self.split
        if not scene.classes:
            return None
        if hash_labels(scene.labels) == split.labels_sha256:
            return slice(None), slice(None)
        labelled = scene.labels > 0
        for window in [] if split.parts is None else image_windows(split.parts):
            if np.array_equal(split.labelled[window], labelled):
                return window
        return None

    def evaluate(self, scene: Scene, *, smooth: str | None = None, device: str = "auto") -> Scores:
        """Classify the run's test pixels again and score them.

        `smooth` is a method of smoothing; default: as the run was scored.

        Raises
        ------
        SplitError
            When the scene's labels are not those of the run.
        """
        return Ensemble((self,)).evaluate(scene, smooth=smooth, device=device).scores()

    def logits_of(
        self, scene: Scene, pixels: NDArray[np.int64], *, device: str = "auto"
    ) -> NDArray[np.float32]:
        """Return the logits ``(n, C)`` of pixels of the scene that the run was trained on.

        Raises
        ------
        SplitError
            When the scene's labels are not those of the run.
        """
        self.split.check(scene)
        fit_bands(self, scene)
        chosen = choose_device(device)
        cutter = make_cutter(scene, self.preprocess, self.split, self.config, chosen)
        with shared_cores(), autocast(chosen, self._precision(chosen)):
            logits = predict_logits(as_classifier(self.load_model(device), self.config), cutter, pixels)
        return logits.numpy()

    def _precision(self, device: torch.device) -> torch.dtype:
        """Return the precision that the run was tested in; float32 on a CPU."""
        name = self.metrics.get("precision") or self.config.precision
        return choose_precision("auto" if device.type == "cpu" else name, device)

    def _memory_format(self, device: torch.device) -> str | None:
        """Return the memory format that the run was tested in; None, the network's own, on a CPU."""
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


def ensemble(runs: Sequence[str | Path | Run], weights: Sequence[float] | None = None) -> Ensemble:
    """Join runs into one classifier: the mean of their calibrated probabilities.

    Parameters
    ----------
    runs
        Finished runs of the same classes, or their folders; of any models. To be scored or smoothed they must
        have one split.
    weights
        What each counts for, above 0; default: all the same.

    Raises
    ------
    ConfigError
        When there are no runs, or other weights than runs.
    RunError
        When a folder is not a run, or the classes differ.
    """
    members = tuple(one if isinstance(one, Run) else Run(one) for one in runs)
    if not members:
        raise ConfigError("There are no runs to join; name at least one.")
    if weights is None:
        return Ensemble(members)
    if len(weights) != len(members) or not all(0 < weight < math.inf for weight in weights):
        raise ConfigError(f"Give {len(members)} weights above 0, one for each run.")
    return Ensemble(members, weights=tuple(weight / sum(weights) for weight in weights))


def open_runs(path: str | Path) -> list[Run]:
    """Open a run folder as a list of one, or a folder of run folders in natural order (``seed2, seed10``).

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
    return sorted(runs, key=lambda run: _natural_key(run.path.name))


def _natural_key(name: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name)]


def accuracy_by_distance(
    run: Run, scene: Scene | None = None, *, data_root: str | Path | None = None
) -> tuple[distance.DistanceBin, ...]:
    """Return a finished run's accuracy by the Chebyshev distance of test pixels to its training pixels.

    The scene is loaded if not given. Bins are `hsi.scoring.distance.DISTANCE_BINS`, nearest first; accuracies
    are fractions. In a run on several scenes, a training pixel of another one is as far as the last bin.

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
    train, test, shape = split.train, split.test, split.shape
    if split.parts is not None:  # so far apart that no pixel is near to one of another image
        gap = distance.DISTANCE_BINS[-1]
        train, test = (pixels_apart(pixels, split.parts, gap) for pixels in (train, test))
        shape = (int(rows_apart(split.parts, gap)[-1]) + 1, shape[1])
    distances = distance.distance_to_nearest(train, test, shape)
    return distance.bin_by_distance(distances, right)


def fit_bands(run: Run, scene: Scene, resample: bool = False) -> Resample | BandList | None:
    """Return what brings a scene to the bands of a finished run, or None if it has them already.

    Of a scene whose file has as many bands as the run's, those with the run's numbers are taken. Bands are
    the same if there are as many and, where both have wavelengths, no centre is off by more than half the
    distance to the run's next band. With `resample`, only equal wavelengths are the same.

    Raises
    ------
    RunError
        When the bands differ, or cannot be resampled.
    """
    bands = int(run.metrics["bands"])
    known = run.metrics.get("wavelengths_nm")
    target = None if known is None else np.asarray(known, np.float64)
    source = scene.wavelengths_nm
    if resample:
        if target is None or source is None:
            who = f"the run '{run.path}'" if target is None else f"'{scene.name}'"
            raise RunError(f"Resampling needs the wavelengths of both, but {who} has none.")
        if len(source) == len(target) and np.array_equal(source, target):
            return None
        # Widths only if both are known: with one alone, two equal sensors would seem to differ.
        widths = run.metrics.get("fwhm_nm")
        fwhm: dict[str, NDArray[np.float64]] = {}
        if widths is not None and scene.fwhm_nm is not None:
            fwhm = {"source_fwhm_nm": scene.fwhm_nm, "target_fwhm_nm": np.asarray(widths, np.float64)}
        try:
            return Resample(source, target, **fwhm)
        except SceneError as error:
            raise RunError(f"'{scene.name}' cannot be resampled for the run '{run.path}': {error}") from None
    known_centres = target is not None and source is not None
    advice = (
        "; use --resample to convert them"
        if known_centres
        else "; choose the same ones, with bands in a scene.toml"
    )
    chosen = _same_numbers(run, scene)
    if chosen is not None:
        source = None if source is None else source[chosen.keep]
    elif scene.bands != bands:
        raise RunError(
            f"The run '{run.path}' was trained on {bands} bands{_span(target)}, but '{scene.name}' has "
            f"{scene.bands}{_span(source)}{advice}."
        )
    if target is not None and source is not None and bands > 1:
        off = np.abs(source - target)
        if (off > band_tolerance(target)).any():
            raise RunError(
                f"The run '{run.path}' and '{scene.name}' both have {bands} bands, but their wavelengths "
                f"differ by up to {off.max():.3g} nm{advice}."
            )
    return chosen


def _same_numbers(run: Run, scene: Scene) -> BandList | None:
    """Return the run's bands among those of a scene whose file has as many, or None where they are all."""
    told, theirs = run.metrics.get("band_choice"), scene.band_choice
    if told is None or theirs is None or told["count"] != theirs.count:
        return None
    ours = tuple(told["numbers"])
    if ours == theirs.numbers:
        return None
    lacking = sorted(set(ours) - set(theirs.numbers))
    if lacking:
        raise RunError(
            f"The run '{run.path}' uses bands {name_bands(tuple(lacking))} of the file, which '{scene.name}' "
            "leaves out; load it with the run's band_choice, or train without them (drop_bands)."
        )
    return BandList(np.searchsorted(theirs.numbers, ours))


def _span(wavelengths: NDArray[np.float64] | None) -> str:
    return "" if wavelengths is None else f" ({wavelengths.min():g} to {wavelengths.max():g} nm)"
