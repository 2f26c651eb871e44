"""Forecast of a sweep: time of each run, runs at a time, and the time left while it runs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from hsi.errors import ConfigError, InputError, SceneNotFoundError
from hsi.runs.status import RunState
from hsi.sweep.estimate import Rates, RuntimeEstimator, Sizes, core_seconds, newest_bench, read_rates
from hsi.sweep.execute import Engine, RunHandle
from hsi.sweep.plan import PlannedRun
from hsi.sweep.workers import PROCESS_MB, Workers, need_mb


def time_left(
    estimator: RuntimeEstimator,
    running: Sequence[RunHandle],
    waiting: Sequence[PlannedRun],
    *,
    cores: int,
    threads: int,
) -> float | None:
    """Return the seconds until all runs with an estimate are done, or None if none has one.

    The core-seconds left are shared by all `cores`, but no run ends before its own are over. `threads` is the
    number of threads of one run.
    """
    if estimator.total([*(handle.run for handle in running), *waiting]) is None:
        return None
    rest = [
        max(0.0, (estimator.core_seconds(handle.run) or 0.0) - handle.seconds * threads) for handle in running
    ]
    later = estimator.total(waiting) or 0.0
    return max([(sum(rest) + later) / cores, *(seconds / threads for seconds in rest)])


@dataclass(frozen=True)
class Forecast:
    """Estimated times, workers, and in words what the estimates are based on."""

    estimator: RuntimeEstimator
    workers: Workers
    basis: str

    def seconds(self, run: PlannedRun) -> float | None:
        """Return the estimated seconds of a run, or None."""
        known = self.estimator.core_seconds(run)
        return None if known is None else known / self.workers.threads

    def seconds_of(self, runs: Sequence[PlannedRun]) -> float | None:
        """Return the estimated seconds of several runs together, or None."""
        total = self.estimator.total(runs)
        return None if total is None else total / (self.workers.count * self.workers.threads)


def forecast(
    plan: Iterable[PlannedRun],
    chosen: Sequence[PlannedRun],
    workers: int | None,
    *,
    data_root: str | Path | None = None,
    bench_folders: Iterable[Path] = (),
    engine: Engine | None = None,
) -> Forecast:
    """Forecast the `chosen` runs of a plan from finished runs and results of `hsi bench`.

    Parameters
    ----------
    workers
        Runs at a time, or None to choose.
    bench_folders
        Where results of `hsi bench` may lie.
    engine
        Where the runs are executed; default: this machine.

    Raises
    ------
    InputError
        For a scene or a size that cannot work (the message names the run), or `workers` below one.
    """
    todo = [run for run in chosen if run.state is not RunState.DONE]
    engine = engine or Engine()
    device = engine.device(todo)
    bench = newest_bench(bench_folders, device)
    rates = read_rates(bench) if bench is not None else Rates()
    sizes = Sizes(data_root)
    guesses: dict[str, float | None] = {}
    needs = [PROCESS_MB]
    for run in todo:
        try:
            size = sizes.of(run)
        except SceneNotFoundError:  # not downloaded yet
            guesses[run.key] = None
            continue
        except InputError as error:
            raise ConfigError(f"{run.key}: {error}") from None
        guesses[run.key] = core_seconds(run, size, rates)
        needs.append(need_mb(run, size, rates))
    estimator = RuntimeEstimator(guesses)
    estimator.learn_finished(plan)
    workers_chosen = engine.places(workers, len(todo), max(needs), device)
    return Forecast(estimator, workers_chosen, _basis(estimator, todo, bench))


def _basis(estimator: RuntimeEstimator, runs: Sequence[PlannedRun], bench: Path | None) -> str:
    """Say what the estimates rest on."""
    unknown = sum(estimator.core_seconds(run) is None for run in runs)
    rated = sum(not estimator.taken[run.cell] and estimator.guesses[run.key] is not None for run in runs)
    like = len(runs) - unknown - rated
    parts = []
    if like:
        parts.append(f"{like} by finished runs like them")
    if rated:
        parts.append(f"{rated} by the rates in {bench}")
    if unknown:
        parts.append(f"{unknown} not at all, so they are not in the sum")
    return f"Estimated: {', '.join(parts)}." if parts else ""
