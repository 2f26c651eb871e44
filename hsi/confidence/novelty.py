"""How unlike the training pixels a pixel looks: scores that rise on ground of classes not trained on.

Of logits: the largest probability and entropy (Hendrycks and Gimpel, ICLR 2017), the largest logit (Hendrycks
et al., ICML 2022), and energy (Liu et al., NeurIPS 2020). Of feature vectors, such as the spectrum or what
enters a network's last layer: the Mahalanobis distance to the nearest class (Lee et al., NeurIPS 2018), the
same relative to the distance from all classes together (Ren et al., 2021), and the distance to a near
neighbour among the training pixels (Sun et al., ICML 2022). `DEFAULT` was the best where classes of real
scenes were left out of training.

Every score is a float32 array without the last axis of what it is given; a high one means new ground.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hsi.confidence.reliability import check_targets
from hsi.errors import InputError, unknown

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]

NEIGHBOUR = 5
"""The neighbour whose distance counts; with fewer training pixels the last."""

MOST_NEIGHBOURS = 4000
"""Training pixels that `NeighbourDistance` keeps."""

# Rows whose distances are computed together, in double precision: a pixel's score does not depend on which
# pixels are beside it, but for a last digit once in a billion.
_CHUNK = 1024


def energy(logits: ArrayLike, temperature: float = 1.0) -> Floats:
    """Return ``-T log sum exp(z / T)`` of logits ``(..., C)``."""
    values = _logits(logits) / temperature
    top = values.max(axis=-1)
    sums = np.exp(values - top[..., None]).sum(axis=-1)
    return _single(-temperature * (top + np.log(sums)))


def uncertainty(logits: ArrayLike) -> Floats:
    """Return 1 minus the largest probability of logits ``(..., C)``, from 0 to ``1 - 1 / C``."""
    return _single(1 - _softmax(_logits(logits)).max(axis=-1))


def low_logit(logits: ArrayLike) -> Floats:
    """Return minus the largest of logits ``(..., C)``; it says nothing where that is 0 for all pixels."""
    return _single(-_logits(logits).max(axis=-1))


def entropy(logits: ArrayLike) -> Floats:
    """Return ``-sum p log p`` in nats of logits ``(..., C)``, from 0 to ``log C``."""
    proba = _softmax(_logits(logits))
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = np.where(proba > 0, proba * np.log(proba), 0.0)
    return _single(np.maximum(-terms.sum(axis=-1), 0.0))


LOGIT_SCORES: dict[str, Callable[[ArrayLike], Floats]] = {
    "energy": energy,
    "max-softmax": uncertainty,
    "max-logit": low_logit,
    "entropy": entropy,
}
"""Scores of logits alone."""


@dataclass(frozen=True, eq=False)
class ClassDistance:
    """Squared Mahalanobis distance to the nearest class, for "relative" less that to all pixels together.

    ``min over k of (x - m_k)' S^-1 (x - m_k)``, with S the covariance within classes, shared by all; relative
    less ``(x - m)' S_0^-1 (x - m)`` of the mean and covariance of all training pixels. Covariances are shrunk
    towards a multiple of the identity (Ledoit and Wolf, 2004), so that few pixels will do.

    Attributes
    ----------
    whitening
        ``(F, F)`` matrix A with ``A'A = S^-1``.
    centres
        ``(K, F)`` means of the K trained classes, times A.
    background, background_centre
        The same of all pixels, ``(F, F)`` and ``(F,)``; None unless relative.
    """

    whitening: Floats
    centres: Floats
    background: Floats | None = None
    background_centre: Floats | None = None

    names: ClassVar[tuple[str, ...]] = ("mahalanobis", "relative-mahalanobis")

    @classmethod
    def fit(cls, features: ArrayLike, targets: ArrayLike, *, relative: bool = False) -> ClassDistance:
        """Fit to the features ``(n, F)`` of training pixels of classes ``(n,)``.

        Raises
        ------
        InputError
            For shapes that do not fit, features that are not finite, or fewer than two pixels.
        """
        values, truth = _training(features, targets)
        means, of_pixels = _class_means(values, truth)
        whitening = _whitening(values - of_pixels)
        if not relative:
            return cls(_single(whitening), _single(means @ whitening.T))
        middle = values.mean(axis=0)
        background = _whitening(values - middle)
        return cls(
            _single(whitening),
            _single(means @ whitening.T),
            _single(background),
            _single(background @ middle),
        )

    @property
    def name(self) -> str:
        """One of `names`."""
        return self.names[self.background is not None]

    @property
    def width(self) -> int:
        """Number of features F."""
        return self.whitening.shape[1]

    def __call__(self, features: ArrayLike) -> Floats:
        """Return the scores ``(...)`` of features ``(..., F)``.

        Raises
        ------
        InputError
            For another number of features.
        """
        return _by_rows(features, self.width, self._some)

    def as_arrays(self) -> dict[str, NDArray[Any]]:
        """Return what `from_arrays` reads, for an NPZ file."""
        found: dict[str, NDArray[Any]] = {"whitening": self.whitening, "centres": self.centres}
        if self.background is not None and self.background_centre is not None:
            found |= {"background": self.background, "background_centre": self.background_centre}
        return found

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> ClassDistance:
        """Make what `as_arrays` wrote.

        Raises
        ------
        InputError
            When an array is missing, is not finite, or has another shape than the others.
        """
        whitening, centres = _stored(arrays, "whitening", 2), _stored(arrays, "centres", 2)
        background = _stored(arrays, "background", 2) if "background" in arrays else None
        middle = _stored(arrays, "background_centre", 1) if background is not None else None
        width = whitening.shape[1]
        shapes = {whitening.shape, (width, width)} | ({background.shape} if background is not None else set())
        if len(shapes) > 1 or centres.shape[1] != width or (middle is not None and middle.shape != (width,)):
            raise InputError(_DAMAGED.format("arrays that do not fit each other"))
        return cls(whitening, centres, background, middle)

    def _some(self, rows: Floats) -> Floats:
        points = rows.astype(np.float64)
        white = points @ self.whitening.T
        nearest = np.full(len(rows), np.inf)
        for centre in self.centres:
            np.minimum(nearest, ((white - centre) ** 2).sum(axis=1), out=nearest)
        if self.background is not None and self.background_centre is not None:
            nearest -= ((points @ self.background.T - self.background_centre) ** 2).sum(axis=1)
        return _single(nearest)


@dataclass(frozen=True, eq=False)
class NeighbourDistance:
    """Euclidean distance to the k-th nearest training pixel, in features scaled as the name says.

    "neighbours": as they are; "neighbours-unit": each pixel's to length 1, as Sun et al. do, so that
    brightness does not matter; "neighbours-whitened": so that they vary alike and independently within
    classes, the Mahalanobis distance with the covariance S of `ClassDistance`.

    Attributes
    ----------
    bank
        ``(n, F)`` scaled features of training pixels.
    k
        Which neighbour, 1 for the nearest.
    name
        One of `names`.
    whitening
        ``(F, F)`` matrix A with ``A'A = S^-1`` of "neighbours-whitened", else None.
    """

    bank: Floats
    k: int = NEIGHBOUR
    name: str = "neighbours"
    whitening: Floats | None = None

    names: ClassVar[tuple[str, ...]] = ("neighbours", "neighbours-unit", "neighbours-whitened")

    @classmethod
    def fit(
        cls, features: ArrayLike, targets: ArrayLike, *, name: str = "neighbours", k: int = NEIGHBOUR
    ) -> NeighbourDistance:
        """Keep features ``(n, F)`` of training pixels of classes ``(n,)``.

        Of more than `MOST_NEIGHBOURS` pixels, as many are kept, evenly spread in each class, of large classes
        fewer.

        Raises
        ------
        InputError
            For an unknown name, shapes that do not fit, features that are not finite, fewer than two pixels,
            or a `k` below 1.
        """
        if name not in cls.names:
            raise InputError(unknown("novelty score", name, cls.names))
        if k < 1:
            raise InputError(f"The neighbour must be 1 or more, not {k}.")
        values, truth = _training(features, targets)
        whitening = None
        if name == "neighbours-whitened":
            whitening = _whitening(values - _class_means(values, truth)[1])
        rows = _spread(truth, MOST_NEIGHBOURS)
        bank = _scaled(values[rows], name, whitening)
        return cls(_single(bank), min(k, len(bank)), name, None if whitening is None else _single(whitening))

    @property
    def width(self) -> int:
        """Number of features F."""
        return self.bank.shape[1]

    def __call__(self, features: ArrayLike) -> Floats:
        """Return the scores ``(...)`` of features ``(..., F)``.

        Raises
        ------
        InputError
            For another number of features.
        """
        bank = self.bank.astype(np.float64)
        lengths = (bank**2).sum(axis=1)

        def some(rows: Floats) -> Floats:
            points = _scaled(rows.astype(np.float64), self.name, self.whitening)
            squares = (points @ bank.T) * -2 + lengths
            nearest = np.partition(squares, self.k - 1, axis=1)[:, self.k - 1]
            return _single(np.sqrt(np.maximum(nearest + (points**2).sum(axis=1), 0.0)))

        return _by_rows(features, self.width, some)

    def as_arrays(self) -> dict[str, NDArray[Any]]:
        """Return what `from_arrays` reads, for an NPZ file."""
        found: dict[str, NDArray[Any]] = {"bank": self.bank, "k": np.array(self.k)}
        if self.whitening is not None:
            return {**found, "whitening": self.whitening}
        return {**found, "unit": np.array(self.name == "neighbours-unit")}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> NeighbourDistance:
        """Make what `as_arrays` wrote.

        Raises
        ------
        InputError
            When an array is missing or damaged.
        """
        bank, k = _stored(arrays, "bank", 2), int(_stored(arrays, "k", 0))
        if not 1 <= k <= len(bank):
            raise InputError(_DAMAGED.format(f"neighbour {k} of {len(bank)}"))
        if "whitening" not in arrays:
            return cls(bank, k, cls.names[bool(_stored(arrays, "unit", 0))])
        whitening = _stored(arrays, "whitening", 2)
        if whitening.shape != (bank.shape[1],) * 2:
            raise InputError(_DAMAGED.format("arrays that do not fit each other"))
        return cls(bank, k, "neighbours-whitened", whitening)


FeatureScore = ClassDistance | NeighbourDistance

FEATURE_SCORES: tuple[str, ...] = (*ClassDistance.names, *NeighbourDistance.names)
"""Names that `fit_feature_score` takes."""


DEFAULT = "neighbours-whitened"
"""The score of the preprocessed spectrum that found classes left out of training best; see RESULTS.md."""


def fit_feature_score(name: str, features: ArrayLike, targets: ArrayLike) -> FeatureScore:
    """Fit one of `FEATURE_SCORES` to features ``(n, F)`` of training pixels of classes ``(n,)``.

    Raises
    ------
    InputError
        For an unknown name; else as the classes' own `fit`.
    """
    if name not in FEATURE_SCORES:
        raise InputError(unknown("novelty score", name, FEATURE_SCORES))
    if name in NeighbourDistance.names:
        return NeighbourDistance.fit(features, targets, name=name)
    return ClassDistance.fit(features, targets, relative=name == "relative-mahalanobis")


def read_feature_score(arrays: Mapping[str, NDArray[Any]]) -> FeatureScore:
    """Make the score whose `as_arrays` this is.

    Raises
    ------
    InputError
        When an array is missing or damaged.
    """
    if "bank" in arrays:
        return NeighbourDistance.from_arrays(arrays)
    return ClassDistance.from_arrays(arrays)


def threshold_at(scores: ArrayLike, rate: float) -> float:
    """Return the lowest score so that at most the share `rate` of `scores` lies above it.

    What is above the threshold is rejected. On new pixels that are exchangeable with these, the rate is kept
    to within ``1 / (n + 1)``; on other land it is not, and has to be measured.

    Parameters
    ----------
    scores
        Of validation pixels.
    rate
        A fraction from 0 to below 1; 0 gives the highest score.

    Raises
    ------
    InputError
        Without scores, with NaN among them, or for a rate outside 0..1.
    """
    values = np.sort(np.asarray(scores, np.float64).ravel())
    if not 0 <= rate < 1:
        raise InputError(f"The rate to reject must be from 0 to below 1, such as 0.05, not {rate:g}.")
    if not len(values) or np.isnan(values).any():
        raise InputError(
            "A threshold for novelty needs the scores of validation pixels; give the split some."
        )
    rejected = math.floor(rate * len(values) + 1e-9)
    return float(values[len(values) - 1 - rejected])


def _single(values: Any) -> Floats:
    return np.asarray(values, np.float32)


def _logits(logits: ArrayLike) -> Doubles:
    """Return logits as float64; a row of minus infinity throughout becomes zeros."""
    values = np.array(logits, np.float64)
    if values.ndim == 0 or values.shape[-1] < 1:
        raise InputError(f"Logits must be (..., classes); these are {values.shape}.")
    values[np.isneginf(values).all(axis=-1)] = 0
    return values


def _softmax(values: Doubles) -> Doubles:
    raised = np.exp(values - values.max(axis=-1, keepdims=True))
    answer: Doubles = raised / raised.sum(axis=-1, keepdims=True)
    return answer


def _training(features: ArrayLike, targets: ArrayLike) -> tuple[Doubles, NDArray[np.int64]]:
    """Return features and classes of training pixels, checked."""
    values, truth = np.asarray(features, np.float64), np.asarray(targets)
    if values.ndim != 2 or not values.shape[1]:
        raise InputError(f"Features must be (pixels, features); these are {values.shape}.")
    if not np.isfinite(values).all():
        raise InputError("The features are not finite; train again with a lower --lr.")
    if truth.shape != values.shape[:1]:
        raise InputError(f"Novelty needs a class for each of {len(values)} pixels, not {truth.shape}.")
    if len(truth) < 2:
        raise InputError("Novelty needs two training pixels or more; give the split more of them.")
    return values, check_targets(truth, int(truth.max()) + 1)


def _class_means(values: Doubles, truth: NDArray[np.int64]) -> tuple[Doubles, Doubles]:
    """Return the mean of each class that has pixels, ``(K, F)``, and of each pixel's class, ``(n, F)``."""
    known, members = np.unique(truth, return_inverse=True)
    means = np.stack([values[truth == label].mean(axis=0) for label in known])
    return means, means[members]


def _spread(truth: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    """Return at most about `most` rows, evenly spread in each class, of large classes fewer."""
    own = sorted((np.flatnonzero(truth == label) for label in np.unique(truth)), key=len)
    rows, left = [], most
    for index, members in enumerate(own):
        share = max(1, left // (len(own) - index))
        if len(members) > share:
            members = members[np.linspace(0, len(members) - 1, share).astype(np.int64)]
        rows.append(members)
        left -= len(members)
    return np.sort(np.concatenate(rows))


def _scaled(values: Doubles, name: str, whitening: NDArray[Any] | None) -> Doubles:
    if whitening is not None:
        answer: Doubles = values @ whitening.T.astype(np.float64)
        return answer
    return _unit(values) if name == "neighbours-unit" else values


def _unit(values: Doubles) -> Doubles:
    """Return rows of length 1; a row of zeros stays."""
    length = np.linalg.norm(values, axis=1, keepdims=True)
    return np.divide(values, length, out=np.zeros_like(values), where=length > 0)


def _whitening(deviations: Doubles) -> Doubles:
    """Return A with ``A'A`` the inverse of the covariance of `deviations`, which have mean 0."""
    from sklearn.covariance import ledoit_wolf

    covariance, _ = ledoit_wolf(deviations, assume_centered=True)
    # Features that never vary, such as dead units of a network, shall not divide by zero.
    covariance += max(1e-6 * float(np.trace(covariance)) / len(covariance), 1e-12) * np.eye(len(covariance))
    lower = np.linalg.cholesky(covariance)
    answer: Doubles = np.linalg.inv(lower)
    return answer


def _by_rows(features: ArrayLike, width: int, score: Callable[[Floats], Floats]) -> Floats:
    values = np.asarray(features, np.float32)
    if values.ndim == 0 or values.shape[-1] != width:
        raise InputError(
            f"The novelty score is of {width} features, not of an array {values.shape}; fit it for these."
        )
    rows = values.reshape(-1, width)
    scores = np.empty(len(rows), np.float32)
    for start in range(0, len(rows), _CHUNK):
        scores[start : start + _CHUNK] = score(rows[start : start + _CHUNK])
    return scores.reshape(values.shape[:-1])


_DAMAGED = "The novelty score is damaged ({}); train again, or fit it again."


def _stored(arrays: Mapping[str, NDArray[Any]], name: str, dimensions: int) -> Any:
    if name not in arrays:
        raise InputError(_DAMAGED.format(f"'{name}' is missing"))
    values = np.asarray(arrays[name])
    if values.dtype.kind not in "fiub" or values.ndim != dimensions or not np.isfinite(values).all():
        raise InputError(_DAMAGED.format(f"'{name}' is {values.dtype} {values.shape}"))
    return _single(values) if dimensions else values
