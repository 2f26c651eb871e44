"""`hsi train`: a scene and a network in, a scored run out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from hsi.commands import options as o
from hsi.commands.options import option

if TYPE_CHECKING:
    from hsi.inference.run import Run
    from hsi.training.callbacks import Callback
    from hsi.training.distributed import World


@o.config_options()
def train(
    options: dict[str, Any],
    runs: Annotated[
        int | None, option("Run", "Train so often, with seeds SEED, SEED + 1, ... (splits and weights).")
    ] = None,
    config: Annotated[
        Path | None, option("Run", "TOML file with any of these; the command line wins.")
    ] = None,
    out: Annotated[Path | None, option("Run", "Run folder to make.")] = None,
    resume: Annotated[Path | None, option("Run", "Run folder, or folder of runs, to resume.")] = None,
    track: Annotated[
        list[str] | None, option("Run", "Also log to tensorboard or mlflow, inside RUN; can be repeated.")
    ] = None,
    data_root: o.DataRoot = None,
    json: o.Json = False,
) -> None:
    """Train a network on a scene, score it, and write a run folder.

    \b
      hsi train --model wcnet --dataset demo
      hsi train --model kanet --dataset IN --seed 1
      hsi train --model stnet --dataset UP --protocol disjoint --preset quick
      hsi train --model wcnet --dataset my/scene.toml --option levels=[2,2,1]
      hsi train --config runs/first/config.toml --seed 2 --out runs/second
      hsi train --model wcnet --dataset UP --protocol disjoint --runs 5 --out runs/five
      hsi train --resume runs/first
      hsi train --model stnet --dataset IN --track tensorboard --track mlflow
      torchrun --nproc-per-node 4 -m hsi train --model wcnet --dataset UP    (4 GPUs share each batch)
    """
    from hsi.commands import screen
    from hsi.commands.progress import TrainingProgress
    from hsi.commands.torchrun import join_torchrun
    from hsi.errors import Interrupted, StorageError
    from hsi.tracking import with_trackers

    progress = TrainingProgress()
    with join_torchrun(lambda: _onward(progress.folder, resume)) as world:
        callback = with_trackers(progress, track or [] if world.is_rank_zero else [])
        try:
            if resume is None:
                made, group = _train(options, runs, config, out, data_root, callback, world)
            else:
                made, group = _resume(resume, options, runs, config, out, data_root, callback, world)
            if any(run.metrics["preset"] == "quick" for run in made):
                screen.note("These are the quick preset's settings, not the papers' protocol.")
            _show(made, group, json)
        except KeyboardInterrupt:
            raise Interrupted(f"Interrupted; {_onward(progress.folder, resume)}") from None
        except StorageError as error:
            raise StorageError(error.path, error.reason, _onward(progress.folder, resume)) from None


def _onward(begun: Path | None, resume: Path | None) -> str:
    """Return how to resume the run that was `begun`, or the one that was to be resumed."""
    from hsi.training.run_group import is_group

    folder = begun or resume
    if folder is None:
        return "nothing was written"
    if is_group(folder):
        return f"resume with: hsi train --resume {folder}"
    return f"resume with: hsi train --resume {folder.parent if is_group(folder.parent) else folder}"


def _train(
    options: dict[str, Any],
    runs: int | None,
    config: Path | None,
    out: Path | None,
    data_root: Path | None,
    callback: Callback,
    world: World,
) -> tuple[list[Run], Path | None]:
    """Train one run, or a group of them where several are asked for; return them and the group's folder."""
    from hsi.config import resolve_config
    from hsi.training.run_group import train_group
    from hsi.training.session import train_config

    where: dict[str, Any] = {"out": out, "data_root": data_root, "callback": callback, "world": world}
    resolved = resolve_config(options, config)
    if runs is None and (resolved.folds is None or resolved.fold is not None):
        return [train_config(resolved, **where)], None
    made = train_group(resolved, 1 if runs is None else runs, **where)
    return made, made[0].path.parent


def _resume(
    folder: Path,
    options: dict[str, Any],
    runs: int | None,
    config: Path | None,
    out: Path | None,
    data_root: Path | None,
    callback: Callback,
    world: World,
) -> tuple[list[Run], Path | None]:
    """Resume a run or a group of runs with its own options."""
    from hsi.errors import ConfigError
    from hsi.inference.run import open_run
    from hsi.training import run_group, session

    if config is not None or out is not None:
        raise ConfigError("Options clash: --resume continues in its own folder with its own config.")
    group = run_group.is_group(folder)
    there_config, count = run_group.read_group(folder) if group else (open_run(folder).config, 1)
    for name, value in {**options, "runs": runs}.items():
        there = count if name == "runs" else getattr(there_config, name)
        if (name, value) == ("batch", "auto") and there_config.fit_memory:
            continue
        if value is not None and value != there:
            raise ConfigError(
                f"The run '{folder}' has {name} = {there!r}; --resume cannot change it to {value!r}."
            )
    if group:
        return run_group.resume_runs(folder, data_root=data_root, callback=callback, world=world), folder
    return [session.resume(folder, data_root=data_root, callback=callback, world=world)], None


def _show(made: list[Run], group: Path | None, json: bool) -> None:
    from hsi.commands import screen
    from hsi.commands import screen as results
    from hsi.commands.screen import group_table
    from hsi.scoring.scores import spread_of

    out = screen.out()
    if group is None:
        (run,) = made
        if json:
            screen.print_json({"run": str(run.path), **run.metrics})
            return
        out.print(results.score_table(run.metrics))
        out.print(f"Run: {run.path}", highlight=False, markup=False, soft_wrap=True)
        return
    if json:
        runs = [{"run": str(run.path), **run.metrics} for run in made]
        screen.print_json(
            {"group": str(group), "summary": spread_of(run.metrics for run in made), "runs": runs}
        )
        return
    out.print(group_table({run.path.name: run.metrics for run in made}))
    out.print(f"Runs: {group}", highlight=False, markup=False, soft_wrap=True)
