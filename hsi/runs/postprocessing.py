"""How the logits of a run become probabilities: calibration and smoothing, fitted on validation pixels."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hsi.confidence.calibration import Calibration
from hsi.confidence.conformal import ConformalSets, fit_sets
from hsi.confidence.novelty import FeatureScore, read_feature_score, threshold_at
from hsi.datasets.formats.numpy_files import read_archive
from hsi.errors import ConfigError, FileFormatError, HsiError, RunError
from hsi.io.files import written_whole
from hsi.smoothing.choice import NONE, Smoothing
from hsi.smoothing.guide import contrast_of

POSTPROCESSING = "postprocessing.npz"
GUIDES = 6
"""Components of the guide at most."""
_ON_VALIDATION = ("val_targets", "val_fields", "val_logits", "val_proba", "val_novelty")
_NOVELTY = "novelty."


@dataclass(frozen=True, eq=False)
class Guide:
    """Principal components of the features, which tell smoothing where fields end.

    They are fitted on training pixels, in the unit of `hsi.smoothing.guide.contrast_of`. `mean` is
    ``(features,)``, `components` ``(features, K)``, both float32.
    """

    mean: NDArray[np.float32]
    components: NDArray[np.float32]

    @classmethod
    def fit(
        cls, features: NDArray[np.float32], groups: NDArray[np.int32], pixels: NDArray[np.int64]
    ) -> tuple[Guide, NDArray[np.float32]]:
        """Return the guide of a scene, and what it makes of the scene.

        Parameters
        ----------
        features
            ``(rows, cols, features)``, finite.
        groups
            ``(rows, cols)``: region of each pixel, 0 without data.
        pixels
            Flat indices of the pixels that the components are fitted on.
        """
        values = features.reshape(-1, features.shape[2])[pixels].astype(np.float64)
        mean = values.mean(axis=0)
        covariance = np.cov(values, rowvar=False, bias=True).reshape(len(mean), len(mean))
        axes = np.linalg.eigh(covariance).eigenvectors[:, ::-1][:, :GUIDES]
        # eigh leaves the sign open.
        axes = axes * np.where(axes[np.abs(axes).argmax(axis=0), np.arange(axes.shape[1])] < 0, -1, 1)
        plain = cls(mean.astype(np.float32), axes.astype(np.float32))
        contrast = contrast_of(plain(features), groups) or 1.0
        scaled = cls(plain.mean, plain.components / np.float32(contrast))
        return scaled, scaled(features)

    def __call__(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """``(..., features)`` to ``(..., K)``; each pixel alone, so that tiles do not matter."""
        # Not a matrix product, whose rounding depends on the number of pixels.
        found: NDArray[np.float32] = np.einsum(
            "...f,fk->...k", features - self.mean, self.components, optimize=False
        )
        return found


class Rejection(NamedTuple):
    """Rejects pixels whose spectrum is unlike those of training: whose score is above `threshold`.

    `rate` is the share of validation pixels that it rejects at most.
    """

    score: FeatureScore
    threshold: float
    rate: float

    def __call__(self, features: NDArray[np.float32]) -> NDArray[np.bool_]:
        """Return which pixels of preprocessed spectra ``(..., features)`` are rejected."""
        rejected: NDArray[np.bool_] = self.score(features) > self.threshold
        return rejected

    def describe(self) -> str:
        """Return what is rejected, in words."""
        return f"{100 * self.rate:g} % of validation pixels, by {self.score.name} of the spectrum"


@dataclass(frozen=True, eq=False)
class Postprocessing:
    """From logits to probabilities: calibrate, smooth, calibrate again.

    Attributes
    ----------
    calibration
        Of the logits.
    smoothing
        What is done to the map of probabilities; method "none" for nothing.
    after
        Calibration of the smoothed probabilities.
    guide
        Features that smoothing follows, or None where it needs none.
    val_targets, val_fields, val_logits, val_proba
        Of the n validation pixels: classes 0..C-1 ``(n,)``; the number of the field that each lies in
        ``(n,)``; logits ``(n, C)`` float32; and the probabilities ``(n, C)`` that all of this makes of them.
        None where that is not known.
    novelty, val_novelty
        How unlike the training pixels a preprocessed spectrum is, and the scores ``(n,)`` of the validation
        pixels; None where that is not known.
    """

    calibration: Calibration
    smoothing: Smoothing = NONE
    after: Calibration = field(default_factory=Calibration)
    guide: Guide | None = None
    val_targets: NDArray[np.int64] | None = None
    val_fields: NDArray[np.int64] | None = None
    val_logits: NDArray[np.float32] | None = None
    val_proba: NDArray[np.float32] | None = None
    novelty: FeatureScore | None = None
    val_novelty: NDArray[np.float32] | None = None

    def unsmoothed(self) -> Postprocessing:
        """Return the calibration alone."""
        logits = self.val_logits
        proba = None if logits is None else self.calibration(logits)
        return replace(self, smoothing=NONE, after=Calibration(), val_proba=proba)

    def rejection(self, rate: float) -> Rejection:
        """Return what rejects the pixels that look least like training ones, `rate` of validation pixels.

        Raises
        ------
        ConfigError
            For a rate, a fraction, outside 0..1.
        RunError
            When the validation pixels are not known, as in runs of older versions.
        """
        if not 0 < rate < 1:
            raise ConfigError(f"reject must be above 0 and below 1, such as 0.05, not {rate:g}.")
        if self.novelty is None or self.val_novelty is None:
            raise RunError(
                "Rejection needs the training pixels of a run, which older runs did not keep; train it again."
            )
        return Rejection(self.novelty, threshold_at(self.val_novelty, rate), rate)

    def prediction_sets(self, coverage: float) -> ConformalSets:
        """Return what makes prediction sets that hold the true class at the rate `coverage`, a fraction.

        Pixels of one field count together; see `hsi.confidence.conformal`.

        Raises
        ------
        ConfigError
            For a coverage outside 0..1.
        RunError
            When the validation pixels are not known, as in runs of older versions.
        """
        if not 0 < coverage < 1:
            raise ConfigError(f"coverage must be above 0 and below 1, such as 0.9, not {coverage:g}.")
        if self.val_proba is None or self.val_targets is None:
            raise RunError(
                "Prediction sets need the validation pixels of a run, which older runs did not keep; train "
                "it again."
            )
        return fit_sets(self.val_proba, self.val_targets, coverage, regions=self.val_fields)

    def describe(self) -> dict[str, str]:
        """Return what was done to the probabilities, for the metadata of a map: name -> text."""
        temperatures = [f"{one.temperature:.3g}" for one in (self.calibration, self.after)]
        return {
            "smoothing": str(self.smoothing),
            "calibration": f"temperature {temperatures[0]}, after smoothing {temperatures[1]}",
        }

    def as_dict(self) -> dict[str, Any]:
        """Return what can be told in JSON."""
        return {
            "calibration": self.calibration.as_dict(),
            "smoothing": self.smoothing.as_dict(),
            "after": self.after.as_dict(),
        }

    def save(self, folder: Path) -> None:
        """Write it into a run folder."""
        arrays: dict[str, Any] = {"about": np.array(json.dumps(self.as_dict()))}
        if self.guide is not None:
            arrays |= {"guide_mean": self.guide.mean, "guide_components": self.guide.components}
        for name in _ON_VALIDATION:
            if getattr(self, name) is not None:
                arrays[name] = getattr(self, name)
        if self.novelty is not None:
            arrays |= {f"{_NOVELTY}{name}": array for name, array in self.novelty.as_arrays().items()}
        with written_whole(folder / POSTPROCESSING) as temporary, temporary.open("wb") as file:
            np.savez_compressed(file, **arrays)

    @classmethod
    def load(cls, folder: Path, features: int, classes: int, val_pixels: int) -> Postprocessing | None:
        """Read what `save` wrote, checked against the sizes of the run; None where a run has no such file.

        Raises
        ------
        RunError
            When the file is damaged or does not fit the run.
        """
        path = folder / POSTPROCESSING
        try:
            arrays = read_archive(path)
            about = json.loads(str(arrays["about"]))
            guide = None
            if "guide_mean" in arrays:
                guide = Guide(arrays["guide_mean"], arrays["guide_components"])
                if guide.mean.shape != (features,) or guide.components.shape[:-1] != (features,):
                    raise ValueError(f"its guide does not fit {features} features")
            known: dict[str, Any] = {name: arrays[name] for name in _ON_VALIDATION if name in arrays}
            shapes = dict.fromkeys(("val_targets", "val_fields", "val_novelty"), (val_pixels,))
            if any(array.shape != shapes.get(name, (val_pixels, classes)) for name, array in known.items()):
                raise ValueError("it is of other validation pixels")
            parts = {
                name.removeprefix(_NOVELTY): array
                for name, array in arrays.items()
                if name.startswith(_NOVELTY)
            }
            if parts:
                known["novelty"] = read_feature_score(parts)
                if known["novelty"].width != features:
                    raise ValueError(f"its novelty score does not fit {features} features")
            return cls(
                Calibration.from_dict(about["calibration"]),
                Smoothing.from_dict(about["smoothing"]),
                Calibration.from_dict(about["after"]),
                guide,
                **known,
            )
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError, AttributeError, HsiError) as error:
            if isinstance(error, HsiError) and not isinstance(error, FileFormatError):
                error = ValueError(str(error).rstrip("."))
            raise RunError(f"'{path}' is damaged: {error}.") from None
