"""Whether networks differ from a rival by more than chance, from the scores of their repeated runs."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from experiments.pages.table import Cell
from hsi.comparison import corrected_t_test, holm


@dataclass(frozen=True)
class Verdict:
    """A network beside a rival on the same splits.

    Attributes
    ----------
    difference
        Mean difference of the score, network minus rival (fraction); NaN without common splits.
    p
        Two-sided p value of the corrected resampled t-test after Holm's correction; NaN where there are fewer
        than two common splits.
    splits
        Number of common splits.
    """

    difference: float
    p: float
    splits: int

    def shown(self, alpha: float = 0.05) -> bool:
        """Whether a difference is shown at this level."""
        return self.p <= alpha  # False for NaN


def against(rival: Cell, networks: Sequence[Cell], column: str = "oa") -> list[Verdict]:
    """Compare each network with the rival, by the splits that both were run on.

    The corrected resampled t-test (Nadeau and Bengio 2003) with the mean n_test / n_train of the common
    splits; p values are corrected for the number of networks by Holm 1979.
    """
    theirs = rival.by_split(column)
    tests = []
    for network in networks:
        ours = network.by_split(column)
        common = [split for split in ours if split in theirs]
        ratio = statistics.fmean(float(split[-1]) / float(split[-2]) for split in common) if common else 0
        differences = [ours[split] - theirs[split] for split in common]
        tests.append(corrected_t_test(differences, test_to_train=ratio) if common else None)
    nan = float("nan")
    corrected = holm([nan if test is None else test.p for test in tests])
    return [
        Verdict(nan, nan, 0) if test is None else Verdict(test.mean, float(p), test.count)
        for test, p in zip(tests, corrected, strict=True)
    ]
