"""Two contestants compared: differences, the tests over runs, fields and pixels, and which one decides."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hsi.comparison.contestants import SHOWN, Contestant, Matches, match_runs
from hsi.comparison.paired_fields import FieldTest, Ints, PairedPixels, field_test
from hsi.comparison.significance import McNemar, TTest, combine_by_rank, corrected_t_test, mcnemar
from hsi.errors import RunError

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Pair:
    """Two contestants compared on the runs that they share splits with; differences are first minus second.

    Attributes
    ----------
    first, second
        Their letters.
    runs, splits
        Number of matched pairs of runs, and of different splits among them.
    left_out
        Runs of the first and of the second without a partner.
    metric
        Tested metric: "oa", "aa" or "kappa" (McNemar's test: always OA).
    differences
        Mean difference of "oa", "aa", "kappa", fractions; each split has the same weight.
    over_runs
        The t-test over splits, corrected if `test_to_train` is at most 1; with one split, over its random
        starts. Splits with the same test pixels, such as those of a published mask, count as starts. NaN for
        one run.
    test_to_train, p_corrected
        ``n_test / n_train``, and p of the corrected t-test whatever that ratio; NaN unless there are several
        splits with different test pixels.
    over_fields
        The field test.
    over_pixels, p_pixels
        McNemar's test of each matched pair of runs, and their combined p value (`combine_by_rank`).
    recall_first, recall_second
        ``(C,)`` mean recall of each class over the matched runs; NaN for a class without test pixels.
    decided_by, p
        The deciding test and its p: "splits" (the corrected t-test), "fields and splits" or "fields and
        starts" (the larger p of two tests), or "fields".
    p_holm
        `p` after Holm's correction over all pairs of the comparison.
    verdict
        "A better", "B better" (with their letters) or "no difference shown".
    """

    first: str
    second: str
    runs: int
    splits: int
    left_out: tuple[int, int]
    metric: str
    differences: dict[str, float]
    over_runs: TTest
    test_to_train: float
    p_corrected: float
    over_fields: FieldTest
    over_pixels: tuple[McNemar, ...]
    p_pixels: float
    recall_first: Floats
    recall_second: Floats
    decided_by: str
    p: float
    p_holm: float = math.nan
    verdict: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return the pair for JSON, fractions; an undefined figure is NaN."""
        runs, fields = self.over_runs, self.over_fields
        return {
            "first": self.first,
            "second": self.second,
            "runs": self.runs,
            "splits": self.splits,
            "left_out": list(self.left_out),
            "metric": self.metric,
            "differences": self.differences,
            "interval": [runs.low, runs.high],
            "over_runs": {
                "p": runs.p,
                "count": runs.count,
                "n_test_over_n_train": self.test_to_train,
                "p_corrected": self.p_corrected,
            },
            "over_fields": {
                "p": fields.p,
                "fields": fields.fields,
                "differing": fields.differing,
                "smallest_p": fields.smallest,
            },
            "mcnemar": {
                "p": self.p_pixels,
                "runs": [
                    {"first_only": test.first_only, "second_only": test.second_only, "p": test.p}
                    for test in self.over_pixels
                ],
            },
            "recall": {
                "first": self.recall_first.tolist(),
                "second": self.recall_second.tolist(),
                "difference": (self.recall_first - self.recall_second).tolist(),
            },
            "decided_by": self.decided_by,
            "p": self.p,
            "p_holm": self.p_holm,
            "verdict": self.verdict,
        }


def compare_pair(first: Contestant, second: Contestant, fields: Ints, metric: str, alpha: float) -> Pair:
    """Compare two contestants; `fields` numbers the field of each pixel of the scene, row-major.

    Raises
    ------
    RunError
        When they have no split in common.
    """
    matches = match_runs(first.results, second.results)
    if not matches:
        raise RunError(
            f"'{first.path}' and '{second.path}' have no run on the same train and test pixels, so their "
            "scores cannot be compared; train both with the same seed and split options, or with one --split "
            "FILE."
        )
    pairs = [pair for of_split in matches.values() for pair in of_split]
    # Each split has the same weight, however many random starts it has.
    weights = np.array(
        [1 / (len(matches) * len(of_split)) for of_split in matches.values() for _ in of_split]
    )
    classes = len(first.results[0].scores.recall)
    differences = {
        name: float(sum(w * _difference(pair, name) for w, pair in zip(weights, pairs, strict=True)))
        for name in SHOWN
    }
    over_runs, test_to_train, p_corrected = _over_runs(matches, metric, alpha)
    over_fields = field_test(
        [
            PairedPixels(fields[one.pixels], one.truth, one.predicted, two.predicted, float(weight))
            for (one, two), weight in zip(pairs, weights, strict=True)
        ],
        classes,
        metric,
    )
    over_pixels = tuple(mcnemar(one.truth, one.predicted, two.predicted) for one, two in pairs)
    decided_by, p = _decide(test_to_train, over_runs.p, over_fields.p)
    return Pair(
        first=first.letter,
        second=second.letter,
        runs=len(pairs),
        splits=len(matches),
        left_out=(len(first.results) - len(pairs), len(second.results) - len(pairs)),
        metric=metric,
        differences=differences,
        over_runs=over_runs,
        test_to_train=test_to_train,
        p_corrected=p_corrected,
        over_fields=over_fields,
        over_pixels=over_pixels,
        p_pixels=combine_by_rank([test.p for test in over_pixels]),
        recall_first=_mean_recall([one.scores.recall for one, _ in pairs], weights),
        recall_second=_mean_recall([two.scores.recall for _, two in pairs], weights),
        decided_by=decided_by,
        p=p,
    )


def _difference(pair: tuple[Any, Any], metric: str) -> float:
    return float(getattr(pair[0].scores, metric) - getattr(pair[1].scores, metric))


def _over_runs(matches: Matches, metric: str, alpha: float) -> tuple[TTest, float, float]:
    """Return the t-test, n_test / n_train, and p of the corrected t-test.

    Random starts on one split are independent: nothing to correct. Several splits share pixels; the
    correction for that assumes far more training than test pixels. With more test than training pixels it
    widens the interval beyond use, so the plain t-test is used, which is about other splits of the same
    scene, and the verdict also needs the field test. Splits of one mask share all test pixels and differ only
    in validation pixels, so the correction, made for test pixels drawn anew, does not apply.
    """
    if len(matches) == 1:
        (of_split,) = matches.values()
        starts = corrected_t_test([_difference(pair, metric) for pair in of_split], alpha=alpha)
        return starts, math.nan, math.nan
    means = [np.mean([_difference(pair, metric) for pair in of_split]) for of_split in matches.values()]
    tested = [pairs[0][0].pixels for pairs in matches.values()]
    if all(np.array_equal(tested[0], others) for others in tested[1:]):
        return corrected_t_test(means, alpha=alpha), math.nan, math.nan
    ratio = float(np.mean([len(pairs[0][0].pixels) / pairs[0][0].train_pixels for pairs in matches.values()]))
    corrected = corrected_t_test(means, test_to_train=ratio, alpha=alpha)
    return corrected if ratio <= 1 else corrected_t_test(means, alpha=alpha), ratio, corrected.p


def _decide(test_to_train: float, p_runs: float, p_fields: float) -> tuple[str, float]:
    """Return the deciding test, and its p value.

    The corrected t-test asks whether the difference holds for other training and test pixels. Where it does
    not apply, both the field test and the t-test over splits or starts must show a difference: the larger p
    is valid for the null hypothesis that one of the two is chance.
    """
    if math.isnan(p_runs):
        return "fields", p_fields
    if test_to_train <= 1:
        return "splits", p_runs
    return "fields and starts" if math.isnan(test_to_train) else "fields and splits", max(p_fields, p_runs)


def _mean_recall(recalls: list[Floats], weights: Floats) -> Floats:
    """Average recall over runs, without those where a class has no test pixels."""
    stacked = np.stack(recalls)
    seen = ~np.isnan(stacked)
    share = (weights[:, None] * seen).sum(axis=0)
    total = (weights[:, None] * np.where(seen, stacked, 0)).sum(axis=0)
    return np.asarray(np.where(share > 0, total / np.where(share > 0, share, 1), np.nan))
