"""Growth as tables and sentences: exponents of time, work and memory, and what outgrows its work."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from benchmarks.growth.fit import (
    AS_WORK,
    FITTED_SHARE,
    LEAST_MB,
    MIN_MB,
    MIN_SIZES,
    TOLERANCE,
    UNCLEAR,
    Exponent,
    Growth,
)
from hsi.bench.setting import busy_warning, hardware_name
from hsi.bench.summary import Table, rounded


def growth_tables(growths: Sequence[Growth]) -> list[Table]:
    """Return one table for each axis."""
    columns = [
        ("series", False), ("sizes", False), ("time", True), ("work", True), ("time / work", True),
        ("memory", True), ("seconds", True), ("MB", True), ("time grows", False), ("memory grows", False),
    ]  # fmt: skip
    axes = dict.fromkeys(growth.axis for growth in growths)
    return [
        Table(
            f"Exponents along {axis}; seconds and MB at the largest size",
            columns,
            [_cells(growth) for growth in growths if growth.axis == axis],
        )
        for axis in axes
    ]


def findings(growths: Sequence[Growth]) -> list[str]:
    """Return sentences: which series outgrow their work, in time or memory, and how many do not."""
    sentences = []
    for what, verdict, excess in (
        ("Time", lambda growth: growth.verdict, lambda growth: growth.time_excess),
        ("Memory", lambda growth: growth.memory_verdict, lambda growth: growth.memory_excess),
    ):
        judged = [growth for growth in growths if verdict(growth) is not None]
        worse = [growth for growth in judged if verdict(growth) not in (AS_WORK, UNCLEAR)]
        unclear = [growth for growth in judged if verdict(growth) == UNCLEAR]
        good = len(judged) - len(worse) - len(unclear)
        sentence = f"{what}: {good} of {len(judged)} series grow as the work or less"
        if worse:
            sentence += f"; beyond it are {_listed(worse, excess)}"
        if unclear:
            sentence += f"; the measurements are too uneven to tell for {_listed(unclear, excess)}"
        sentences.append(sentence + ".")
    return sentences


def growth_conditions(machine: dict[str, Any], quick: bool) -> str:
    """Return one sentence on hardware, versions and date."""
    busy = busy_warning(machine)
    return (
        f"{hardware_name(machine)}, {machine['threads']} threads; {machine['precision']}, "
        f"torch {machine['torch']}, hsi {machine['hsi']}, Python {machine['python']}, {machine['date'][:10]}."
        f"{' A quick run: small sizes, few repeats.' if quick else ''}{f' {busy}' if busy else ''}"
    )


def as_json(growth: Growth) -> dict[str, Any]:
    """Return the fit of one series, ready for JSON."""

    def plain(exponent: Exponent | None) -> dict[str, float | None] | None:
        return None if exponent is None else {"exponent": exponent.slope, "standard_error": exponent.error}

    return {
        "axis": growth.axis,
        "series": growth.series,
        "fitted_sizes": [point.value for point in growth.fitted],
        "time": plain(growth.time),
        "work": plain(growth.work),
        "memory": plain(growth.memory),
        "time_over_work": plain(growth.time_excess),
        "memory_over_work": plain(growth.memory_excess),
        "time_grows": growth.verdict,
        "memory_grows": growth.memory_verdict,
    }


METHOD = (
    "The exponent b of size ** b is fitted to the smallest time of the repeats, and to the growth of peak "
    f"memory, by least squares on logarithms over the upper {100 * FITTED_SHARE:.0f} % of the sizes ("
    f"{MIN_SIZES} at least), with its standard error: at small sizes, what is always the same hides growth. "
    f"Time outgrows the work where the exponent of time / work is above {TOLERANCE:g} by two standard "
    f"errors. Memory below {MIN_MB:g} MB at all sizes, or below {LEAST_MB:g} MB at one, is not fitted."
)


def _cells(growth: Growth) -> list[str]:
    first, last = growth.points[0], growth.points[-1]
    return [
        growth.series,
        f"{first.value:,} to {last.value:,}",
        str(growth.time),
        f"{growth.work.slope:.2f}",
        str(growth.time_excess),
        "-" if growth.memory is None else str(growth.memory),
        f"{last.seconds_min:.3g}",
        rounded(last.peak_memory_mb),
        growth.verdict,
        growth.memory_verdict or "-",
    ]


def _listed(growths: Sequence[Growth], excess: Any) -> str:
    return ", ".join(f"{growth.series} along {growth.axis} ({excess(growth)} above)" for growth in growths)
