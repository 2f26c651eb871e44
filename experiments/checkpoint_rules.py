"""Train networks on small real scenes, keep the weights of every epoch, and score all that could be kept.

    python -m experiments.checkpoint_rules [--data-root FOLDER] [--runs FOLDER]

Settings are those of real_small.toml in fewer epochs, on splits into separate regions that no other table
has. ``results/checkpoint_rules.csv`` gets a row for the plain and for the averaged weights of each epoch, and
for means of the last epochs' weights; RESULTS.md compares rules that choose among them. Trainings that the
file has already are not repeated: remove it to measure all of them again, which takes some hours.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional
from torch.optim.swa_utils import update_bn

import hsi
from experiments.pages.checkpoints import COLUMNS, Row
from experiments.script import run_script
from hsi.comparison.paired_fields import number_fields
from hsi.inference.predict import build_network, make_cutter, predict_logits
from hsi.inference.run import Run
from hsi.io.files import write_text
from hsi.io.text import csv_text, read_rows, read_toml
from hsi.runs.checkpoint import LAST
from hsi.training.callbacks import Callback, EpochRow
from hsi.training.loop import BATCH_NORM_PIXELS

ROOT = Path(__file__).resolve().parent
SETTINGS = "real_small"
NETWORKS = ("densenet3d", "hybridsn", "cnn1d", "ssrn", "wcnet")
SCENES = {"indian-crop": 12, "pavia-crop": 12, "salinasa": 12, "indian-mnf": 8}
"""Epochs on each scene."""
SEEDS = (300, 301, 302)
WINDOWS = {"plain": (2, 4, 6), "ema": (3, 6)}
"""How many of the last epochs' weights are averaged."""
TEST_PIXELS = 800
"""About as many test pixels are scored, evenly spread: neighbours are right or wrong together."""

State = dict[str, Tensor]


class EpochWeights(Callback):
    """Keeps the network's own weights of each epoch, and their exponential moving average."""

    def __init__(self) -> None:
        self.folder = Path()
        self.states: dict[str, list[State]] = {"plain": [], "ema": []}

    def on_train_start(self, folder: Path, epochs: int, done: int, steps: int) -> None:
        """Note the run folder."""
        self.folder = folder

    def on_epoch(self, row: EpochRow, best: bool) -> None:
        """Read the checkpoint to resume from, which the loop has just written."""
        tensors = load_file(self.folder / "checkpoint" / LAST)
        for weights, prefix in (("plain", "model."), ("ema", "average.module.")):
            found = {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}
            self.states[weights].append(found)


class Candidate(NamedTuple):
    """Weights that a training could keep: of one epoch, or the mean of the `averaged` epochs up to it."""

    weights: str
    averaged: int
    epoch: int
    state: State


def candidates(states: dict[str, list[State]]) -> Iterator[Candidate]:
    """Yield every epoch's weights, then the means of the last epochs' weights."""
    for weights, of_epochs in states.items():
        for epoch, state in enumerate(of_epochs):
            yield Candidate(weights, 1, epoch, state)
        for count in WINDOWS[weights]:
            if count <= len(of_epochs):
                yield Candidate(weights, count, len(of_epochs) - 1, mean_state(of_epochs[-count:]))


def mean_state(states: Sequence[State]) -> State:
    """Return the mean of weights and buffers; what is no floating-point number is the last one's."""
    return {
        name: torch.stack([state[name].double() for state in states]).mean(0).to(last.dtype)
        if last.is_floating_point()
        else last
        for name, last in states[-1].items()
    }


def error_by_fields(right: NDArray[np.bool_], field: NDArray[np.int64]) -> float:
    """Return the standard error of the share of right pixels, whose fields are the observations; NaN for one.

    It is that of a ratio of sums over clusters (Cochran, Sampling techniques, 1977, equation 6.9 without the
    finite-population term).
    """
    _, number = np.unique(field, return_inverse=True)
    pixels = np.bincount(number)
    if len(pixels) < 2:
        return float("nan")
    rest = np.bincount(number, weights=right) - right.mean() * pixels
    return float(np.sqrt(len(pixels) / (len(pixels) - 1) * (rest**2).sum()) / len(right))


def rows_of(run: Run, scene: hsi.Scene, states: dict[str, list[State]]) -> list[Row]:
    """Score all candidates of a finished training on its validation pixels and on some of its test pixels."""
    split, config = run.split, run.config
    cutter = make_cutter(scene, run.preprocess, split, config, "cpu")
    network = build_network(config, run.preprocess.bands, scene.classes)
    tested = split.test[:: -(-len(split.test) // TEST_PIXELS)]
    labels = np.asarray(scene.labels)
    of_val, of_test = labels.ravel()[split.val], labels.ravel()[tested]
    own = np.zeros(labels.size, bool)
    own[split.val] = True
    field = number_fields(np.where(own.reshape(labels.shape), labels, 0)).ravel()[split.val]
    found = []
    for one in candidates(states):
        network.load_state_dict(one.state)
        if one.averaged > 1:
            _measure_batch_norm(network, cutter, run)
        logits = predict_logits(network, cutter, split.val)
        right = logits.argmax(1).numpy() + 1 == of_val
        loss = functional.cross_entropy(logits, torch.from_numpy(of_val.astype(np.int64) - 1)).item()
        hit = predict_logits(network, cutter, tested).argmax(1).numpy() + 1 == of_test
        aa = np.mean([hit[of_test == label].mean() for label in np.unique(of_test)])
        numbers = (right.mean(), error_by_fields(right, field), loss, hit.mean(), aa)
        words = (one.weights, one.averaged, one.epoch, *(f"{number:.6f}" for number in numbers))
        found.append(dict(zip(COLUMNS[3:], map(str, words), strict=True)))
    return found


def _measure_batch_norm(network: nn.Module, cutter: Any, run: Run) -> None:
    """Measure the statistics of mean weights on the training pixels that the loop takes for its average."""
    size, random = run.config.batch, np.random.default_rng(run.config.seed)
    pixels = random.permutation(run.split.train)[:BATCH_NORM_PIXELS]
    batches = np.array_split(pixels, max(1, len(pixels) // max(2, size)))
    update_bn((cutter(batch) for batch in batches), network)


def options_of(model: str, scene: str, seed: int) -> dict[str, Any]:
    """Return the options of a training: those of the experiment for separate regions, but the epochs."""
    table = read_toml(ROOT / f"{SETTINGS}.toml")
    protocol = table["protocols"]["disjoint"]
    options = {**table["defaults"], **protocol, **table["models"][model], **table["scenes"][scene]}
    options["dataset"] = str(ROOT / options["dataset"])
    return {"model": model, **options, "epochs": SCENES[scene], "seed": seed, "device": "cpu"}


def measured(model: str, scene: str, seed: int, folder: Path, data_root: Path | None) -> list[Row]:
    """Train once, and return its rows."""
    kept = EpochWeights()
    run = hsi.train(**options_of(model, scene, seed), out=folder, data_root=data_root, callback=kept)
    rows = rows_of(run, run.load_scene(data_root), kept.states)
    return [{"scene": scene, "model": model, "seed": str(seed), **row} for row in rows]


def main(arguments: list[str]) -> int:
    """Measure what is missing; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data-root", type=Path, help="folder with the scenes' files; default: HSI_DATA")
    parser.add_argument("--runs", type=Path, default=Path("runs/checkpoint_rules"), help="new run folders")
    options = parser.parse_args(arguments)
    table = ROOT / "results" / "checkpoint_rules.csv"
    rows = read_rows(table, COLUMNS, "experiments.checkpoint_rules") if table.is_file() else []
    for model in NETWORKS:
        for scene in SCENES:
            for seed in SEEDS:
                key = (scene, model, str(seed))
                if key in {(row["scene"], row["model"], row["seed"]) for row in rows}:
                    continue
                folder = options.runs / scene / model / f"seed{seed}"
                rows += measured(model, scene, seed, folder, options.data_root)
                write_text(table, csv_text(COLUMNS, rows))
                print(f"{model}, {scene}, seed {seed}: done", flush=True)
    return 0


if __name__ == "__main__":
    run_script(main)
