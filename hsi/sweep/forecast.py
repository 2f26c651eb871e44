"""What a sweep needs, before it starts: time for each run, memory, how many at a time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from hsi.errors import ConfigError, InputError, SceneNotFoundError
from hsi.runs.state import RunState
from hsi.sweep.engine import Engine
from hsi.sweep.estimate import Estimator, Rates, core_seconds, newest_bench, read_rates
from hsi.sweep.plan import PlannedRun
from hsi.sweep.sizes import Sizes
from hsi.sweep.workers import PROCESS_MB, Workers, need_mb


@dataclass(frozen=True)
class Forecast:
    """How a sweep will go: what is known of times, how many runs at a time, and what that rests on."""

    estimator: Estimator
    workers: Workers
    basis: str

    def seconds(self, run: PlannedRun) -> float | None:
        """Return about how many seconds a run takes; None where nothing is known."""
        known = self.estimator.core_seconds(run)
        return None if known is None else known / self.workers.threads

    def seconds_of(self, runs: Sequence[PlannedRun]) -> float | None:
        """Return about how many seconds several runs take together; None where nothing is known."""
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
    """Look at the runs that are to be made, at those that are finished, and at what `hsi bench` measured.

    Parameters
    ----------
    plan
        All runs of the experiment.
    chosen
        Those that are asked for; the finished ones among them need nothing.
    workers
        Runs at a time, or None.
    bench_folders
        Where results of `hsi bench` may lie.
    engine
        Where the runs will go on; default: on this machine.

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
        except SceneNotFoundError:  # a scene that is still to be downloaded
            guesses[run.key] = None
            continue
        except InputError as error:
            raise ConfigError(f"{run.key}: {error}") from None
        guesses[run.key] = core_seconds(run, size, rates)
        needs.append(need_mb(run, size, rates))
    estimator = Estimator(guesses)
    estimator.learn_finished(plan)
    chosen_workers = engine.places(workers, len(todo), max(needs), device)
    return Forecast(estimator, chosen_workers, _basis(estimator, todo, bench))


def _basis(estimator: Estimator, runs: Sequence[PlannedRun], bench: Path | None) -> str:
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
