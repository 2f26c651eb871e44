"""Networks beside a rival, from the rows of a CSV."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from experiments.pages.significance import against
from experiments.pages.table import Cell


def cell(label, values, seeds=None, train=100, test=300, scheme="random"):
    rows = [
        {
            "scheme": scheme,
            "guard": "",
            "split_mask": "",
            "seed": str(seed),
            "fold": "",
            "train_pixels": str(train),
            "test_pixels": str(test),
            "oa": f"{oa:.6f}",
        }
        for seed, oa in zip(seeds or range(len(values)), values, strict=True)
    ]
    return Cell("s", "p", label, tuple({**row, "kind": "network"} for row in rows))


def test_against_the_formula():
    rival, first, second = (
        cell("r", [0.80, 0.82, 0.81]),
        cell("a", [0.90, 0.93, 0.91]),
        cell("b", [0.79, 0.84, 0.81]),
    )

    def plain(ours):
        differences = np.array(ours.values("oa")) - np.array(rival.values("oa"))
        error = math.sqrt(differences.var(ddof=1) * (1 / 3 + 300 / 100))
        return differences.mean(), 2 * stats.t.sf(abs(differences.mean()) / error, 2)

    made = against(rival, [first, second])
    (mean_a, p_a), (mean_b, p_b) = plain(first), plain(second)
    assert [verdict.difference for verdict in made] == pytest.approx([mean_a, mean_b])
    assert made[0].p == pytest.approx(2 * p_a)  # Holm: the smaller of two
    assert made[1].p == pytest.approx(max(2 * p_a, p_b))
    assert made[0].shown(2 * p_a + 1e-9)
    assert not made[0].shown(2 * p_a - 1e-9)


def test_only_common_splits_count():
    rival = cell("r", [0.8, 0.82, 0.81])
    (verdict,) = against(rival, [cell("a", [0.9, 0.1], seeds=[2, 7])])
    assert (verdict.splits, verdict.difference) == (1, pytest.approx(0.09))
    assert math.isnan(verdict.p)
    assert not verdict.shown()
    for other in ({"test": 301}, {"scheme": "disjoint"}):
        (verdict,) = against(rival, [cell("a", [0.9, 0.9, 0.9], **other)])
        assert verdict.splits == 0
        assert math.isnan(verdict.difference)
