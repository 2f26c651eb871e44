"""Prediction sets: the classes that cannot be ruled out at a pixel, holding the true one at a stated rate.

Split conformal prediction (Vovk, Gammerman and Shafer, Algorithmic learning in a random world, 2005): each
validation pixel gets a score of how little its true class fits; a class is in a pixel's set unless its score
is above a quantile of these. For pixels that are exchangeable with the validation pixels the set holds the
true class with at least the probability asked for, whatever the classifier.

Pixels of one field resemble each other, so that those of another field are not exchangeable with them. Where
the groups of the pixels are given, hierarchical conformal prediction counts each group once: the guarantee is
then for a random pixel of a new group that is exchangeable with those of validation (Dunn, Wasserman and
Ramdas, JASA 2022; the weights are those of Lee, Barber and Willett, Distribution-free inference with
hierarchical data, 2023). Nothing guarantees it on land of another kind; `evaluate_sets` measures it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hsi.confidence.reliability import check_probabilities
from hsi.errors import InputError

Doubles = NDArray[np.float64]

SCORES = ("lac", "aps")
EVERY_CLASS = 1.0
"""The threshold at which all classes are in all sets."""

_CHUNK = 1 << 18  # pixels whose sets are made together


@dataclass(frozen=True)
class ConformalSets:
    """Makes prediction sets; see `fit_sets`.

    Attributes
    ----------
    threshold
        The largest score of a class in a set.
    coverage
        The rate asked for, a fraction.
    score
        "lac" or "aps", see `nonconformity`.
    pixels, groups
        How many validation pixels it comes from, in how many groups; 0 groups where none were given.
    rule
        "exchangeable": pixels count alone; "hierarchical": groups do; "largest": there are too few groups for
        that rate, so the largest quantile of a group is taken, which guarantees nothing.
    """

    threshold: float
    coverage: float
    score: str = "lac"
    pixels: int = 0
    groups: int = 0
    rule: str = "exchangeable"

    def __call__(self, proba: ArrayLike) -> NDArray[np.bool_]:
        """Return the sets ``(..., C)`` of probabilities ``(..., C)``; see `prediction_sets`."""
        return prediction_sets(proba, self.threshold, score=self.score)

    @property
    def notes(self) -> tuple[str, ...]:
        """One sentence for each thing that a user should know of the sets."""
        found = []
        if self.rule == "largest":
            needed = math.ceil(self.coverage / (1 - self.coverage) - 1e-9)
            found.append(
                f"{self.groups} validation groups are too few for prediction sets of "
                f"{100 * self.coverage:g} % ({needed} are needed): the largest threshold of a group is used, "
                "without a guarantee."
            )
        if self.threshold >= EVERY_CLASS:
            found.append(
                f"{self.pixels} validation pixels leave no class out at {100 * self.coverage:g} %: ask for "
                "less coverage."
            )
        return tuple(found)

    def as_dict(self) -> dict[str, Any]:
        """Return what `from_dict` reads, as JSON can hold it."""
        return asdict(self)

    @classmethod
    def from_dict(cls, table: Mapping[str, Any]) -> ConformalSets:
        """Make what `as_dict` wrote.

        Raises
        ------
        InputError
            When something is missing or is no number.
        """
        try:
            return cls(
                float(table["threshold"]),
                float(table["coverage"]),
                _known(str(table["score"])),
                int(table["pixels"]),
                int(table["groups"]),
                str(table["rule"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"The prediction sets cannot be read ({error!r}); fit them again.") from None


def fit_sets(
    proba: ArrayLike,
    targets: ArrayLike,
    coverage: float,
    *,
    regions: ArrayLike | None = None,
    score: str = "lac",
) -> ConformalSets:
    """Find the threshold at which sets hold the true class of `coverage` of the pixels.

    Without regions, the threshold is the k-th smallest score of the n pixels' true classes, with
    ``k = ceil((n + 1) coverage)``; all classes are in all sets if k > n.

    With G regions of ``n_g`` pixels, each score weighs ``1 / ((G + 1) n_g)``, and the threshold is the
    smallest score at which the weights reach `coverage`. They sum to ``G / (G + 1)``: below that coverage
    there is no guarantee to be had from so few regions, and the largest of the regions' own thresholds is
    taken (rule "largest").

    Parameters
    ----------
    proba, targets
        ``(n, C)`` calibrated probabilities and ``(n,)`` true classes 0..C-1 of pixels that trained nothing.
    coverage
        A fraction above 0 and below 1.
    regions
        ``(n,)`` number of each pixel's group, such as its field.
    score
        One of `SCORES`.

    Raises
    ------
    InputError
        For shapes that do not fit, a coverage outside 0..1, an unknown score, or no pixels.
    """
    values, truth = check_probabilities(proba, targets)
    if not 0 < coverage < 1:
        raise InputError(f"The coverage must be above 0 and below 1, such as 0.9, not {coverage:g}.")
    if not len(truth):
        raise InputError("Prediction sets need validation pixels; give the split some.")
    scores = nonconformity(values, _known(score))[np.arange(len(truth)), truth]
    if regions is None:
        return ConformalSets(_rank_quantile(scores, coverage), coverage, score, len(truth))
    members = np.asarray(regions)
    if members.shape != truth.shape:
        raise InputError(f"The regions must be one for each of {len(truth)} pixels, not {members.shape}.")
    members = np.unique(members, return_inverse=True)[1].ravel()
    sizes = np.bincount(members)
    groups = len(sizes)
    facts = (coverage, score, len(truth), groups)
    order = np.argsort(scores, kind="stable")
    reached = np.cumsum(1 / ((groups + 1) * sizes[members[order]])) >= coverage - 1e-12
    if reached.any():
        return ConformalSets(float(scores[order][reached.argmax()]), *facts, "hierarchical")
    own = [_rank_quantile(scores[members == group], coverage) for group in range(groups) if sizes[group] > 1]
    # Regions too small for a quantile of their own say nothing alone; all pixels together do.
    below = [one for one in own if one < EVERY_CLASS] or [_rank_quantile(scores, coverage)]
    return ConformalSets(max(below), *facts, "largest")


def conformal_threshold(
    proba: ArrayLike,
    targets: ArrayLike,
    coverage: float,
    *,
    regions: ArrayLike | None = None,
    score: str = "lac",
) -> float:
    """Return the threshold of `fit_sets`, for `prediction_sets`; arguments and errors as there."""
    return fit_sets(proba, targets, coverage, regions=regions, score=score).threshold


def prediction_sets(proba: ArrayLike, threshold: float, *, score: str = "lac") -> NDArray[np.bool_]:
    """Return which classes ``(..., C)`` are in the set of each pixel: those scored up to the threshold.

    The most likely class is always in, so that no set is empty; this can only raise the coverage.

    Raises
    ------
    InputError
        For an unknown score, or probabilities without classes.
    """
    _known(score)
    values = np.asarray(proba)
    if values.ndim == 0 or values.shape[-1] < 1:
        raise InputError(f"Probabilities must be (..., classes); these are {values.shape}.")
    rows = values.reshape(-1, values.shape[-1])
    sets = np.empty(rows.shape, bool)
    for start in range(0, len(rows), _CHUNK):
        some = rows[start : start + _CHUNK]
        part = nonconformity(some, score) <= threshold
        part[np.arange(len(some)), some.argmax(axis=1)] = True
        sets[start : start + _CHUNK] = part
    return sets.reshape(values.shape)


def nonconformity(proba: ArrayLike, score: str = "lac") -> Doubles:
    """Return how little each class fits each pixel, ``(n, C)`` from 0 to 1.

    "lac": ``1 - p`` (Sadinle, Lei and Wasserman, Least ambiguous set-valued classifiers, JASA 2019), which
    gives the smallest sets. "aps": the sum of the probabilities of all classes at least as likely (Romano,
    Sesia and Candes, Classification with valid and adaptive coverage, NeurIPS 2020, without their random
    part), which gives larger sets where the classifier doubts.
    """
    values = np.asarray(proba, np.float64)
    if score == "lac":
        return 1 - values
    order = np.argsort(-values, axis=1, kind="stable")
    sums = np.minimum(np.cumsum(np.take_along_axis(values, order, axis=1), axis=1), 1.0)
    scores = np.empty_like(sums)
    np.put_along_axis(scores, order, sums, axis=1)
    return scores


@dataclass(frozen=True)
class SetScores:
    """How prediction sets did on pixels whose classes are known.

    Attributes
    ----------
    pixels, coverage, size, single
        Number of pixels; share of them whose set holds the true class; mean number of classes in a set; share
        of sets of one class. NaN without pixels.
    by_region
        The same four of each region, by its number; empty without regions.
    """

    pixels: int
    coverage: float
    size: float
    single: float
    by_region: dict[int, tuple[int, float, float, float]]

    @property
    def lowest(self) -> float:
        """The lowest coverage of a region; that of all pixels without regions."""
        return min((one[1] for one in self.by_region.values()), default=self.coverage)

    @property
    def mean_of_regions(self) -> float:
        """The mean coverage of regions, each counted once; that of all pixels without regions."""
        found = [one[1] for one in self.by_region.values()]
        return sum(found) / len(found) if found else self.coverage

    def as_dict(self) -> dict[str, Any]:
        """Return the scores as JSON can hold them; None in place of NaN."""
        names = ("pixels", "coverage", "size", "single")
        found: dict[str, Any] = {name: getattr(self, name) for name in names}
        if not self.pixels:
            return {name: value if name == "pixels" else None for name, value in found.items()}
        if not self.by_region:
            return found
        rows = [{"region": key, **dict(zip(names, row, strict=True))} for key, row in self.by_region.items()]
        return {
            **found,
            "mean_of_regions": self.mean_of_regions,
            "lowest_of_regions": self.lowest,
            "regions": rows,
        }


def evaluate_sets(sets: ArrayLike, targets: ArrayLike, *, regions: ArrayLike | None = None) -> SetScores:
    """Measure coverage and size of sets ``(n, C)`` on pixels of true classes ``(n,)``, 0..C-1.

    Raises
    ------
    InputError
        For shapes that do not fit or classes outside 0..C-1.
    """
    members = np.asarray(sets, bool)
    _, truth = check_probabilities(members, targets)
    covered = members[np.arange(len(truth)), truth]
    size = members.sum(axis=1)

    def scores(some: Any) -> tuple[int, float, float, float]:
        n = len(covered[some])
        if not n:
            return 0, math.nan, math.nan, math.nan
        return n, float(covered[some].mean()), float(size[some].mean()), float((size[some] == 1).mean())

    by_region = {}
    if regions is not None:
        numbers = np.asarray(regions)
        if numbers.shape != truth.shape:
            raise InputError(f"The regions must be one for each of {len(truth)} pixels, not {numbers.shape}.")
        by_region = {int(number): scores(numbers == number) for number in np.unique(numbers)}
    return SetScores(*scores(slice(None)), by_region)


def _rank_quantile(scores: Doubles, coverage: float) -> float:
    """Return the ``ceil((n + 1) coverage)``-th smallest score, `EVERY_CLASS` beyond the last."""
    rank = math.ceil((len(scores) + 1) * coverage - 1e-9)  # 0.9 is a little less than nine tenths
    return EVERY_CLASS if rank > len(scores) else float(np.partition(scores, rank - 1)[rank - 1])


def _known(score: str) -> str:
    if score not in SCORES:
        raise InputError(f"The score of prediction sets must be one of {', '.join(SCORES)}, not '{score}'.")
    return score
