"""The pixels of a split classified: calibrated, smoothed, and how far the confidence can be trusted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from hsi.confidence.calibration import Calibration, fit_temperature
from hsi.confidence.novelty import DEFAULT as NOVELTY
from hsi.confidence.novelty import fit_feature_score
from hsi.confidence.reliability import calibration_error, reliability_bins
from hsi.datasets.patches import PatchCutter
from hsi.datasets.scene import Scene
from hsi.datasets.splits.indices import SUBSETS, Split
from hsi.inference.choose_smoothing import Tried, choose_smoothing
from hsi.inference.whole_scene import group_numbers
from hsi.runs.postprocessing import Postprocessing
from hsi.scoring import score
from hsi.smoothing.methods import reach

Floats = NDArray[np.float32]
Predict = Callable[[NDArray[np.int64]], Tensor]
"""From flat indices of pixels to their logits ``(n, C)``."""


@dataclass(frozen=True, eq=False)
class Assessment:
    """The classified pixels of a split.

    Attributes
    ----------
    scene, split
        What was classified.
    post
        How logits became probabilities.
    raw, final
        Probabilities ``(n, C)`` of the pixels of each subset: the softmax of the logits, and with everything.
    predictions
        Class 1..C of the same pixels.
    unsmoothed
        The same without smoothing; equal to `predictions` where there is none.
    tried
        The smoothings that the kept one was chosen among.
    reach
        From a mask of pixels to those whose smoothed value depends on them; None without smoothing.
    """

    scene: Scene
    split: Split
    post: Postprocessing
    raw: dict[str, Floats]
    final: dict[str, Floats]
    predictions: dict[str, NDArray[np.int64]]
    unsmoothed: dict[str, NDArray[np.int64]]
    tried: tuple[Tried, ...] = ()
    reach: Callable[[NDArray[np.bool_]], NDArray[np.bool_]] | None = None

    def facts(self, patch: int) -> dict[str, Any]:
        """Return calibration, smoothing and leakage for metrics.json; `patch` is the patch width."""
        leakage = self.split.leakage(patch, self.reach)
        return {
            "leakage": {"centre": leakage.centre, "overlap": leakage.overlap},
            "calibration": self._calibration(),
            "smoothing": None if self.reach is None else self._smoothing(),
        }

    @property
    def notes(self) -> list[str]:
        """What a user should know."""
        if self.post.smoothing.method == "none":
            return []
        before, after = (100 * self._oa(found) for found in (self.unsmoothed, self.predictions))
        return [
            f"The map is smoothed: {self.post.smoothing}, chosen by log loss on the validation pixels (OA "
            f"there {before:.2f} % without, {after:.2f} % with it)."
        ]

    def _oa(self, predictions: dict[str, NDArray[np.int64]]) -> float:
        return float((predictions["val"] == self._labels("val")).mean())

    def _labels(self, subset: str) -> NDArray[np.int64]:
        labels: NDArray[np.int64] = self.scene.labels.ravel()[getattr(self.split, subset)]
        return labels

    def _calibration(self) -> dict[str, Any]:
        targets = {subset: self._labels(subset) - 1 for subset in ("val", "test")}
        stages = {"before": self.raw, "after": self.final}
        return {
            "of_logits": self.post.calibration.as_dict(),
            "of_smoothed": self.post.after.as_dict(),
            "error": {
                subset: {stage: calibration_error(found[subset], true) for stage, found in stages.items()}
                for subset, true in targets.items()
            },
            "bins": {
                stage: [asdict(one) for one in reliability_bins(found["test"], targets["test"])]
                for stage, found in stages.items()
            },
        }

    def _smoothing(self) -> dict[str, Any]:
        return {
            **self.post.smoothing.as_dict(),
            "text": str(self.post.smoothing),
            "tried": [
                {"text": str(one.smoothing), "val_oa": one.oa, "val_log_loss": one.log_loss}
                for one in self.tried
            ],
            "unsmoothed": {
                subset: score(self._labels(subset), found, self.scene.classes).as_dict()
                for subset, found in self.unsmoothed.items()
            },
        }


def classify_split(
    scene: Scene, split: Split, smooth: str, cutter: PatchCutter, predict: Predict
) -> Assessment:
    """Classify the pixels of a split; calibrate and smooth on its validation pixels.

    With smoothing every pixel of the scene is classified, as for a map.

    Parameters
    ----------
    smooth
        Method of smoothing, "auto" or "none".
    cutter
        Cuts the patches of the scene; its spectra are the guide of smoothing.
    predict
        Classifies pixels.
    """
    pixels = {subset: getattr(split, subset) for subset in SUBSETS}
    targets = scene.labels.ravel()[split.val] - 1
    if smooth == "none":
        logits = {subset: predict(where).numpy() for subset, where in pixels.items()}
    else:
        every = predict(np.arange(scene.labels.size)).numpy()
        logits = {subset: every[where] for subset, where in pixels.items()}
    calibration = fit_temperature(logits["val"], targets)
    unsmoothed = {subset: found.argmax(axis=1) + 1 for subset, found in logits.items()}
    raw = {subset: Calibration()(found) for subset, found in logits.items()}
    fields = field_numbers(scene.labels, split.val)
    spectra = {name: cutter.spectra(pixels[name]).cpu().numpy() for name in ("train", "val")}
    novelty = fit_feature_score(NOVELTY, spectra["train"], scene.labels.ravel()[split.train] - 1)
    known = Postprocessing(
        calibration,
        val_targets=targets,
        val_fields=fields,
        val_logits=logits["val"],
        novelty=novelty,
        val_novelty=novelty(spectra["val"]),
    )
    if smooth == "none":
        final = {subset: calibration(found) for subset, found in logits.items()}
        predictions = {subset: found.argmax(axis=1) + 1 for subset, found in final.items()}  # as on a map
        return Assessment(scene, split, known.unsmoothed(), raw, final, predictions, unsmoothed)
    shape = scene.labels.shape
    features = cutter.spectra(np.arange(scene.labels.size)).cpu().numpy().reshape(*shape, -1)
    missing = ~np.isfinite(features).all(axis=2)
    if scene.missing is not None:
        missing |= scene.missing
    groups = group_numbers(missing, split.separate_regions)
    proba = calibration(every).reshape(*shape, -1)
    chosen = choose_smoothing(smooth, proba, np.nan_to_num(features), groups, split.train, split.val, targets)
    flat = chosen.proba.reshape(-1, proba.shape[2])
    final = {subset: flat[where] for subset, where in pixels.items()}
    post = replace(
        known, smoothing=chosen.smoothing, after=chosen.after, guide=chosen.guide, val_proba=final["val"]
    )
    predictions = {subset: found.argmax(axis=1) + 1 for subset, found in final.items()}
    spread = partial(reach, guide=chosen.guide_map, groups=groups, smoothing=chosen.smoothing)
    return Assessment(scene, split, post, raw, final, predictions, unsmoothed, chosen.tried, spread)


def field_numbers(labels: NDArray[Any], pixels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the number of the field that each pixel lies in: fields are connected pixels of one class."""
    chosen = np.zeros(labels.shape, bool)
    chosen.ravel()[pixels] = True
    numbers, last = np.zeros(labels.shape, np.int64), 0
    for value in np.unique(labels.ravel()[pixels]):
        found, count = ndimage.label(chosen & (labels == value), np.ones((3, 3)))
        numbers += np.where(found > 0, found + last, 0)
        last += count
    answer: NDArray[np.int64] = numbers.ravel()[pixels]
    return answer
