"""`hsi train`: a scene and a network in, a scored run out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hsi.commands import options as o
from hsi.commands.options import PATCHES, RUN, SPLIT, TRAINING, option

if TYPE_CHECKING:
    from hsi.runs.folder import Run
    from hsi.training.ranks import Ranks
    from hsi.training.watcher import Watcher


def train(
    context: typer.Context,
    model: Annotated[str | None, option(TRAINING, "Network (hsi models).")] = None,
    dataset: o.Dataset = None,
    labels: o.Labels = None,
    cube_key: o.CubeKey = None,
    labels_key: o.LabelsKey = None,
    data_root: o.DataRoot = None,
    protocol: Annotated[
        str | None,
        option(SPLIT, "paper (random 6:1:3, 80 epochs; default for benchmark scenes) or disjoint (areas)."),
    ] = None,
    scheme: o.Scheme = None,
    train: o.Train = None,
    val: o.Val = None,
    guard: o.Guard = None,
    folds: o.Folds = None,
    fold: o.Fold = None,
    per_class: o.PerClass = None,
    split_mask: o.SplitMask = None,
    train_mask: o.TrainMask = None,
    test_mask: o.TestMask = None,
    split: Annotated[str | None, option(SPLIT, "A split that `hsi split --out` wrote.")] = None,
    seed: o.Seed = None,
    runs: Annotated[
        int | None, option(RUN, "Train so often, with seeds SEED, SEED + 1, ... (splits and weights).")
    ] = None,
    patch: o.Patch = None,
    padding: Annotated[str | None, option(PATCHES, "Beyond the border: zeros or reflect.")] = None,
    scale_on: Annotated[str | None, option(PATCHES, "Fit scaling and PCA on all or on train pixels.")] = None,
    scale: Annotated[
        str | None, option(PATCHES, "Scale each of the bands, or the scene as one (for MNF features).")
    ] = None,
    bands: Annotated[
        str | None, option(PATCHES, "Bands to use: 400-1300nm,1500-1750nm or 0-99,120 (from 0) or no-water.")
    ] = None,
    select_bands: Annotated[
        int | None, option(PATCHES, "So many bands, spread out: those that tell the classes apart best.")
    ] = None,
    pca: Annotated[int | None, option(PATCHES, "Principal components at most; 0: the bands.")] = None,
    augment: Annotated[
        bool | None, option(PATCHES, "Flip and rotate patches at random.", "--augment/--no-augment")
    ] = None,
    tta: Annotated[
        bool | None,
        option(PATCHES, "Test-time augmentation: average over the 8 symmetries.", "--tta/--no-tta"),
    ] = None,
    spectral_jitter: Annotated[
        float | None, option(PATCHES, "Random gain and shift of spectra in training, in standard deviations.")
    ] = None,
    field_shift: Annotated[
        float | None,
        option(PATCHES, "Random shift of spectra in training, as between fields of a class; 1: as measured."),
    ] = None,
    band_drop: Annotated[
        float | None, option(PATCHES, "Largest share of bands, side by side, zeroed in a training patch.")
    ] = None,
    pixel_drop: Annotated[
        float | None, option(PATCHES, "Largest share of neighbour pixels zeroed in a training patch.")
    ] = None,
    preset: Annotated[
        str | None, option(TRAINING, "quick: minutes on a laptop, not the papers' protocol.")
    ] = None,
    epochs: Annotated[int | None, option(TRAINING, "Passes over the training pixels.")] = None,
    batch: o.Batch = None,
    lr: Annotated[float | None, option(TRAINING, "Peak learning rate of Adam.")] = None,
    schedule: Annotated[str | None, option(TRAINING, "Learning rate: wave, cosine or constant.")] = None,
    weight_decay: Annotated[float | None, option(TRAINING, "L2 penalty of Adam.")] = None,
    class_weights: Annotated[
        bool | None, option(TRAINING, "Weigh rare classes up.", "--class-weights/--no-class-weights")
    ] = None,
    label_smoothing: Annotated[
        float | None, option(TRAINING, "Share of each training target spread over all classes evenly.")
    ] = None,
    dropout: Annotated[
        float | None, option(TRAINING, "Chance of each feature before the last layer to be zero in training.")
    ] = None,
    ema: Annotated[
        float | None, option(TRAINING, "Keep a running mean of the weights, with this decay a step; 0: none.")
    ] = None,
    patience: Annotated[
        int | None, option(TRAINING, "Stop after so many epochs without a better val OA; 0: never.")
    ] = None,
    precision: Annotated[str | None, option(TRAINING, "auto, float32, bf16 or fp16.")] = None,
    compile: Annotated[
        str | None, option(TRAINING, "Compile the network: auto (on a GPU, where it pays), on or off.")
    ] = None,
    tune: Annotated[
        bool | None,
        option(TRAINING, "On a GPU, measure what auto leaves open, once a machine.", "--tune/--no-tune"),
    ] = None,
    settings: Annotated[
        list[str] | None, option(TRAINING, "Option of the network, KEY=VALUE; can be repeated.", "--option")
    ] = None,
    device: o.Device = None,
    config: Annotated[Path | None, option(RUN, "TOML file with any of these; the command line wins.")] = None,
    out: Annotated[Path | None, option(RUN, "Run folder to make.")] = None,
    resume: Annotated[Path | None, option(RUN, "Run folder, or folder of runs, to go on with.")] = None,
    track: Annotated[
        list[str] | None, option(RUN, "Also tell tensorboard or mlflow, inside RUN; can be repeated.")
    ] = None,
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
    from hsi.commands.ranks import joined
    from hsi.errors import Interrupted, StorageError
    from hsi.tracking import tracked

    given = {**o.given(context), "model_options": o.parse_settings(settings or [])}
    progress = TrainingProgress()
    with joined(lambda: _onward(progress.folder, resume)) as ranks:
        watcher = tracked(progress, track or [] if ranks.first else [])
        try:
            if resume is None:
                made, group = _train(given, runs, config, out, data_root, watcher, ranks)
            else:
                made, group = _resume(resume, given, runs, config, out, data_root, watcher, ranks)
            if any(run.metrics["preset"] == "quick" for run in made):
                screen.note("These are the quick preset's settings, not the papers' protocol.")
            _show(made, group, json)
        except KeyboardInterrupt:
            raise Interrupted(f"Interrupted; {_onward(progress.folder, resume)}") from None
        except StorageError as error:
            raise StorageError(error.path, error.reason, _onward(progress.folder, resume)) from None


def _onward(begun: Path | None, resume: Path | None) -> str:
    """Say how to go on where a run was `begun`, or where one was to be gone on with."""
    from hsi.training.repeat import is_group

    folder = begun or resume
    if folder is None:
        return "nothing was written"
    if is_group(folder):
        return f"go on with: hsi train --resume {folder}"
    return f"go on with: hsi train --resume {folder.parent if is_group(folder.parent) else folder}"


def _train(
    given: dict[str, Any],
    runs: int | None,
    config: Path | None,
    out: Path | None,
    data_root: Path | None,
    watcher: Watcher,
    ranks: Ranks,
) -> tuple[list[Run], Path | None]:
    """Train one run, or a group of them where several are asked for; return them and the group's folder."""
    from hsi.training import repeat, session
    from hsi.training.settle import settle

    where: dict[str, Any] = {"out": out, "config": config, "data_root": data_root}
    where |= {"watcher": watcher, "ranks": ranks}
    settled = settle(**given, config=config)
    if runs is None and (settled.folds is None or settled.fold is not None):
        return [session.train(**given, **where)], None
    made = repeat.train_runs(**given, runs=1 if runs is None else runs, **where)
    return made, made[0].path.parent


def _resume(
    folder: Path,
    given: dict[str, Any],
    runs: int | None,
    config: Path | None,
    out: Path | None,
    data_root: Path | None,
    watcher: Watcher,
    ranks: Ranks,
) -> tuple[list[Run], Path | None]:
    """Go on with a run or a group of runs, as it was begun."""
    from hsi.errors import ConfigError
    from hsi.runs.folder import open_run
    from hsi.training import repeat, session

    if config is not None or out is not None:
        raise ConfigError("Options clash: --resume goes on in its own folder with its own config.")
    group = repeat.is_group(folder)
    settled, count = repeat.read_group(folder) if group else (open_run(folder).config, 1)
    for name, value in {**given, "runs": runs}.items():
        there = count if name == "runs" else getattr(settled, name)
        if (name, value) == ("batch", "auto") and settled.fit_memory:
            continue
        if value is not None and value != there:
            raise ConfigError(
                f"The run '{folder}' has {name} = {there!r}; --resume cannot change it to {value!r}."
            )
    if group:
        return repeat.resume_runs(folder, data_root=data_root, watcher=watcher, ranks=ranks), folder
    return [session.resume(folder, data_root=data_root, watcher=watcher, ranks=ranks)], None


def _show(made: list[Run], group: Path | None, json: bool) -> None:
    from hsi.commands import results, screen
    from hsi.commands.group_table import group_table
    from hsi.runs.spread import spread_of

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
