"""`hsi sweep`: the runs of an experiment file."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from shutil import rmtree
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hsi.commands import options as o

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hsi.sweep.execute import Engine, SweepResult
    from hsi.sweep.forecast import Forecast
    from hsi.sweep.plan import PlannedRun


def sweep(
    experiment: Annotated[Path, typer.Argument(help="An experiment file (TOML).", show_default=False)],
    only: Annotated[
        list[str] | None,
        typer.Option(
            help="Only runs like SCENE/PROTOCOL/MODEL/seedN; * matches anything; can be repeated.",
            metavar="PATTERN",
            show_default=False,
        ),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(help="Runs at a time. Default: by cores and memory.", metavar="N", show_default=False),
    ] = None,
    max_minutes: Annotated[
        float | None,
        typer.Option(help="Stop after this time; the same command resumes.", metavar="X", show_default=False),
    ] = None,
    rerun: Annotated[
        bool,
        typer.Option(
            "--rerun",
            help="Train every run here, also if the table has its results or its options changed.",
        ),
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="List the runs and about how long they take; train nothing.")
    ] = False,
    results: Annotated[
        Path | None,
        typer.Option(
            help="CSV of the results. Default: results/NAME.csv beside the file.",
            metavar="FILE",
            show_default=False,
        ),
    ] = None,
    engine: o.EngineOption = "local",
    data_root: o.DataRoot = None,
    json: o.Json = False,
) -> None:
    """Train every network on every scene that an experiment file names, and write a table of the results.

    Finished runs are skipped, also those of other machines if the table has their rows; interrupted ones are
    resumed; a failed one stops no other. Run folders are runs/sweeps/NAME/SCENE/PROTOCOL/MODEL/seedN.

    Run folders with other options than the file asks for are refused unless --rerun is given, which trains
    them again, and drops rows of the table that the file no longer asks for. Runs finished here with the
    same options are kept, so that an interrupted --rerun can be given again.

    \b
      hsi sweep experiments/real_small.toml --dry-run
      hsi sweep experiments/real_small.toml
      hsi sweep experiments/real_small.toml --only 'indian-mnf/random'

    On a Ray cluster, whose address is in RAY_ADDRESS:

    \b
      hsi sweep experiments/real_small.toml --engine ray
    """
    from hsi.commands import screen
    from hsi.commands.options import check_engine, runs_on
    from hsi.errors import ConfigError, HsiError, Interrupted, SceneNotFoundError
    from hsi.io.files import clear_unfinished
    from hsi.io.locks import remove_stale_run_lock, sweep_lock
    from hsi.runs.status import RunState
    from hsi.sweep.execute import SweepResult
    from hsi.sweep.experiment import read_experiment
    from hsi.sweep.forecast import forecast
    from hsi.sweep.plan import CHANGED, check_options, check_scenes, make_plan, run_status, select
    from hsi.sweep.results import check_table, recorded_rows, write_results

    if max_minutes is not None and not max_minutes > 0:
        raise ConfigError(f"max-minutes must be a positive number, not {max_minutes:g}.")
    check_engine(engine)
    read = read_experiment(experiment)
    plan = make_plan(read)
    chosen = select(plan, only or ())
    table = results or read.path.parent / "results" / f"{read.name}.csv"
    folders = (table.parent, Path("experiments") / "results")
    elsewhere = set() if rerun else set(recorded_rows(plan, table))

    def is_done(run: PlannedRun) -> bool:
        if run.state is RunState.DONE:
            return not rerun or run.changed_option() is None
        return run.key in elsewhere

    todo = [run for run in chosen if not is_done(run)]
    try:
        check_scenes(todo, data_root)
    except SceneNotFoundError as error:
        if not dry_run:
            raise
        screen.note(str(error))
    if dry_run:
        states = {run.key: run_status(run, elsewhere) for run in chosen}
        count = list(states.values()).count(CHANGED)
        if count and not rerun:
            screen.note(
                f"{count} of {len(chosen)} runs were trained with other options than the experiment asks "
                "for now; --rerun trains them again."
            )
        with runs_on(engine if todo else "local") as place:
            expected = forecast(
                plan, chosen, workers, data_root=data_root, bench_folders=folders, engine=place
            )
        _show_plan(chosen, states, todo, expected, json)
        return
    result = SweepResult()
    home = chosen[0].folder.parents[3]
    with runs_on(engine if todo else "local") as place:
        expected = forecast(plan, chosen, workers, data_root=data_root, bench_folders=folders, engine=place)
        with sweep_lock(home) if todo or home.is_dir() else nullcontext() as lock, place.sharing(home):
            changed = check_options(plan, rerun=rerun, chosen=chosen)
            check_table(plan, table, rerun=rerun, chosen=chosen)
            for run in changed:  # only now, when nothing is refused any more
                rmtree(run.folder)
            # Another sweep may have finished some since.
            todo = [run for run in chosen if not is_done(run)]
            skipped = len(chosen) - len(todo)
            if skipped:
                screen.note(f"{skipped} of {len(chosen)} runs are done already.")
            clear_unfinished(table.parent, table.name)
            for run in chosen:
                remove_stale_run_lock(run.folder)
            try:
                if todo:
                    screen.note(f"{expected.workers}.")
                    result = _run(plan, todo, expected, table, data_root, max_minutes, lock, place)
            except KeyboardInterrupt:
                raise Interrupted("Interrupted; the same command resumes.") from None
            finally:
                write_results(plan, table)
    if json:
        states = {run.key: run_status(run, elsewhere) for run in chosen}
        screen.print_json(_summary(chosen, states, result, table))
    else:
        _print_result(result, skipped, table)
    if result.failed:
        raise HsiError(f"{len(result.failed)} of {len(todo)} runs failed; the same command tries them again.")


def _run(
    plan: Sequence[PlannedRun],
    todo: Sequence[PlannedRun],
    expected: Forecast,
    table: Path,
    data_root: Path | None,
    max_minutes: float | None,
    lock: int | None,
    engine: Engine,
) -> SweepResult:
    """Execute the runs to do, and write the table after each."""
    from hsi.commands.progress import SweepProgress
    from hsi.io.signals import sigterm_as_ctrl_c
    from hsi.sweep.execute import RunHandle, execute
    from hsi.sweep.results import write_results

    rows: dict[str, dict[str, str]] = {}  # cache of `write_results`

    class Display(SweepProgress):
        def finished(self, handle: RunHandle) -> None:
            super().finished(handle)
            write_results(plan, table, rows)

    count, threads = expected.workers.count, expected.workers.threads
    with (
        sigterm_as_ctrl_c(),
        Display(len(todo), count * threads, threads, expected.estimator) as display,
    ):
        return execute(
            todo,
            workers=count,
            threads=threads,
            data_root=data_root,
            callback=display,
            max_seconds=None if max_minutes is None else 60 * max_minutes,
            lock=lock,
            engine=engine,
        )


def _show_plan(
    chosen: Sequence[PlannedRun],
    states: dict[str, str],
    todo: Sequence[PlannedRun],
    expected: Forecast,
    json: bool,
) -> None:
    from hsi.commands import screen
    from hsi.commands.progress import in_words

    if json:
        screen.print_json(
            {
                "runs": [
                    {"run": run.key, "state": states[run.key], "seconds": expected.seconds(run)}
                    for run in chosen
                ],
                "todo": len(todo),
                "workers": expected.workers.count,
                "threads": expected.workers.threads,
                "seconds": expected.seconds_of(todo),
                "basis": expected.basis,
            }
        )
        return
    rows = [
        [run.key, states[run.key], "-" if (took := expected.seconds(run)) is None else in_words(took)]
        for run in chosen
    ]
    columns = [("run", False), ("state", False), ("about", True)]
    screen.out().print(screen.table(f"{len(chosen)} runs, {len(todo)} to do", columns, rows))
    whole = expected.seconds_of(todo)
    together = "no estimate" if whole is None else f"about {in_words(whole)}"
    sentence = f"To do: {together}; {expected.workers}. {expected.basis}"
    screen.out().print(sentence, highlight=False, markup=False)


def _print_result(result: SweepResult, skipped: int, table: Path) -> None:
    from hsi.commands import screen

    out = screen.out()
    parts = [f"Runs: {len(result.done)} made", f"{skipped} done before"]
    if result.left:
        parts.append(f"{len(result.left)} left (the same command resumes them)")
    out.print("; ".join(parts) + ".", highlight=False, markup=False)
    for run, reason in result.failed:
        log = run.folder.with_name(run.name + ".log")
        out.print(f"Failed: {run.key}: {reason} (see {log})", highlight=False, markup=False, soft_wrap=True)
    if table.is_file():
        out.print(f"Results: {table}", highlight=False, markup=False, soft_wrap=True)


def _summary(
    chosen: Sequence[PlannedRun], states: dict[str, str], result: SweepResult, table: Path
) -> dict[str, Any]:
    return {
        "runs": [{"run": run.key, "folder": str(run.folder), "state": states[run.key]} for run in chosen],
        "done": [run.key for run in result.done],
        "failed": [{"run": run.key, "reason": reason} for run, reason in result.failed],
        "left": [run.key for run in result.left],
        "results": str(table),
    }
