"""How long a sweep will still take."""

from __future__ import annotations

from collections.abc import Sequence

from hsi.sweep.estimate import Estimator
from hsi.sweep.going import Going
from hsi.sweep.plan import PlannedRun


def time_left(
    estimator: Estimator,
    running: Sequence[Going],
    waiting: Sequence[PlannedRun],
    *,
    cores: int,
    threads: int,
) -> float | None:
    """Return the seconds until all is done that has an estimate, or None where nothing has.

    The core-seconds that are left are shared by all cores; but no run ends before its own are over.

    Parameters
    ----------
    running, waiting
        What goes on now; what comes after it.
    cores
        How many work on the sweep together: those of all running runs.
    threads
        Of one run.
    """
    if estimator.total([*(child.run for child in running), *waiting]) is None:
        return None
    rest = [max(0.0, _whole(estimator, child.run) - child.seconds * threads) for child in running]
    later = estimator.total(waiting) or 0.0
    return max([(sum(rest) + later) / cores, *(seconds / threads for seconds in rest)])


def _whole(estimator: Estimator, run: PlannedRun) -> float:
    return estimator.core_seconds(run) or 0.0
