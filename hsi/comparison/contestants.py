"""Contestants: run folders, or folders of runs of one network, on one scene; and how runs are matched."""

from __future__ import annotations

import hashlib
import string
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hsi.config import OPTIONS
from hsi.datasets.scene import Scene
from hsi.errors import ConfigError, RunError
from hsi.inference.run import Run, open_runs
from hsi.scoring import Scores, confusion_matrix

Ints = NDArray[np.int64]

SHOWN = ("oa", "aa", "kappa")
# Options in which the runs of one contestant may differ: seed, split and its files, device.
_FREE = (
    "seed", "fold", "dataset", "labels", "cube_key", "labels_key", "split", "train_mask", "test_mask",
    "device", "precision", "compile", "tune", "fit_memory", "protocol", "preset",
)  # fmt: skip
_SAME = tuple(name for name in OPTIONS if name not in _FREE)


@dataclass(frozen=True, eq=False)
class Result:
    """Predictions and scores of one run on its test pixels.

    Attributes
    ----------
    path, seed
        Its folder and seed.
    split_id
        Hash of the train and test pixels: runs with the same one can be compared pixel by pixel.
    train_pixels
        Number of training pixels.
    pixels, truth, predicted
        ``(test,)`` flat indices of the test pixels, their true and their predicted classes 1..C.
    scores
        Scores on these pixels.
    leakage
        ``{"centre", "overlap"}``, fractions.
    """

    path: str
    seed: int
    split_id: str
    train_pixels: int
    pixels: Ints
    truth: Ints
    predicted: Ints
    scores: Scores
    leakage: dict[str, float]


@dataclass(frozen=True, eq=False)
class Contestant:
    """One side of a comparison: the runs of one network with one set of options.

    Attributes
    ----------
    letter
        Short name in tables: "A", "B", ...
    path, model, dataset
        The folder as it was given; the names of the network and of the scene.
    results
        One entry for each run.
    """

    letter: str
    path: str
    model: str
    dataset: str
    results: tuple[Result, ...]

    def values(self, metric: str) -> NDArray[np.float64]:
        """Return a metric ("oa", "aa", "kappa") of each run, fractions."""
        return np.array([getattr(result.scores, metric) for result in self.results])

    def mean(self, metric: str) -> float:
        """Return the mean of a metric over the runs, a fraction."""
        return float(self.values(metric).mean())

    def std(self, metric: str) -> float:
        """Return the sample standard deviation (n - 1) of a metric over the runs; NaN for one run."""
        return float(self.values(metric).std(ddof=1)) if len(self.results) > 1 else float("nan")

    def leakage(self, figure: str) -> float:
        """Return the mean of a leakage figure ("centre", "overlap") over the runs, a fraction."""
        return float(np.mean([result.leakage[figure] for result in self.results]))

    def as_dict(self) -> dict[str, Any]:
        """Return the contestant for JSON; an undefined figure is NaN."""
        return {
            "letter": self.letter,
            "path": self.path,
            "model": self.model,
            "dataset": self.dataset,
            "runs": [result.path for result in self.results],
            **{metric: {"mean": self.mean(metric), "std": self.std(metric)} for metric in SHOWN},
            "leakage": {figure: self.leakage(figure) for figure in ("centre", "overlap")},
        }


def open_contestants(
    paths: Sequence[str | Path], data_root: str | Path | None = None
) -> tuple[list[Contestant], Scene]:
    """Open one contestant for each path, a run folder or a folder of runs, and their common scene.

    Raises
    ------
    ConfigError
        When there are fewer than two, or one is given twice.
    RunError
        When a folder is no finished run, mixes networks, or is on another label map than the first.
    """
    if len(paths) < 2:
        raise ConfigError("A comparison needs at least two run folders, or folders of runs.")
    groups = [open_runs(path) for path in paths]
    seen: set[Path] = set()
    for run in (run for runs in groups for run in runs):
        if run.path.resolve() in seen:
            raise ConfigError(f"The run '{run.path}' is given twice; a run cannot be compared with itself.")
        seen.add(run.path.resolve())
    first = groups[0][0]
    for path, runs in zip(paths, groups, strict=True):
        for run in runs:
            if run.split.labels_sha256 != first.split.labels_sha256:
                raise RunError(
                    f"'{first.path}' ({' and '.join(first.scene_names)}) and '{run.path}' "
                    f"({' and '.join(run.scene_names)}) are on different label maps; only runs on one scene "
                    "can be compared."
                )
            for name in _SAME:
                ours, theirs = getattr(runs[0].config, name), getattr(run.config, name)
                if ours != theirs:
                    raise RunError(
                        f"'{path}' mixes runs with {name} = {ours!r} and {theirs!r}; a contestant is one "
                        "network with one set of options, so give the runs of each in a folder of their own."
                    )
            _ = run.metrics  # raises for an unfinished run before the scene is loaded
    scene = first.load_scene(data_root)
    contestants = []
    for number, (path, runs) in enumerate(zip(paths, groups, strict=True)):
        names = {name: runs[0].metrics[name] for name in ("model", "dataset")}
        results = tuple(_result(run, scene) for run in runs)
        contestants.append(Contestant(_letter(number), str(path), **names, results=results))
    return contestants, scene


def _result(run: Run, scene: Scene) -> Result:
    split, scores = run.split, run.scores["test"]
    truth, predicted = scene.labels.ravel()[split.test], run.predictions["test"]
    if (confusion_matrix(truth, predicted, scene.classes) != scores.confusion).any():
        raise RunError(
            f"The predictions of the run '{run.path}' do not give the scores in its metrics.json; "
            "train it anew."
        )
    content = b"".join(np.ascontiguousarray(part, "<i8").tobytes() for part in (split.train, split.test))
    return Result(
        path=str(run.path),
        seed=run.config.seed,
        split_id=hashlib.sha256(f"{len(split.train)} ".encode() + content).hexdigest(),
        train_pixels=len(split.train),
        pixels=split.test,
        truth=truth,
        predicted=predicted,
        scores=scores,
        leakage=run.metrics["leakage"],
    )


def _letter(number: int) -> str:
    repeat, letter = divmod(number, 26)
    return string.ascii_uppercase[letter] + (str(repeat + 1) if repeat else "")


Matches = dict[str, list[tuple[Result, Result]]]


def match_runs(first: Sequence[Result], second: Sequence[Result]) -> Matches:
    """Pair runs with the same train and test pixels, each run at most once; return the pairs by split hash.

    Runs of one split are paired by seed, then the rest in the order of their seeds: on one split the seed
    only sets the random start, so any pairing of two networks is valid. Splits are in the order of `first`.
    """
    matches: Matches = {}
    for split_id in dict.fromkeys(result.split_id for result in first):
        ours = sorted((r for r in first if r.split_id == split_id), key=lambda r: r.seed)
        theirs = sorted((r for r in second if r.split_id == split_id), key=lambda r: r.seed)
        pairs = []
        for one in list(ours):
            two = next((result for result in theirs if result.seed == one.seed), None)
            if two is not None:
                pairs.append((one, two))
                ours.remove(one)
                theirs.remove(two)
        pairs += zip(ours, theirs, strict=False)
        if pairs:
            matches[split_id] = pairs
    return matches
