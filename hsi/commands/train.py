"""`hsi train`: a scene and a network in, a scored run out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from hsi.commands import options as o
from hsi.commands.options import option
from hsi.errors import command_to_paste

if TYPE_CHECKING:
    from hsi.inference.run import Run
    from hsi.training.callbacks import Callback
    from hsi.training.distributed import World


@o.config_options(required="Required, unless --config or --resume gives it.")
def train(
    options: dict[str, Any],
    runs: Annotated[
        int | None,
        option(
            "Run",
            "Train so often, with seeds SEED, SEED + 1, ... for splits and weights. Default: one run.",
            metavar="N",
        ),
    ] = None,
    config: Annotated[
        Path | None,
        option("Run", "TOML file with any of these options; the command line wins.", metavar="FILE"),
    ] = None,
    out: Annotated[
        Path | None,
        option("Run", "Run folder to make. Default: a new one in ./runs.", metavar="DIR"),
    ] = None,
    resume: Annotated[
        Path | None, option("Run", "Run folder, or folder of runs, to resume.", metavar="DIR")
    ] = None,
    track: Annotated[
        list[str] | None,
        o.choice(
            ("tensorboard", "mlflow"),
            "Also log to TensorBoard or MLflow, inside the run folder; can be repeated.",
            "Run",
        ),
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
      hsi train --model wcnet --dataset june.toml --dataset july.toml
      hsi train --model wcnet --dataset june.toml --test-scene august.toml
      hsi train --config runs/first/config.toml --seed 2 --out runs/second
      hsi train --model wcnet --dataset UP --runs 5 --out runs/five
      hsi train --model densenet3d,svm --dataset UP --protocol disjoint
      hsi train --resume runs/first
      hsi train --model stnet --dataset IN --track tensorboard --track mlflow

    On several GPUs, which share each batch:

    \b
      torchrun --nproc-per-node 4 -m hsi train --model wcnet --dataset UP
    """
    from hsi.commands import screen
    from hsi.commands.progress import TrainingProgress
    from hsi.commands.torchrun import join_torchrun
    from hsi.errors import Interrupted, StorageError
    from hsi.tracking import with_trackers

    progress = TrainingProgress()
    with progress, join_torchrun(lambda: _onward(progress.folder, resume)) as world:
        callback = with_trackers(progress, track or [] if world.is_rank_zero else [])
        try:
            if resume is None:
                made, group = _train(options, runs, config, out, data_root, callback, world)
            else:
                made, group = _resume(resume, options, runs, config, out, data_root, callback, world)
            _note_unused(options, made[0])
            if preset := made[0].metrics["preset"]:
                screen.note(f"These are the {preset} preset's settings, not the papers' protocol.")
            _show(made, group, json)
            if not json and world.is_rank_zero:
                _show_next(made, group, data_root)
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
    if not is_group(folder) and is_group(folder.parent):
        folder = folder.parent
    return "resume with: " + command_to_paste("hsi", "train", "--resume", folder)


_OF_THE_LOOP = (
    "augment", "pixel_drop", "epochs", "batch", "lr", "schedule", "weight_decay", "label_smoothing",
    "dropout", "ema", "patience", "compile", "tune",
)  # fmt: skip


def _note_unused(options: dict[str, Any], run: Run) -> None:
    """Say which given options meant nothing, where the model is fitted in one go instead of by gradients."""
    from hsi.commands import screen

    if run.metrics["epochs"] is not None:
        return
    unused = [f"--{name.replace('_', '-')}" for name in _OF_THE_LOOP if options.get(name) is not None]
    if unused:
        screen.note(f"{run.metrics['model']} is fitted in one go and does not use {', '.join(unused)}.")


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
    one_run = runs is None and len(resolved.models) == 1
    if one_run and (resolved.folds is None or resolved.fold is not None):
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
    from hsi.inference.joined import ENSEMBLE, is_ensemble
    from hsi.io.text import read_json
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
        if is_ensemble(group):
            screen.print_json({"group": str(group), "joined": read_json(group / ENSEMBLE), "runs": runs})
            return
        screen.print_json(
            {"group": str(group), "summary": spread_of(run.metrics for run in made), "runs": runs}
        )
        return
    if is_ensemble(group):
        about = read_json(group / ENSEMBLE)
        out.print(screen.joined_table({run.path.name: run.metrics for run in made}, about))
    else:
        out.print(group_table({run.path.name: run.metrics for run in made}))
    out.print(f"Runs: {group}", highlight=False, markup=False, soft_wrap=True)


def _show_next(made: list[Run], group: Path | None, data_root: Path | None) -> None:
    """Print what to do with a new run, as commands to paste, on standard error."""
    from hsi.commands import screen
    from hsi.inference.joined import is_ensemble

    run, what = made[0], group or made[0].path
    root = () if data_root is None else ("--data-root", data_root)
    mapped = what if is_ensemble(what) else run.path
    scene = ("--scene", run.scene_names[0]) if len(run.scene_names) > 1 else ()
    lines = [
        ("A page to explore", ("hsi", "report", what, "--open", *root)),
        ("A map of the scene", ("hsi", "map", mapped, *scene, "--layout", *root)),
    ]
    other = _comparable(run) if group is None else None
    if other is not None:
        lines.append(("Against another run", ("hsi", "compare", what, other, *root)))
    elif group is None and run.metrics["epochs"] is not None and not run.config.model_options:
        config = run.path / "config.toml"
        lines.append(
            ("A baseline, same split", ("hsi", "train", "--config", config, "--model", "svm", *root))
        )
    screen.err().print("Next:", highlight=False)
    for about, command in lines:
        line = f"  {about + ':':<24}{command_to_paste(*command)}"
        screen.err().print(line, highlight=False, markup=False, soft_wrap=True)


_LOOKED_AT = 50  # of the newest runs beside a new one


def _comparable(run: Run) -> Path | None:
    """Return the newest finished run beside `run` with the same scene and split; of another model if any."""
    import numpy as np

    from hsi.errors import HsiError
    from hsi.runs.folder import RunFolder

    found: list[RunFolder] = []
    files = [path for path in run.path.parent.glob("*/metrics.json") if path.parent != run.path]
    for path in sorted(files, key=lambda file: file.stat().st_mtime, reverse=True)[:_LOOKED_AT]:
        try:
            other = RunFolder(path.parent)
            pairs = [(getattr(one.split, part) for one in (run, other)) for part in ("train", "test")]
            if other.metrics["dataset"] == run.metrics["dataset"] and all(
                np.array_equal(ours, theirs) for ours, theirs in pairs
            ):
                found.append(other)
        except (HsiError, OSError):  # damaged, or just being removed
            continue
    models = [other for other in found if other.metrics["model"] != run.metrics["model"]]
    return next((other.path for other in (*models, *found)), None)
