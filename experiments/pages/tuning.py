"""The chapter of RESULTS.md on the tuning budget: what each network was tried with, by validation only."""

from __future__ import annotations

from pathlib import Path

from experiments.pages.table import Cell, read_cells
from hsi.io.text import read_toml

NAME = "tuning"
ABOUT = """
## {title}

Every network gets the same tuning budget: {rates} on {splits} splits of {scene} into separate regions
(`tuning.toml`) that no other table uses, though other splits of this scene, and so its pixels, are in
tables above. Each cell is the validation OA on each split, x100; test scores are not looked at. A rate
other than {usual:g} is taken for `real_small.toml` where it is better on every split, the best of such
rates where there are several. Classical models are tuned on each split's own training pixels.
"""

Trials = dict[str, dict[float, Cell]]


def files(root: Path) -> list[Path]:
    """Return the file of results, if there is one."""
    path = root / "results" / f"{NAME}.csv"
    return [path] if path.is_file() else []


def read_trials(root: Path) -> tuple[Trials, float]:
    """Return the runs of each model by learning rate, and the default rate."""
    experiment = read_toml(root / f"{NAME}.toml")
    usual = float(experiment["defaults"]["lr"])
    trials: Trials = {}
    for path in files(root):
        for cell in read_cells(path):
            rate = float(experiment["models"][cell.label].get("lr", usual))
            trials.setdefault(cell.rows[0]["model"], {})[rate] = cell
    return trials, usual


def chosen_rate(trials: dict[float, Cell], usual: float) -> float:
    """Return the rate with the best validation OA among those better than the default on every split."""
    scores = {rate: cell.by_split("val_oa") for rate, cell in trials.items()}
    floor = scores[usual]
    better = [
        rate
        for rate, found in scores.items()
        if found.keys() == floor.keys() and all(found[split] > floor[split] for split in floor)
    ]
    return max(better, key=lambda rate: trials[rate].mean("val_oa"), default=usual)


def chapter(root: Path) -> str:
    """Return the chapter, empty without measurements."""
    trials, usual = read_trials(root) if files(root) else ({}, 0.0)
    if not trials:
        return ""
    rates = sorted({rate for tried in trials.values() for rate in tried})
    one = next(iter(next(iter(trials.values())).values()))
    lines = [
        ABOUT.format(
            title=read_toml(root / f"{NAME}.toml")["title"],
            rates="learning rates " + ", ".join(f"{rate:g}" for rate in rates),
            splits=max(len(cell.rows) for tried in trials.values() for cell in tried.values()),
            scene=one.scene,
            usual=usual,
        ),
        "| model | " + " | ".join(f"{rate:g}" for rate in rates) + " | taken |",
        "|---|" + "--:|" * (len(rates) + 1),
    ]
    for model, tried in trials.items():
        shown = [_scores(tried[rate]) if rate in tried else "" for rate in rates]
        taken = f"{chosen_rate(tried, usual):g}" if usual in tried else ""
        lines.append(f"| {model} | {' | '.join(shown)} | {taken} |")
    return "\n".join(lines) + "\n"


def _scores(cell: Cell) -> str:
    return ", ".join(f"{100 * score:.1f}" for score in cell.values("val_oa"))
