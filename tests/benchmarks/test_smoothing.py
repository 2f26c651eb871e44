"""The table of smoothing: every method has a time and a memory, and the map it smooths is one."""

from __future__ import annotations

import numpy as np

from benchmarks.smoothing import METHODS, a_map, table
from hsi.smoothing.choice import Smoothing


def test_each_method_has_its_row():
    head, _, *rows, _, foot = table(40, 3, 2, rounds=1)
    assert "40 x 40 pixels, 3 classes, 2 components" in head
    assert [row.split(" | ")[0].strip("| ") for row in rows] == [str(Smoothing(name)) for name in METHODS]
    for row in rows:
        seconds, megabytes = row.strip("| ").split(" | ")[1:]
        assert float(seconds) >= 0
        assert megabytes == "" or float(megabytes) >= 0
    assert foot.startswith("Smallest of 1")


def test_the_map_has_probabilities_in_three_groups():
    made = a_map(130, 4, 2)
    np.testing.assert_allclose(made.proba.sum(axis=2), 1, atol=1e-6)
    assert set(np.unique(made.groups)) == {1, 2, 3}
