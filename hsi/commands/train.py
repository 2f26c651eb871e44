"""`hsi train`: a scene and a network in, a scored run out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hsi.commands import options as o
from hsi.commands.options import PATCHES, RUN, SPLIT, TRAINING, option


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
    per_class: o.PerClass = None,
    train_mask: o.TrainMask = None,
    test_mask: o.TestMask = None,
    split: Annotated[str | None, option(SPLIT, "A split that `hsi split --out` wrote.")] = None,
    seed: o.Seed = None,
    patch: o.Patch = None,
    padding: Annotated[str | None, option(PATCHES, "Beyond the border: zeros or reflect.")] = None,
    scale_on: Annotated[str | None, option(PATCHES, "Fit scaling and PCA on all or on train pixels.")] = None,
    scale: Annotated[
        str | None, option(PATCHES, "Scale each of the bands, or the scene as one (for MNF features).")
    ] = None,
    pca: Annotated[int | None, option(PATCHES, "Principal components at most; 0: the bands.")] = None,
    augment: Annotated[
        bool | None, option(PATCHES, "Flip and rotate patches at random.", "--augment/--no-augment")
    ] = None,
    preset: Annotated[
        str | None, option(TRAINING, "quick: minutes on a laptop, not the papers' protocol.")
    ] = None,
    epochs: Annotated[int | None, option(TRAINING, "Passes over the training pixels.")] = None,
    batch: Annotated[int | None, option(TRAINING, "Patches a step.")] = None,
    lr: Annotated[float | None, option(TRAINING, "Peak learning rate of Adam.")] = None,
    schedule: Annotated[str | None, option(TRAINING, "Learning rate: wave, cosine or constant.")] = None,
    weight_decay: Annotated[float | None, option(TRAINING, "L2 penalty of Adam.")] = None,
    class_weights: Annotated[
        bool | None, option(TRAINING, "Weigh rare classes up.", "--class-weights/--no-class-weights")
    ] = None,
    ema: Annotated[
        float | None, option(TRAINING, "Keep a running mean of the weights, with this decay a step; 0: none.")
    ] = None,
    patience: Annotated[
        int | None, option(TRAINING, "Stop after so many epochs without a better val OA; 0: never.")
    ] = None,
    precision: Annotated[str | None, option(TRAINING, "auto, float32, bf16 or fp16.")] = None,
    settings: Annotated[
        list[str] | None, option(TRAINING, "Option of the network, KEY=VALUE; can be repeated.", "--option")
    ] = None,
    device: o.Device = None,
    config: Annotated[Path | None, option(RUN, "TOML file with any of these; the command line wins.")] = None,
    out: Annotated[Path | None, option(RUN, "Run folder to make.")] = None,
    resume: Annotated[Path | None, option(RUN, "Run folder to go on with.")] = None,
    json: o.Json = False,
) -> None:
    """Train a network on a scene, score it, and write a run folder.

    \b
      hsi train --model wcnet --dataset demo
      hsi train --model kanet --dataset IN --seed 1
      hsi train --model stnet --dataset UP --protocol disjoint --preset quick
      hsi train --model wcnet --dataset my/scene.toml --option levels=[2,2,1]
      hsi train --config runs/first/config.toml --seed 2 --out runs/second
      hsi train --resume runs/first
    """
    from hsi.commands import results, screen
    from hsi.commands.progress import TrainingProgress
    from hsi.errors import ConfigError, Interrupted
    from hsi.runs.folder import open_run
    from hsi.training import session

    given = {**o.given(context), "model_options": o.parse_settings(settings or [])}
    watcher = TrainingProgress()
    try:
        if resume is None:
            run = session.train(**given, config=config, out=out, data_root=data_root, watcher=watcher)
        else:
            if config is not None or out is not None:
                raise ConfigError("Options clash: --resume goes on in its own folder with its own config.")
            settled = open_run(resume).config
            for name, value in given.items():
                if value is not None and value != getattr(settled, name):
                    raise ConfigError(
                        f"The run '{resume}' has {name} = {getattr(settled, name)!r}; "
                        f"--resume cannot change it to {value!r}."
                    )
            run = session.resume(resume, data_root=data_root, watcher=watcher)
    except KeyboardInterrupt:
        onward = (
            f"go on with: hsi train --resume {watcher.folder}" if watcher.folder else "nothing was written"
        )
        raise Interrupted(f"Interrupted; {onward}") from None
    metrics = run.metrics
    if metrics["preset"] == "quick":
        screen.note("These are the quick preset's settings, not the papers' protocol.")
    if json:
        screen.print_json({"run": str(run.path), **metrics})
        return
    screen.out().print(results.score_table(metrics))
    screen.out().print(f"Run: {run.path}", highlight=False, markup=False, soft_wrap=True)
