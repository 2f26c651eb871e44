"""`hsi sweep`: the runs of an experiment file, one after the other or several at a time."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hsi.commands import options as o

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hsi.sweep.execute import Engine, Outcome
    from hsi.sweep.forecast import Forecast
    from hsi.sweep.plan import PlannedRun


def sweep(
    experiment: Annotated[Path, typer.Argument(help="An experiment file (TOML).", show_default=False)],
    only: Annotated[
        list[str] | None,
        typer.Option(
            help="Only runs like SCENE/PROTOCOL/MODEL/seedN; * fits anything; can be repeated.",
            show_default=False,
        ),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(help="Runs at a time; default: by cores and memory.", show_default=False)
    ] = None,
    max_minutes: Annotated[
        float | None,
        typer.Option(help="Stop after so long; the same command goes on later.", show_default=False),
    ] = None,
    replace: Annotated[
        bool,
        typer.Option("--replace", help="Train changed runs anew; drop rows that nobody asks for."),
    ] = False,
    here: Annotated[
        bool,
        typer.Option("--here", help="Train here too what the table has from other machines."),
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="List the runs and about how long they take; train nothing.")
    ] = False,
    results: Annotated[
        Path | None,
        typer.Option(
            help="CSV of the results; default: results/NAME.csv beside the file.", show_default=False
        ),
    ] = None,
    engine: o.EngineOption = "local",
    data_root: o.DataRoot = None,
    json: o.Json = False,
) -> None:
    """Train every network on every scene that an experiment file names, and write a table of the results.

    What is done is skipped, here or on another machine if the table has its row; what was interrupted goes
    on; what fails stops none of the others. Run folders are runs/sweeps/NAME/SCENE/PROTOCOL/MODEL/seedN.

    \b
      hsi sweep experiments/real_small.toml --dry-run
      hsi sweep experiments/real_small.toml
      hsi sweep experiments/real_small.toml --only 'indian-mnf/random' --max-minutes 55
      RAY_ADDRESS=head:6379 hsi sweep experiments/real_small.toml --engine ray
    """
    from hsi.commands import screen
    from hsi.commands.options import check_engine, runs_on
    from hsi.errors import ConfigError, HsiError, Interrupted, SceneNotFoundError
    from hsi.io.files import clear_unfinished
    from hsi.io.locks import locked, tidy
    from hsi.runs.status import RunState
    from hsi.sweep.execute import Outcome
    from hsi.sweep.experiment import read_experiment
    from hsi.sweep.forecast import forecast
    from hsi.sweep.plan import CHANGED, check_options, check_scenes, make_plan, select, standing
    from hsi.sweep.results import check_table, recorded_rows, write_results

    if max_minutes is not None and not max_minutes > 0:
        raise ConfigError(f"max-minutes must be a positive number, not {max_minutes:g}.")
    check_engine(engine)
    read = read_experiment(experiment)
    plan = make_plan(read)
    chosen = select(plan, only or ())
    table = results or read.path.parent / "results" / f"{read.name}.csv"
    folders = (table.parent, Path("experiments") / "results")
    elsewhere = set() if here else set(recorded_rows(plan, table))

    def is_done(run: PlannedRun) -> bool:
        return run.state is RunState.DONE or run.key in elsewhere

    todo = [run for run in chosen if not is_done(run)]
    try:
        check_scenes(todo, data_root)
    except SceneNotFoundError as error:
        if not dry_run:
            raise
        screen.note(str(error))
    if dry_run:
        words = {run.key: standing(run, elsewhere) for run in chosen}
        changed = sum(word == CHANGED for word in words.values())
        if replace:
            todo = [run for run in chosen if words[run.key] == CHANGED or not is_done(run)]
        elif changed:
            screen.note(
                f"{changed} of {len(chosen)} runs were trained with other options than the experiment asks "
                "for now; --replace trains them anew."
            )
        with runs_on(engine if todo else "local") as place:
            seen = forecast(plan, chosen, workers, data_root=data_root, bench_folders=folders, engine=place)
        _show_plan(chosen, words, todo, seen, json)
        return
    outcome = Outcome()
    home = chosen[0].folder.parents[3]
    with runs_on(engine if todo else "local") as place:
        seen = forecast(plan, chosen, workers, data_root=data_root, bench_folders=folders, engine=place)
        with locked(home) if todo or home.is_dir() else nullcontext() as lock, place.sharing(home):
            check_options(plan, replace=replace, chosen=chosen)
            check_table(plan, table, replace=replace)
            # Another sweep may have been at work until now.
            todo = [run for run in chosen if not is_done(run)]
            skipped = len(chosen) - len(todo)
            if skipped:
                screen.note(f"{skipped} of {len(chosen)} runs are done already.")
            clear_unfinished(table.parent, table.name)
            for run in chosen:
                tidy(run.folder)
            try:
                if todo:
                    screen.note(f"{seen.workers.why}, {_threads(seen.workers.threads)} each.")
                    outcome = _run(plan, todo, seen, table, data_root, max_minutes, lock, place)
            except KeyboardInterrupt:
                raise Interrupted("Interrupted; the same command goes on with what is left.") from None
            finally:
                write_results(plan, table)
    if json:
        words = {run.key: standing(run, elsewhere) for run in chosen}
        screen.print_json(_summary(chosen, words, outcome, table))
    else:
        _say_outcome(outcome, skipped, table)
    if outcome.failed:
        raise HsiError(
            f"{len(outcome.failed)} of {len(todo)} runs failed; the same command tries them again."
        )


def _run(
    plan: Sequence[PlannedRun],
    todo: Sequence[PlannedRun],
    seen: Forecast,
    table: Path,
    data_root: Path | None,
    max_minutes: float | None,
    lock: int | None,
    engine: Engine,
) -> Outcome:
    """Execute what is to do, writing the table after each run."""
    from hsi.commands.progress import SweepProgress
    from hsi.io.signals import stopped_like_ctrl_c
    from hsi.sweep.execute import RunHandle, execute
    from hsi.sweep.results import write_results

    rows: dict[str, dict[str, str]] = {}  # of folders that were read already

    class Display(SweepProgress):
        def finished(self, child: RunHandle) -> None:
            super().finished(child)
            write_results(plan, table, rows)

    count, threads = seen.workers.count, seen.workers.threads
    with (
        stopped_like_ctrl_c(),
        Display(len(todo), count * threads, threads, seen.estimator) as display,
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
    words: dict[str, str],
    todo: Sequence[PlannedRun],
    seen: Forecast,
    json: bool,
) -> None:
    from hsi.commands import screen
    from hsi.commands.progress import in_words

    if json:
        screen.print_json(
            {
                "runs": [
                    {"run": run.key, "state": words[run.key], "seconds": seen.seconds(run)} for run in chosen
                ],
                "todo": len(todo),
                "workers": seen.workers.count,
                "threads": seen.workers.threads,
                "seconds": seen.seconds_of(todo),
                "basis": seen.basis,
            }
        )
        return
    rows = [
        [run.key, words[run.key], "-" if (took := seen.seconds(run)) is None else in_words(took)]
        for run in chosen
    ]
    columns = [("run", False), ("state", False), ("about", True)]
    screen.out().print(screen.table(f"{len(chosen)} runs, {len(todo)} to do", columns, rows))
    whole = seen.seconds_of(todo)
    together = "no estimate" if whole is None else f"about {in_words(whole)}"
    sentence = f"To do: {together}; {seen.workers.why}, {_threads(seen.workers.threads)} each. {seen.basis}"
    screen.out().print(sentence, highlight=False, markup=False)


def _say_outcome(outcome: Outcome, skipped: int, table: Path) -> None:
    from hsi.commands import screen

    out = screen.out()
    parts = [f"Runs: {len(outcome.done)} made", f"{skipped} done before"]
    if outcome.left:
        parts.append(f"{len(outcome.left)} left for another time (the same command goes on)")
    out.print("; ".join(parts) + ".", highlight=False, markup=False)
    for run, reason in outcome.failed:
        log = run.folder.with_name(run.name + ".log")
        out.print(f"Failed: {run.key}: {reason} (see {log})", highlight=False, markup=False, soft_wrap=True)
    if table.is_file():
        out.print(f"Results: {table}", highlight=False, markup=False, soft_wrap=True)


def _summary(
    chosen: Sequence[PlannedRun], words: dict[str, str], outcome: Outcome, table: Path
) -> dict[str, Any]:
    return {
        "runs": [{"run": run.key, "folder": str(run.folder), "state": words[run.key]} for run in chosen],
        "done": [run.key for run in outcome.done],
        "failed": [{"run": run.key, "reason": reason} for run, reason in outcome.failed],
        "left": [run.key for run in outcome.left],
        "results": str(table),
    }


def _threads(count: int) -> str:
    return f"{count} thread{'s' if count > 1 else ''}"
