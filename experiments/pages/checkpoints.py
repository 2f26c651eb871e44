"""The chapter of RESULTS.md on which weights a training keeps: rules compared on trainings of their own."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy import stats

from experiments.pages.table import p_value
from hsi.io.text import read_rows

COLUMNS = (
    "scene",
    "model",
    "seed",
    "weights",
    "averaged",
    "epoch",
    "val_oa",
    "val_error",
    "val_loss",
    "test_oa",
    "test_aa",
)
"""``weights``: plain, or ema (exponential moving average); ``averaged``: how many epochs' weights, up to
``epoch``, are averaged; ``val_error``: standard error of the validation OA, with fields as observations."""
ABOUT = """
## Which weights a training keeps

{runs} trainings ({models}) of {epochs} epochs on {scenes}, seeds {seeds},
with the settings of `real_small.toml` for separate regions, on splits that no other table has;
`python -m experiments.checkpoint_rules` repeats them. After each epoch the network's own weights and their
exponential moving average (EMA) are scored on the validation pixels and on every n-th test pixel, about
700 of them. A rule sees validation pixels only.

Test AA and OA x100, mean over the trainings. Differences of OA to *{usual}*, in points: mean ± standard
deviation over the trainings, in how many of them the rule is better and worse, and p of the two-sided t-test
on the means of each network and scene. Regret: how far the rule stays behind the best rule of the table in
the mean of a network and scene, where that is most. Where the learning rate falls to 0, as in all of these
trainings, `hsi` keeps the last epoch: the simplest of the rules that differ by less than the trainings do.

"""

Row = dict[str, str]
Training = list[Row]


def best_oa(rows: Training) -> Row:
    """Return the epoch with the best validation OA, of several that with the lowest validation loss."""
    return max(rows, key=lambda row: (float(row["val_oa"]), -float(row["val_loss"])))


def lowest_loss(rows: Training) -> Row:
    """Return the epoch with the lowest validation loss."""
    return min(rows, key=lambda row: float(row["val_loss"]))


def within_one_error(rows: Training) -> Training:
    """Return the epochs with a validation OA within one standard error of the best (Breiman et al. 1984)."""
    best = best_oa(rows)
    floor = float(best["val_oa"]) - float(best["val_error"])
    return [row for row in rows if float(row["val_oa"]) >= floor] if math.isfinite(floor) else [best]


def best_smoothed(rows: Training) -> Row:
    """Return the epoch with the best mean validation OA of itself and its neighbours."""
    values = [float(row["val_oa"]) for row in rows]
    means = [np.mean(values[max(0, epoch - 1) : epoch + 2]) for epoch in range(len(values))]
    return rows[max(range(len(rows)), key=lambda epoch: (means[epoch], epoch))]


def last(rows: Training) -> Row:
    """Return the last epoch."""
    return rows[-1]


class Rule(NamedTuple):
    """What a training keeps: the epoch that `choose` takes of these weights."""

    choose: Callable[[Training], Row]
    weights: str = "ema"
    averaged: int = 1

    def keep(self, rows: Training) -> Row | None:
        """Return the row of the weights that are kept of a training; None where they were not measured."""
        found = [
            row for row in rows if (row["weights"], row["averaged"]) == (self.weights, str(self.averaged))
        ]
        return self.choose(sorted(found, key=lambda row: int(row["epoch"]))) if found else None


USUAL = "best validation OA"
RULES = {
    USUAL: Rule(best_oa),
    "lowest validation loss": Rule(lowest_loss),
    "best mean OA of three epochs": Rule(best_smoothed),
    "first epoch within one standard error": Rule(lambda rows: within_one_error(rows)[0]),
    "last epoch within one standard error": Rule(lambda rows: within_one_error(rows)[-1]),
    "last epoch": Rule(last),
    "mean weights of the last three epochs": Rule(last, averaged=3),
    "mean weights of the last six epochs": Rule(last, averaged=6),
    "without EMA: best validation OA": Rule(best_oa, "plain"),
    "without EMA: lowest validation loss": Rule(lowest_loss, "plain"),
    "without EMA: last epoch": Rule(last, "plain"),
    "without EMA: mean weights of the last two epochs": Rule(last, "plain", 2),
    "without EMA: mean weights of the last four epochs": Rule(last, "plain", 4),
    "without EMA: mean weights of the last six epochs": Rule(last, "plain", 6),
}
"""The rules of the tables, first the one that others are compared with; averaged weights (EMA) where nothing
else is said."""


def files(root: Path) -> list[Path]:
    """Return the file of results, if there is one."""
    path = root / "results" / "checkpoint_rules.csv"
    return [path] if path.is_file() else []


def read_trainings(path: Path) -> dict[tuple[str, str, str], Training]:
    """Return the rows of each training, by network, scene and seed."""
    trainings: dict[tuple[str, str, str], Training] = {}
    for row in read_rows(path, COLUMNS, "experiments.checkpoint_rules"):
        trainings.setdefault((row["model"], row["scene"], row["seed"]), []).append(row)
    return trainings


def chapter(root: Path) -> str:
    """Return the chapter, empty without measurements."""
    trainings = read_trainings(files(root)[0]) if files(root) else {}
    if not trainings:
        return ""
    models, scenes, seeds = (list(dict.fromkeys(key[place] for key in trainings)) for place in range(3))
    epochs = sorted({1 + max(int(row["epoch"]) for row in rows) for rows in trainings.values()})
    about = ABOUT.format(
        runs=len(trainings),
        models=", ".join(f"{model} {sum(key[0] == model for key in trainings)}" for model in models),
        scenes=", ".join(scenes),
        seeds=", ".join(seeds),
        epochs=" or ".join(map(str, epochs)),
        usual=USUAL,
    )
    groups = list(dict.fromkeys(key[:2] for key in trainings))
    test: dict[str, list[float]] = {}
    aa: dict[str, float] = {}
    for name, rule in RULES.items():
        kept = [row for rows in trainings.values() if (row := rule.keep(rows)) is not None]
        if len(kept) == len(trainings):
            test[name] = [100 * float(row["test_oa"]) for row in kept]
            aa[name] = float(np.mean([100 * float(row["test_aa"]) for row in kept]))
    means = {rule: _group_means(values, list(trainings), groups) for rule, values in test.items()}
    return about + "\n".join([*_summary(test, aa, means, groups), "", *_by_group(means, groups)]) + "\n"


Group = tuple[str, str]


def _group_means(
    values: Sequence[float], keys: Sequence[tuple[str, str, str]], groups: Sequence[Group]
) -> list[float]:
    """Return the mean over the seeds of each network and scene."""
    return [
        float(np.mean([value for value, key in zip(values, keys, strict=True) if key[:2] == group]))
        for group in groups
    ]


def _summary(
    test: dict[str, list[float]], aa: dict[str, float], means: dict[str, list[float]], groups: Sequence[Group]
) -> list[str]:
    best = np.max(list(means.values()), axis=0)
    lines = [
        f"| rule | test AA | test OA | - {USUAL} | better, worse | p | regret in the worst case |",
        "|---|--:|--:|--:|--:|--:|:--|",
    ]
    for rule, values in test.items():
        regret = best - means[rule]
        worst = int(np.argmax(regret))
        behind = f"{regret[worst]:.2f} ({', '.join(groups[worst])})"
        change = np.subtract(values, test[USUAL])
        compared = "| | | "
        if rule != USUAL:
            p = (
                stats.ttest_1samp(np.subtract(means[rule], means[USUAL]), 0).pvalue
                if len(groups) > 1
                else math.nan
            )
            counts = f"{(change > 0).sum()}, {(change < 0).sum()}"
            spread = f" ± {change.std(ddof=1):.2f}" if len(change) > 1 else ""
            compared = f"| {change.mean():+.2f}{spread} | {counts} | {p_value(float(p))} "
        lines.append(f"| {rule} | {aa[rule]:.2f} | {np.mean(values):.2f} {compared}| {behind} |")
    return lines


def _by_group(means: dict[str, list[float]], groups: Sequence[Group]) -> list[str]:
    lines = [
        "Test OA of each network and scene, mean over the seeds:\n",
        "| rule | " + " | ".join(f"{model}, {scene}" for model, scene in groups) + " |",
        "|---|" + "--:|" * len(groups),
    ]
    for rule, values in means.items():
        lines.append(f"| {rule} | " + " | ".join(f"{value:.2f}" for value in values) + " |")
    return lines
