"""Exponents against SciPy's regression, and their verdicts."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from benchmarks.growth.fit import (
    AS_WORK,
    FASTER,
    LESS_THAN_WORK,
    UNCLEAR,
    Exponent,
    fit_exponent,
    fit_growth,
    verdict_on,
)
from benchmarks.growth.points import Point
from benchmarks.growth.report import findings, growth_tables


def points(series, sizes, seconds, *, work=float, memory=lambda size: 100.0, axis="pixels"):
    return [
        Point(axis, series, size, work(size), "pixels", seconds(size), 2 * seconds(size), 3, memory(size))
        for size in sizes
    ]


@given(
    st.lists(
        st.tuples(st.integers(1, 10**6), st.floats(1e-6, 1e6)),
        min_size=3,
        max_size=8,
        unique_by=lambda p: p[0],
    )
)
def test_slope_and_error_are_those_of_a_regression(pairs):
    sizes, measured = zip(*pairs, strict=True)
    expected = stats.linregress([math.log(x) for x in sizes], [math.log(y) for y in measured])
    found = fit_exponent(sizes, measured)
    assert found.slope == pytest.approx(expected.slope, rel=1e-6, abs=1e-9)
    assert found.error == pytest.approx(expected.stderr, rel=1e-4, abs=1e-6)


def test_two_sizes_leave_no_error():
    assert fit_exponent([1, 2], [8.0, 2.0]) == Exponent(-2.0, None)
    assert str(Exponent(-2.0, None)) == "-2.00"
    assert str(Exponent(1.234, 0.056)) == "1.23 ± 0.06"


@pytest.mark.parametrize(
    ("slope", "error", "work", "verdict"),
    [
        (0.14, 0.0, 1.0, AS_WORK),
        (-0.9, 0.5, 1.0, AS_WORK),
        (0.3, 0.05, 1.0, FASTER),
        (0.3, 0.1, 1.0, UNCLEAR),
        (0.3, None, 1.0, FASTER),
        (0.3, None, -1.0, LESS_THAN_WORK),
    ],
)
def test_verdicts(slope, error, work, verdict):
    assert verdict_on(Exponent(slope, error), Exponent(work, 0.0)) == verdict


def test_only_upper_sizes_are_fitted():
    sizes = (10, 100, 1000, 10_000, 100_000)
    (growth,) = fit_growth(points("a", reversed(sizes), lambda n: 1.0 if n < 1000 else n**1.5))
    assert [point.value for point in growth.points] == list(sizes)
    assert [point.value for point in growth.fitted] == [1000, 10_000, 100_000]
    assert growth.time.slope == pytest.approx(1.5)
    assert growth.work.slope == pytest.approx(1.0)
    assert growth.time_excess.slope == pytest.approx(0.5)
    assert growth.verdict == FASTER
    assert growth.memory is not None
    assert growth.memory.slope == pytest.approx(0.0)
    assert growth.memory_verdict == AS_WORK


def test_time_that_grows_as_the_work():
    (growth,) = fit_growth(points("a", (10, 20, 40), lambda n: n**2.0, work=lambda n: n**2.0))
    assert growth.time.slope == pytest.approx(2.0)
    assert growth.verdict == AS_WORK


@pytest.mark.parametrize("memory", [lambda size: None, lambda size: 0.0, lambda size: 0.001 * size])
def test_too_little_memory_is_not_fitted(memory):
    (growth,) = fit_growth(points("a", (10, 20, 40), float, memory=memory))
    assert growth.memory is None
    assert growth.memory_verdict is None


def test_one_size_of_hardly_any_memory_makes_no_exponent():
    used = {7: 11.2, 9: 12.5, 11: 0.18, 13: 17.2, 17: 16.2}
    (growth,) = fit_growth(points("a", tuple(used), float, memory=used.get))
    assert growth.memory is None
    used[11] = 14.0
    (growth,) = fit_growth(points("a", tuple(used), float, memory=used.get))
    assert growth.memory is not None
    assert growth.memory.slope == pytest.approx(0.3, abs=0.3)


def test_single_size_is_not_fitted():
    assert fit_growth(points("a", (10,), float)) == []


def test_findings_name_what_outgrows_its_work():
    sizes = (10, 100, 1000)
    growths = fit_growth(
        [
            *points("good", sizes, float),
            *points("slow", sizes, lambda n: n**2.0),
            *points("fat", sizes, float, memory=lambda n: n**1.5),
        ]
    )
    time, memory = findings(growths)
    assert time.startswith("Time: 2 of 3 series grow as the work or less; ")
    assert time.endswith("beyond it are slow along pixels (1.00 ± 0.00 above).")
    assert "beyond it are fat along pixels (0.50 ± 0.00 above)." in memory
    (table,) = growth_tables(growths)
    assert [cells[0] for cells in table.cells] == ["good", "slow", "fat"]
    assert all(len(cells) == len(table.columns) for cells in table.cells)
    assert table.cells[1][1:5] == ["10 to 1,000", "2.00 ± 0.00", "1.00", "1.00 ± 0.00"]
