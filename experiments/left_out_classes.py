"""Leave each class of small real scenes out of a training, and see which score finds its pixels.

    python -m experiments.left_out_classes [--data-root FOLDER] [--runs FOLDER]

Settings are those of real_small.toml for separate regions, in fewer epochs, on splits that no other table
has. The class's pixels are taken from training and validation, and stay in test.
``results/left_out_classes.csv`` gets a row for each training and score of novelty; RESULTS.md sums it up.
Trainings that the file has already are not repeated, finished runs in the folder are used: remove the file to
measure all of them again, which takes an hour or two.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score
from torch import Tensor, nn

import hsi
from experiments.pages.left_out import COLUMNS, RATE, Row
from experiments.script import run_script
from hsi.confidence.novelty import FEATURE_SCORES, LOGIT_SCORES, fit_feature_score, threshold_at
from hsi.inference.predict import make_cutter, predict_logits
from hsi.inference.run import Run
from hsi.io.files import write_text
from hsi.io.text import csv_text, read_rows, read_toml

ROOT = Path(__file__).resolve().parent
SETTINGS, PROTOCOL = "real_small", "disjoint-long"
MODELS = ("svm", "densenet3d")
SCENES = {"pavia-crop": 6, "indian-crop": 6, "salinasa": 6, "indian-mnf": 4}
"""Epochs on each scene."""
SEEDS = (310,)

Arrays = dict[str, NDArray[Any]]


def options_of(model: str, scene: str, seed: int) -> dict[str, Any]:
    """Return the options of a training: those of the experiment, but the epochs."""
    table = read_toml(ROOT / f"{SETTINGS}.toml")
    protocol, named = table["protocols"][PROTOCOL], table["scenes"][scene]
    options = {**table["defaults"], **protocol, **table["models"][model], **named}
    options["dataset"] = str(ROOT / options["dataset"])
    return {"model": model, **options, "epochs": SCENES[scene], "seed": seed, "device": "cpu"}


def without_class(split: hsi.Split, labels: NDArray[Any], number: int) -> hsi.Split:
    """Return the split without the training and validation pixels of class `number`."""
    flat = labels.ravel()
    kept = {name: getattr(split, name) for name in ("train", "val")}
    return replace(split, **{name: pixels[flat[pixels] != number] for name, pixels in kept.items()})


def trained(options: dict[str, Any], split: hsi.Split, folder: Path, data_root: Path | None) -> Run:
    """Train on a split, unless the folder has that run already."""
    if (folder / "metrics.json").is_file():
        return hsi.open_run(folder)
    file = folder.parent / f"{folder.name}-split.npz"
    file.parent.mkdir(parents=True, exist_ok=True)
    split.save(file)
    own = {name: value for name, value in options.items() if name not in ("scheme", "train", "val")}
    return hsi.train(**own, split=str(file), out=folder, data_root=data_root)


def features_of(run: Run, scene: hsi.Scene) -> dict[str, Arrays]:
    """Return of the pixels of each subset: logits, spectrum, and what enters a network's last layer."""
    cutter = make_cutter(scene, run.preprocess, run.split, run.config, "cpu")
    model = run.load_model("cpu")
    linear = [module for module in model.modules() if isinstance(module, nn.Linear)]
    entered: list[Tensor] = []
    if linear:
        linear[-1].register_forward_pre_hook(lambda _, inputs: entered.append(inputs[0].float()))
    found = {}
    for subset in ("train", "val", "test"):
        pixels = getattr(run.split, subset)
        entered.clear()
        found[subset] = {
            "logits": predict_logits(model, cutter, pixels).numpy(),
            "spectrum": cutter.spectra(pixels).numpy(),
            "targets": scene.labels.ravel()[pixels] - 1,
        }
        if linear:
            found[subset]["features"] = torch.cat(entered).numpy()
    return found


def scores_of(found: dict[str, Arrays]) -> Iterator[tuple[str, NDArray[Any], NDArray[Any]]]:
    """Yield each score's name and values on validation and test pixels."""
    train, val, test = (found[subset] for subset in ("train", "val", "test"))
    for name, of_logits in LOGIT_SCORES.items():
        yield name, of_logits(val["logits"]), of_logits(test["logits"])
    for what in ("spectrum", "features"):
        if what in train:
            for name in FEATURE_SCORES:
                score = fit_feature_score(name, train[what], train["targets"])
                yield f"{what}, {name}", score(val[what]), score(test[what])


def rows_of(found: dict[str, Arrays], number: int) -> list[Row]:
    """Return a row for each score: how class `number` and the others are told apart on test pixels."""
    targets = found["test"]["targets"]
    new = targets == number - 1
    right = found["test"]["logits"].argmax(axis=1) == targets
    rows = []
    for score, of_val, of_test in scores_of(found):
        rejected = of_test > threshold_at(of_val, RATE)
        groups = {"left_out": new, "known": ~new, "right": ~new & right, "wrong": ~new & ~right}
        row = {f"{name}_rejected": _share(rejected, group) for name, group in groups.items()}
        row |= {f"{name}_pixels": str(int(group.sum())) for name, group in groups.items()}
        both = new.any() and not new.all()
        auroc = f"{roc_auc_score(new, of_test):.6f}" if both else ""
        rows.append({"score": score, "auroc": auroc, **row})
    return rows


def _share(rejected: NDArray[np.bool_], group: NDArray[np.bool_]) -> str:
    return f"{rejected[group].mean():.6f}" if group.any() else ""


def main(arguments: list[str]) -> int:
    """Measure what is missing; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data-root", type=Path, help="folder with the scenes' files; default: HSI_DATA")
    parser.add_argument("--runs", type=Path, default=Path("runs/left_out_classes"), help="run folders")
    given = parser.parse_args(arguments)
    table = ROOT / "results" / "left_out_classes.csv"
    rows = read_rows(table, COLUMNS, "experiments.left_out_classes") if table.is_file() else []
    for name in SCENES:
        for seed in SEEDS:
            options = options_of(MODELS[0], name, seed)
            scene = hsi.load_scene(options["dataset"], data_root=given.data_root)
            parts = {part: options[part] for part in ("train", "val", "patch")}
            split = hsi.make_split(scene, scheme=options["scheme"], seed=seed, **parts)
            for number in range(1, scene.classes + 1):
                left_out = without_class(split, scene.labels, number)
                for model in MODELS:
                    key = (name, model, str(seed), str(number))
                    if key in {tuple(row[part] for part in COLUMNS[:4]) for row in rows}:
                        continue
                    folder = given.runs / name / model / f"class{number}-seed{seed}"
                    run = trained(options_of(model, name, seed), left_out, folder, given.data_root)
                    facts = dict(zip(COLUMNS, (*key, scene.class_names[number - 1]), strict=False))
                    rows += [{**facts, **row} for row in rows_of(features_of(run, scene), number)]
                    write_text(table, csv_text(COLUMNS, sorted(rows, key=_place)))
                    print(f"{name}, {model}, seed {seed}, without class {number}: done", flush=True)
    return 0


def _place(row: Row) -> tuple[int, int, int, int]:
    """Return where a row stands in the file; scores keep their order."""
    scenes, models = list(SCENES), list(MODELS)
    return scenes.index(row["scene"]), int(row["seed"]), int(row["class"]), models.index(row["model"])


if __name__ == "__main__":
    run_script(main)
