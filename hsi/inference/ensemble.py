"""Runs as one classifier: the mean of their calibrated probabilities, smoothed and calibrated again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from hsi.confidence.calibration import Calibration
from hsi.config import Config
from hsi.datasets.cube import Window
from hsi.datasets.scene import Scene
from hsi.datasets.splits.indices import SUBSETS, Split
from hsi.errors import RunError
from hsi.inference.assessment import field_numbers
from hsi.inference.choose_smoothing import calibrate_again, choose_smoothing
from hsi.inference.evaluation import Evaluation
from hsi.inference.tiles import TILE_BYTES, SceneBlocks
from hsi.inference.whole_scene import ClassifiedTile, Watch, WholeScene, guide_of, large_array
from hsi.runs.postprocessing import Postprocessing, Rejection
from hsi.smoothing.methods import reach

Tiles = Iterator[tuple[Window, NDArray[np.float32], NDArray[np.bool_]]]


class Member(Protocol):
    """What an ensemble needs of a run; see `hsi.inference.run.Run`."""

    path: Path

    @property
    def config(self) -> Config:
        """Its options."""

    @property
    def split(self) -> Split:
        """Its pixels."""

    @property
    def metrics(self) -> dict[str, Any]:
        """Scores and facts."""

    @property
    def postprocessing(self) -> Postprocessing:
        """How its logits become probabilities."""

    def classify(
        self, scene: Scene, *, resample: bool = False, device: str = "auto", budget: int = TILE_BYTES
    ) -> Tiles:
        """Yield each tile of a scene: window, logits, missing pixels."""

    def blocks(self, scene: Scene, *, resample: bool = False) -> SceneBlocks:
        """Return the scene, preprocessed block by block."""

    def separate_regions(self, scene: Scene) -> NDArray[Any] | None:
        """Return the regions of the scene that nothing may cross; None for scenes that are not the run's."""

    def is_own(self, scene: Scene) -> bool:
        """Whether the run was trained on the scene."""

    def load_scene(self, data_root: str | Path | None = None) -> Scene:
        """Load the scene that the run was trained on."""

    def logits_of(
        self, scene: Scene, pixels: NDArray[np.int64], *, device: str = "auto"
    ) -> NDArray[np.float32]:
        """Return the logits ``(n, C)`` of pixels of the scene that the run was trained on."""


class Classify(Protocol):
    """Classifies a scene tile by tile, in order; see `Run.classify`."""

    def __call__(self, run: Any, scene: Scene, /, *, resample: bool, device: str, budget: int) -> Tiles:
        """Yield each tile: its window, logits, and which pixels have no data."""


def classify_here(run: Member, scene: Scene, /, *, resample: bool, device: str, budget: int) -> Tiles:
    """Classify by this process."""
    return run.classify(scene, resample=resample, device=device, budget=budget)


@dataclass(frozen=True)
class How:
    """How to classify a scene: see `Ensemble.classified`."""

    resample: bool = False
    device: str = "auto"
    budget: int = TILE_BYTES
    classify: Classify = classify_here
    watch: Watch = lambda done, pixels: None
    scratch: Path | None = None
    data_root: str | Path | None = None


class ClassifiedScene(NamedTuple):
    """What was done to the probabilities of a scene, and its tiles, which can be read once."""

    post: Postprocessing
    tiles: Iterator[ClassifiedTile]
    rejection: Rejection | None = None


def _rejecting(
    tiles: Iterator[ClassifiedTile], rejection: Rejection, blocks: SceneBlocks
) -> Iterator[ClassifiedTile]:
    for tile in tiles:
        yield replace(tile, rejected=rejection(blocks.features_of(tile.window)) & ~tile.missing)


@dataclass(frozen=True)
class Ensemble:
    """Runs that classify together; one alone is an ensemble too.

    Attributes
    ----------
    members
        Finished runs with the same classes.
    fitted
        What smooths and calibrates their mean, if that is known already.
    weights
        What each counts for; they sum to 1. Default: all the same.

    Raises
    ------
    RunError
        For runs of different classes.
    """

    members: tuple[Member, ...]
    fitted: Postprocessing | None = None
    weights: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        first = self.members[0]
        for other in self.members[1:]:
            if other.metrics["class_names"] != first.metrics["class_names"]:
                raise RunError(
                    f"The runs '{first.path}' and '{other.path}' have different classes; join runs on one "
                    "scene."
                )
        if not self.weights:
            object.__setattr__(self, "weights", (1 / len(self.members),) * len(self.members))

    @property
    def class_names(self) -> list[str]:
        """The classes, 1 first."""
        names: list[str] = self.members[0].metrics["class_names"]
        return names

    @property
    def split(self) -> Split:
        """The split that all members share; raises RunError where they do not."""
        first = self.members[0]
        for other in self.members[1:]:
            same = first.split.labels_sha256 == other.split.labels_sha256 and all(
                np.array_equal(getattr(first.split, name), getattr(other.split, name)) for name in SUBSETS
            )
            if not same:
                raise RunError(
                    f"The runs '{first.path}' and '{other.path}' have different splits, so that test pixels "
                    "of one may have trained the other; train both with the same --seed and split options."
                )
        return first.split

    def postprocessing(self, smooth: str | None = None) -> Postprocessing | None:
        """Return what smooths and calibrates the mean of the members; None where it has to be fitted first.

        `smooth` is a method or "auto"; default: that of the ensemble, or of its first member.
        """
        first = self.members[0]
        asked = self._asked(smooth)
        own = self.fitted or (first.postprocessing if len(self.members) == 1 else None)
        if own is not None and asked in (first.config.smooth, own.smoothing.method):
            return own
        if asked != "none":
            return None
        if len(self.members) == 1:
            return first.postprocessing.unsmoothed()
        self.split  # noqa: B018
        targets = first.postprocessing.val_targets
        parts = [member.postprocessing.unsmoothed().val_proba for member in self.members]
        found = [part for part in parts if part is not None]
        if targets is None or len(found) < len(parts):
            return None
        after, proba = calibrate_again(self._mean(found), targets)
        fields = first.postprocessing.val_fields
        return Postprocessing(
            Calibration(), after=after, val_targets=targets, val_fields=fields, val_proba=proba
        )

    def _mean(self, parts: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
        mean = np.zeros(parts[0].shape, np.float32)
        for weight, part in zip(self.weights, parts, strict=True):
            mean += np.float32(weight) * part
        return mean

    def fit(self, asked: str, scene: Scene, whole: WholeScene) -> Postprocessing:
        """Fit the smoothing that is `asked` for on the validation pixels of the scene of the runs."""
        first, split = self.members[0], self.split
        features = first.blocks(scene).features_of(Window(0, scene.rows, 0, scene.cols))
        targets = scene.labels.ravel()[split.val] - 1
        groups = whole.groups(first.separate_regions(scene))
        chosen = choose_smoothing(
            asked, np.asarray(whole.proba), features, groups, split.train, split.val, targets
        )
        proba = chosen.proba.reshape(-1, len(self.class_names))[split.val]
        kept = first.postprocessing if len(self.members) == 1 else Postprocessing(Calibration())
        return replace(
            kept,
            smoothing=chosen.smoothing,
            after=chosen.after,
            guide=chosen.guide,
            val_targets=targets,
            val_fields=field_numbers(scene.labels, split.val),
            val_proba=proba,
        )

    @contextmanager
    def whole_scene(self, scene: Scene, how: How, *, raw: bool = False) -> Iterator[WholeScene]:
        """Give the mean of the members' calibrated probabilities of every pixel, and of the `raw` ones."""
        shape = (scene.rows, scene.cols, len(self.class_names))
        total, done = scene.rows * scene.cols * len(self.members), 0
        plain = np.zeros(shape, np.float32) if raw else None
        with large_array(shape, how.scratch) as proba:
            missing = np.zeros(shape[:2], bool)
            for member, weight in zip(self.members, self.weights, strict=True):
                calibrate = member.postprocessing.calibration
                for window, logits, absent in self._logits(member, scene, how):
                    proba[window.slices] += np.float32(weight) * calibrate(logits)
                    if plain is not None:
                        plain[window.slices] += np.float32(weight) * Calibration()(logits)
                    missing[window.slices] |= absent
                    done += absent.size
                    how.watch(done, total)
            yield WholeScene(proba, missing, plain)

    @contextmanager
    def classified(
        self,
        scene: Scene,
        *,
        smooth: str | None = None,
        reject: float | None = None,
        how: How | None = None,
    ) -> Iterator[ClassifiedScene]:
        """Give the scene with its probabilities, smoothed and calibrated, to be read tile by tile.

        A single run without smoothing streams. Otherwise the probabilities of the whole scene are kept
        meanwhile, in a temporary file of ``how.scratch`` if they are large.

        Parameters
        ----------
        smooth
            See `postprocessing`. What is not known is fitted on the validation pixels of the runs' own scene,
            which is classified for that where `scene` is another one.
        reject
            Share of validation pixels that would be rejected, since their spectra, as the first member sees
            them, look least like training ones; see `Postprocessing.rejection`. Default: none are.

        Raises
        ------
        ConfigError
            For a share outside 0..1.
        RunError
            When the scene has other bands than a member, or the splits of the members differ.
        """
        how = how or How()
        first = self.members[0]
        if reject is not None:
            rejection, blocks = (
                first.postprocessing.rejection(reject),
                first.blocks(scene, resample=how.resample),
            )
            with self.classified(scene, smooth=smooth, how=how) as kept:
                yield ClassifiedScene(kept.post, _rejecting(kept.tiles, rejection, blocks), rejection)
            return
        post = self.postprocessing(smooth)
        if len(self.members) == 1 and post is not None and post.smoothing.method == "none":
            yield ClassifiedScene(post, self._watched(scene, how))
            return
        if post is None and not first.is_own(scene):
            own = first.load_scene(how.data_root)
            with self.whole_scene(own, How(device=how.device)) as whole:
                post = self.fit(self._asked(smooth), own, whole)
        with self.whole_scene(scene, how) as whole:
            post = post or self.fit(self._asked(smooth), scene, whole)
            regions = first.separate_regions(scene)
            blocks = first.blocks(scene, resample=how.resample)
            yield ClassifiedScene(post, whole.smoothed(post, blocks, regions))

    def _asked(self, smooth: str | None) -> str:
        return self.members[0].config.smooth if smooth is None else smooth

    def _watched(self, scene: Scene, how: How) -> Iterator[ClassifiedTile]:
        done = 0
        calibrate = self.members[0].postprocessing.calibration
        for window, logits, missing in self._logits(self.members[0], scene, how):
            done += missing.size
            yield ClassifiedTile(window, calibrate(logits), missing)
            how.watch(done, scene.rows * scene.cols)

    def describe(self) -> dict[str, str]:
        """Return what classified, for the metadata of a map: name -> text."""
        members = [f"{one.metrics['model']} ({one.path.name})" for one in self.members]
        if len(members) == 1:
            return {"model": members[0]}
        shares = [f"{weight:.3g} {name}" for weight, name in zip(self.weights, members, strict=True)]
        return {"model": "mean of " + ", ".join(shares)}

    def predict(
        self,
        scene: Scene,
        *,
        smooth: str | None = None,
        reject: float | None = None,
        device: str = "auto",
    ) -> NDArray[np.int64]:
        """Return the label map ``(rows, cols)``, 1..C; 0 for pixels without data and for rejected ones.

        Parameters and errors as `classified`.
        """
        labels = np.empty((scene.rows, scene.cols), np.int64)
        with self.classified(scene, smooth=smooth, reject=reject, how=How(device=device)) as classified:
            for tile in classified.tiles:
                lost = tile.missing if tile.rejected is None else tile.missing | tile.rejected
                labels[tile.window.slices] = np.where(lost, 0, tile.proba.argmax(axis=2) + 1)
        return labels

    def evaluate(
        self,
        scene: Scene,
        *,
        smooth: str | None = None,
        reject: float | None = None,
        device: str = "auto",
    ) -> Evaluation:
        """Classify the test pixels of the runs' scene anew.

        The scores are those of all test pixels, also of those that `reject`, a share of validation pixels,
        would leave out of a map; see `classified`.

        Raises
        ------
        SplitError
            When the scene's labels are not those of the runs.
        RunError
            When the members have different splits, or the scene other bands.
        """
        split, first = self.split, self.members[0]
        split.check(scene)
        if reject is not None:
            rejection, here = first.postprocessing.rejection(reject), first.blocks(scene)
            features = here.features_of(Window(0, scene.rows, 0, scene.cols))
            rejected = rejection(features.reshape(-1, features.shape[2])[split.test])
            evaluation = self.evaluate(scene, smooth=smooth, device=device)
            return replace(evaluation, rejection=rejection, rejected=rejected)
        post = self.postprocessing(smooth)
        size, targets = len(self.class_names), scene.labels.ravel()[split.test] - 1
        how, patch = How(device=device), max(member.config.patch for member in self.members)
        if post is not None and post.smoothing.method == "none":
            logits = [member.logits_of(scene, split.test, device=device) for member in self.members]
            calibrations = [member.postprocessing.calibration for member in self.members]
            parts = [one(values) for one, values in zip(calibrations, logits, strict=True)]
            proba = post.after.on_probabilities(self._mean(parts))
            before = self._mean([Calibration()(values) for values in logits])
            return Evaluation(post, proba, None, targets, split.leakage(patch), before)
        with self.whole_scene(scene, how, raw=True) as whole:
            post = post or self.fit(self._asked(smooth), scene, whole)
            final = np.empty((scene.rows, scene.cols, size), np.float32)
            blocks, regions = first.blocks(scene), first.separate_regions(scene)
            for tile in whole.smoothed(post, blocks, regions):
                final[tile.window.slices] = tile.proba
            plain = np.array(whole.proba.reshape(-1, size)[split.test])
            raw = None if whole.raw is None else whole.raw.reshape(-1, size)[split.test]
            guide = guide_of(post.guide, blocks, Window(0, scene.rows, 0, scene.cols))
            groups = whole.groups(regions)
        spread = partial(reach, guide=guide, groups=groups, smoothing=post.smoothing)
        leakage = split.leakage(patch, spread)
        return Evaluation(post, final.reshape(-1, size)[split.test], plain, targets, leakage, raw)

    def _logits(self, member: Member, scene: Scene, how: How) -> Tiles:
        return how.classify(member, scene, resample=how.resample, device=how.device, budget=how.budget)
