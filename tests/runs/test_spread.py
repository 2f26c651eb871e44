"""Mean and spread of repeated runs."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hsi.runs.spread import SCORES, mean_and_std, spread_of


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_they_are_numpys_with_n_minus_1(values):
    mean, std = mean_and_std(values)
    assert mean == pytest.approx(np.mean(values))
    assert (std is None) == (len(values) == 1)
    if std is not None:
        assert std == pytest.approx(np.std(values, ddof=1), abs=1e-12)


def test_each_score_of_the_wanted_part():
    metrics = [
        {"test": dict.fromkeys(SCORES, value), "val": dict.fromkeys(SCORES, 9.0)} for value in (0.2, 0.4)
    ]
    spread = spread_of(metrics)
    assert set(spread) == set(SCORES)
    assert spread["aa"] == {"mean": pytest.approx(0.3), "std": pytest.approx(0.02**0.5)}
    metrics[0]["test"]["kappa"] = None
    assert spread_of(metrics)["kappa"] == {"mean": None, "std": None}
    assert spread_of(metrics)["oa"] == spread["oa"]
    with pytest.raises(ValueError, match="no value"):
        mean_and_std([])
