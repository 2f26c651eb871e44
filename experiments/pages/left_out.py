"""The chapter of RESULTS.md on ground of classes that a training has not seen, and which score finds it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import fmean

from experiments.pages.table import number
from hsi.io.text import read_rows

COLUMNS = (
    "scene",
    "model",
    "seed",
    "class",
    "name",
    "score",
    "auroc",
    "left_out_pixels",
    "left_out_rejected",
    "known_pixels",
    "known_rejected",
    "right_pixels",
    "right_rejected",
    "wrong_pixels",
    "wrong_rejected",
)
"""``known``: test pixels of the other classes; ``right`` and ``wrong``: of these, as the model takes them."""
RATE = 0.05
"""Share of the validation pixels that lies above the threshold of rejection."""
ABOUT = """
## Ground of a class left out

{runs} trainings ({counts}; {scenes}; seed {seeds}), each without the pixels of one class in training and
validation, with the settings of `real_small.toml` for separate regions in fewer epochs, on splits that no
other table has; `python -m experiments.left_out_classes` repeats them. AUROC: the probability that a test
pixel of the class left out has a higher score than one of the other classes, 0.5 by chance. *spectrum*:
the preprocessed spectrum of the pixel, so that the score is the same whatever the model; *features*: what
enters the last layer of a network. Means are over the classes of a scene, then over the scenes, so that
scenes weigh the same.

The score is chosen on classes of odd number, as the highest mean AUROC of those that every model has, and
reported on classes of even number, which had no say: **{chosen}**.
"""

Row = dict[str, str]


def files(root: Path) -> list[Path]:
    """Return the file of results, if there is one."""
    path = root / "results" / "left_out_classes.csv"
    return [path] if path.is_file() else []


def read(root: Path) -> list[Row]:
    """Return the rows of the file of results; none without it."""
    return [row for path in files(root) for row in read_rows(path, COLUMNS, "experiments.left_out_classes")]


def chosen_score(rows: Sequence[Row]) -> str:
    """Return the score with the highest mean AUROC on odd classes, of those that all models have."""
    models = {row["model"] for row in rows}
    scores = list(dict.fromkeys(row["score"] for row in rows))
    everywhere = [
        score for score in scores if {row["model"] for row in rows if row["score"] == score} == models
    ]
    means = {score: _mean_of_models(_odd(rows, score), "auroc") for score in everywhere}
    return max(means, key=lambda score: means[score])


def chapter(root: Path) -> str:
    """Return the chapter, empty without measurements."""
    rows = read(root)
    if not rows:
        return ""
    chosen = chosen_score(rows)
    runs = {tuple(row[part] for part in COLUMNS[:4]) for row in rows}
    models = Counter(run[1] for run in runs)
    about = ABOUT.format(
        runs=len(runs),
        counts=", ".join(f"{count} {model}" for model, count in sorted(models.items())),
        scenes=", ".join(_values(rows, "scene")),
        seeds=", ".join(_values(rows, "seed")),
        chosen=chosen,
    )
    lines = [*_scores(rows, chosen), "", *_rejection(rows, chosen), "", *_classes(rows, chosen)]
    return about + "\n" + "\n".join(lines) + "\n"


def _scores(rows: Sequence[Row], chosen: str) -> list[str]:
    """Return the table of all scores: mean AUROC of each model, odd and even classes."""
    models = _values(rows, "model")
    heads = [f"{model}, {half}" for model in models for half in ("odd", "even")]
    lines = [
        "AUROC of each score, mean over odd and over even classes:\n",
        "| score | " + " | ".join(heads) + " |",
        "|---|" + "--:|" * len(heads),
    ]
    for score in _values(rows, "score"):
        cells = []
        for model in models:
            for half in (_odd, _even):
                own = [row for row in half(rows, score) if row["model"] == model]
                cells.append(f"{_mean_of_scenes(own, 'auroc'):.3f}" if own else "")
        name = f"**{score}**" if score == chosen else score
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return lines


def _rejection(rows: Sequence[Row], chosen: str) -> list[str]:
    """Return the table of what the map does with the chosen score, on even classes."""
    columns = ("left_out_rejected", "known_rejected", "right_rejected", "wrong_rejected")
    lines = [
        f"What a map does that rejects {100 * RATE:g} % of the validation pixels by {chosen}, classes of "
        "even number: mean share of the test pixels that is rejected, in percent.\n",
        "| scene | model | classes | AUROC | left out | known | known, classified right | classified wrong |",
        "|---|---|--:|--:|--:|--:|--:|--:|",
    ]
    even = _even(rows, chosen)
    for scene in _values(even, "scene"):
        for model in _values(even, "model"):
            own = [row for row in even if (row["scene"], row["model"]) == (scene, model)]
            if own:
                shares = [_percent(_mean(own, column)) for column in columns]
                lines.append(
                    f"| {scene} | {model} | {len(own)} | {_mean(own, 'auroc'):.3f} | {' | '.join(shares)} |"
                )
    for model in _values(even, "model"):
        own = [row for row in even if row["model"] == model]
        shares = [_percent(_mean_of_scenes(own, column)) for column in columns]
        lines.append(
            f"| mean of scenes | {model} | {len(own)} | {_mean_of_scenes(own, 'auroc'):.3f} "
            f"| {' | '.join(shares)} |"
        )
    return lines


def _classes(rows: Sequence[Row], chosen: str) -> list[str]:
    """Return the table of all classes with the chosen score."""
    own = [row for row in rows if row["score"] == chosen]
    members: dict[tuple[str, str], list[Row]] = {}
    for row in own:
        members.setdefault((row["scene"], row["class"]), []).append(row)
    # A score of the spectrum is the same whatever the model.
    same = all(len({row["auroc"] for row in found}) == 1 for found in members.values())
    models = ["all models"] if same else _values(own, "model")
    lines = [
        f"Each class left out, score {chosen}: AUROC, and behind it the share of the class and of the other "
        "test pixels that is rejected, in percent.\n",
        "| scene | class | test pixels | " + " | ".join(models) + " |",
        "|---|---|--:|" + "--:|" * len(models),
    ]
    for (scene, label), found in members.items():
        cells = []
        for model in models:
            some = [row for row in found if same or row["model"] == model]
            shares = (_mean(some, column) for column in ("left_out_rejected", "known_rejected"))
            both = ", ".join(f"{100 * share:.0f}" for share in shares)
            cells.append(f"{_mean(some, 'auroc'):.3f} ({both})" if some else "")
        pixels = f"{fmean(int(row['left_out_pixels']) for row in found):.0f}"
        lines.append(f"| {scene} | {label} {found[0]['name']} | {pixels} | {' | '.join(cells)} |")
    return lines


def _odd(rows: Iterable[Row], score: str) -> list[Row]:
    return [row for row in rows if row["score"] == score and int(row["class"]) % 2 == 1]


def _even(rows: Iterable[Row], score: str) -> list[Row]:
    return [row for row in rows if row["score"] == score and int(row["class"]) % 2 == 0]


def _values(rows: Iterable[Row], column: str) -> list[str]:
    return list(dict.fromkeys(row[column] for row in rows))


def _percent(share: float) -> str:
    """Return a share in percent; nothing where it has no meaning."""
    return f"{100 * share:.1f}" if share == share else ""


def _mean(rows: Iterable[Row], column: str) -> float:
    """Return the mean of a column, without rows where it has no meaning; NaN where that is all."""
    found = [value for row in rows if (value := number(row[column])) == value]
    return fmean(found) if found else float("nan")


def _mean_of_scenes(rows: Sequence[Row], column: str) -> float:
    means = [
        _mean([row for row in rows if row["scene"] == scene], column) for scene in _values(rows, "scene")
    ]
    known = [mean for mean in means if mean == mean]
    return fmean(known) if known else float("nan")


def _mean_of_models(rows: Sequence[Row], column: str) -> float:
    return fmean(
        _mean_of_scenes([row for row in rows if row["model"] == model], column)
        for model in _values(rows, "model")
    )
