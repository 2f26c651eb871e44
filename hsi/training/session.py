"""One training from its options to a finished run folder, and the same resumed."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from hsi.config import Config, make_config, read_config, resolve_config
from hsi.datasets.scene import Scene
from hsi.datasets.splits.indices import SUBSETS, Split
from hsi.errors import ConfigError, RunError, StorageError, command_to_paste
from hsi.inference.assessment import classify_split
from hsi.inference.predict import as_classifier, predict_logits
from hsi.inference.run import Run
from hsi.io.files import make_folder, write_text, written_whole
from hsi.io.locks import remove_stale_run_lock, run_lock
from hsi.io.signals import defer_signals
from hsi.models import cost_of, model_entry
from hsi.models.cores import shared_cores
from hsi.models.device import autocast, device_name, format_of, name_of
from hsi.models.protocols import Estimator
from hsi.runs.checkpoint import BEST, LAST, load_weights
from hsi.runs.environment import describe_environment
from hsi.runs.run_files import RUN_FORMAT, save_predictions
from hsi.runs.status import clear_unstarted, is_unstarted
from hsi.scoring import score
from hsi.training.callbacks import Callback, EpochRow
from hsi.training.context import TrainingInputs
from hsi.training.distributed import World
from hsi.training.estimator import EstimatorTrainer
from hsi.training.loop import Trainer

MOST_OF_NAME = 80
"""Letters of the scenes' names in the name of a folder."""


def train(
    model: str | None = None,
    dataset: str | Sequence[str] | None = None,
    *,
    out: str | Path | None = None,
    config: str | Path | None = None,
    data_root: str | Path | None = None,
    callback: Callback | None = None,
    world: World | None = None,
    **options: Any,
) -> Run:
    """Train a network on a scene, or on several, and score it; return the finished run.

    Parameters
    ----------
    model, dataset
        A network's name; a scene's short name, ``scene.toml``, or array file (with ``labels=FILE``); or a
        list of scenes, see `hsi.combine_scenes`.
    out
        The run folder to make; default ``runs/MODEL-DATASET-PROTOCOL-...``.
    config
        A TOML file with options; keywords override it.
    data_root
        Folder with scene files, if not ``HSI_DATA``.
    callback
        Receives the events of the training.
    world
        The processes that share this training; all of them call with the same arguments. Default: this one.
    **options
        Any option of `hsi.config.Config`, such as ``seed=0, protocol="disjoint", epochs=30``.

    Raises
    ------
    InputError
        For options, scenes or sizes that cannot work; nothing is written then.
    TrainingError
        When the loss becomes NaN or infinite; the run folder keeps its checkpoints.
    """
    resolved = resolve_config({"model": model, "dataset": dataset, **options}, config)
    return train_config(resolved, out=out, data_root=data_root, callback=callback, world=world)


def train_config(
    config: Config,
    *,
    out: str | Path | None = None,
    data_root: str | Path | None = None,
    callback: Callback | None = None,
    world: World | None = None,
) -> Run:
    """Do what `train` does, with every option resolved."""
    if len(config.models) > 1:
        raise ConfigError(
            f"'{config.model}' names several models, which are trained and joined by hsi.train_runs or the "
            "command hsi train; name one."
        )
    callback, world = callback or Callback(), world or World()
    with ExitStack() as stack:
        stack.enter_context(shared_cores(callback.message))
        inputs = TrainingInputs.from_config(config, data_root, callback, world)
        folder = world.on_rank_zero(lambda: _unused_folder(out, inputs))

        def start_run() -> None:
            try:
                make_folder(folder / "checkpoint")
            except OSError as error:
                raise RunError(f"The run folder '{folder}' cannot be made: {error.strerror}.") from None
            stack.enter_context(run_lock(folder))
            _refuse_used(folder)
            try:
                _write_inputs(folder, inputs)
            except StorageError:
                clear_unstarted(folder)
                raise

        with defer_signals():  # so that Ctrl-C leaves no folder, or a run that can be resumed
            world.on_rank_zero(start_run)
            callback.on_run_folder(folder)
        return _fit_and_score(folder, inputs, callback, world)


def resume(
    folder: str | Path,
    *,
    data_root: str | Path | None = None,
    callback: Callback | None = None,
    world: World | None = None,
) -> Run:
    """Resume an interrupted training; a finished run is returned as it is.

    The number of processes may differ from before.

    Raises
    ------
    RunError
        When the folder is not a run, another process is at work in it, or the scene's labels have changed
        since.
    """
    callback, world = callback or Callback(), world or World()
    run = Run(folder)
    if (run.path / "metrics.json").is_file():
        callback.message(f"The run '{run.path}' is finished already; nothing to resume.")
        world.on_rank_zero(lambda: remove_stale_run_lock(run.path))
        return run
    make_config(read_config(run.path / "config.toml"))  # refuses options that went since the run began
    callback.on_run_folder(run.path)
    with ExitStack() as stack:
        stack.enter_context(shared_cores(callback.message))
        world.on_rank_zero(lambda: stack.enter_context(run_lock(run.path)))
        inputs = TrainingInputs.from_run(run, data_root, world)
        return _fit_and_score(run.path, inputs, callback, world)


def _fit_and_score(folder: Path, inputs: TrainingInputs, callback: Callback, world: World) -> Run:
    """Train into a run folder that holds its inputs already, and score the kept weights there.

    ``metrics.json`` comes last, since it makes the run a finished one.
    """
    config, split, labels = inputs.config, inputs.split, inputs.scene.labels.ravel()
    classes = inputs.scene.classes
    context = inputs.context(folder, callback, world)
    trainer: EstimatorTrainer | Trainer
    trainer = EstimatorTrainer(context) if isinstance(inputs.model, Estimator) else Trainer(context)
    history = trainer.fit(resume=(folder / "checkpoint" / LAST).is_file())

    load_weights(folder / "checkpoint" / BEST, inputs.model)
    metrics = _facts(inputs, trainer, history)
    seconds = {"load": inputs.load_seconds, "train": sum(row["seconds"] for row in history)}
    started = time.perf_counter()
    with autocast(inputs.device, trainer.plan.precision):
        predict = partial(predict_logits, as_classifier(inputs.model, config), context.cutter)
        tested = classify_split(
            inputs.scene, split, config.smooth, context.cutter, partial(world.map_pixels, predict)
        )
    seconds["test"] = time.perf_counter() - started
    for subset in SUBSETS:
        metrics[subset] = score(labels[getattr(split, subset)], tested.predictions[subset], classes).as_dict()
    metrics |= tested.facts(config.patch)
    for note in tested.notes:
        callback.message(note)
    predictions = tested.predictions
    if note := _single_class_note(predictions["test"], labels[split.test], inputs.scene.class_names):
        callback.message(note)
    metrics |= _by_scene(inputs.scene, split, predictions["test"])
    metrics["seconds"] = seconds
    metrics["peak_memory_mb"] = _peak_memory_mb(inputs.device)

    def finish_run() -> None:
        save_predictions(folder, predictions)
        tested.post.save(folder)
        write_text(folder / "metrics.json", json.dumps(metrics, indent=1) + "\n")

    world.on_rank_zero(finish_run)
    callback.on_scored(metrics)
    return Run(folder)


def _facts(
    inputs: TrainingInputs, trainer: EstimatorTrainer | Trainer, history: list[EpochRow]
) -> dict[str, Any]:
    """Return what metrics.json holds beside scores, times and memory."""
    config, scene, split, model = inputs.config, inputs.scene, inputs.split, inputs.model
    leakage = split.leakage(config.patch)
    estimator = isinstance(model, Estimator)
    return {
        "model": model_entry(config.model).name,
        "dataset": scene.name,
        "synthetic": scene.synthetic,
        "seed": config.seed,
        "protocol": config.protocol,
        "preset": config.preset,
        "scheme": split.scheme,
        "patch": config.patch,
        "bands": scene.bands,
        "components": inputs.preprocess.bands if config.pca else None,
        "class_names": list(scene.class_names),
        "colors": list(scene.colors),
        "wavelengths_nm": None if scene.wavelengths_nm is None else scene.wavelengths_nm.tolist(),
        "fwhm_nm": None if scene.fwhm_nm is None else scene.fwhm_nm.tolist(),
        "band_choice": None
        if scene.band_choice is None
        else {"count": scene.band_choice.count, "numbers": list(scene.band_choice.numbers)},
        **cost_of(model, bands=inputs.preprocess.bands, patch=config.patch),
        "device": device_name(inputs.device),
        "ranks": trainer.context.world.world_size,
        "epochs": None if estimator else len(history),
        "patches_at_once": trainer.gradient.micro_batch.size if isinstance(trainer, Trainer) else None,
        "precision": name_of(trainer.plan.precision),
        "compiled": trainer.plan.compiled,
        "memory_format": format_of(model),
        "chosen": model.chosen if isinstance(model, Estimator) else None,
        "counts": split.counts,
        "leakage": {"centre": leakage.centre, "overlap": leakage.overlap},
    }


def _by_scene(scene: Scene, split: Split, predicted: NDArray[np.int64]) -> dict[str, Any]:
    """Return the images of a scene of several, and the test OA of each (None without test pixels)."""
    if split.parts is None:
        return {}
    image, right = split.parts.ravel()[split.test], predicted == scene.labels.ravel()[split.test]
    found = []
    for number, part in enumerate(scene.parts, start=1):
        own = right[image == number]
        found.append({**part._asdict(), "pixels": len(own), "oa": float(own.mean()) if len(own) else None})
    return {"scenes": found}


def _single_class_note(predicted: NDArray[np.int64], true: NDArray[np.int64], names: Sequence[str]) -> str:
    """Say that all test pixels got one class, where they are of several; else nothing."""
    if len(true) == 0 or (predicted != predicted[0]).any() or (true == true[0]).all():
        return ""
    return (
        f"The network gives every test pixel one class, {names[predicted[0] - 1]}: it has learnt nothing "
        "that tells classes apart; train longer (--epochs), change --lr, or give it more training pixels."
    )


def _peak_memory_mb(device: torch.device) -> float | None:
    """Return the peak memory of the GPU if there is one, else of this process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    if sys.platform == "win32":  # it does not tell that way
        return None
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


def _unused_folder(out: str | Path | None, inputs: TrainingInputs) -> Path:
    if out is None:
        config, stamp = inputs.config, datetime.now().strftime("%Y%m%d-%H%M%S")
        name, scenes = model_entry(config.model).name, inputs.scene.name
        if inputs.scene.parts:  # spaces and the test scene do not belong into the name of a folder
            scenes = "+".join(part.name for part in inputs.scene.parts if not part.test)[:MOST_OF_NAME]
        out = Path("runs") / f"{name}-{scenes}-{config.protocol}-seed{config.seed}-{stamp}"
    _refuse_used(Path(out))
    return Path(out)


def _refuse_used(folder: Path) -> None:
    """Refuse a folder that holds a run or something else; the remains of a killed start are neither."""
    if (folder / "config.toml").exists():
        raise RunError(
            f"'{folder}' holds a run already; choose another --out, or resume it with: "
            + command_to_paste("hsi", "train", "--resume", folder)
        )
    if folder.exists() and not is_unstarted(folder):
        raise RunError(f"'{folder}' is there already and is not an empty folder; choose another --out.")


def _write_inputs(folder: Path, inputs: TrainingInputs) -> None:
    """Write what the run is made from; config.toml comes last, since it makes the folder a run."""
    inputs.split.save(folder / "split.npz")
    with written_whole(folder / "preprocess.npz") as temporary:
        inputs.preprocess.save(temporary)
    environment = {"run_format": RUN_FORMAT, **describe_environment(inputs.device, inputs.scene)}
    write_text(folder / "environment.json", json.dumps(environment, indent=1) + "\n")
    write_text(folder / "config.toml", inputs.config.to_toml())
