"""Texts and tables of the page."""

from __future__ import annotations

import json
import math
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hsi.comparison import Comparison, Pair, compare
from hsi.datasets.scene import Scene
from hsi.datasets.splits.indices import SUBSETS
from hsi.errors import HsiError
from hsi.inference.run import Run, open_runs
from hsi.report.pictures import Classified, has_curves, kept_epoch
from hsi.scoring.scores import spread_of, wilson_interval

WITHOUT_PROBABILITIES = ("svm",)
"""Models whose scores are not log probabilities; see `hsi.models.classical_tuning`."""


def percent(fraction: float | None, decimals: int = 2) -> str:
    """Return a fraction x100, "-" for None and NaN."""
    if fraction is None or math.isnan(fraction):
        return "-"
    return f"{100 * fraction:.{decimals}f}"


def leakage_text(leakage: Mapping[str, float]) -> str:
    """Say how much of the test part the network saw in training, and what that means for the scores."""
    centre, overlap = leakage["centre"], leakage["overlap"]
    if overlap == 0 and centre == 0:
        return (
            "No leakage: no test pixel lies in a training patch, and no patch of a test pixel shares a pixel "
            "with one. The scores are of ground that was not seen in training."
        )
    figures = (
        f"Leakage: {percent(centre)} % of the test pixels lie in a training patch, {percent(overlap)} % "
        "share a pixel with one through their own patch."
    )
    if centre == 0:
        return f"{figures} What surrounds such test pixels was partly seen in training."
    return (
        f"{figures} The scores tell how well the gaps between training pixels are filled, not how well new "
        "ground is classified."
    )


def confidence_text(confidence: float, oa: float, model: str) -> str:
    """Compare the mean confidence on the test pixels with how often they are right; both fractions."""
    what = "Confidence is the largest share of the softmax over the model's scores."
    if model in WITHOUT_PROBABILITIES:
        return f"{what} The scores of an {model.upper()} are no probabilities, so it only orders pixels."
    return (
        f"{what} On the test pixels its mean is {percent(confidence)} %, while {percent(oa)} % of them are "
        "right: it is a probability only as far as these two agree."
    )


def command_line(environment: Mapping[str, Any]) -> str:
    """Return the command line of a run, without the folder of the program."""
    line: Sequence[str] = environment.get("command_line") or []
    return shlex.join([Path(word).name if index == 0 else word for index, word in enumerate(line)])


def short_names(paths: Sequence[Path]) -> list[str]:
    """Return the shortest ends of the paths, equally long, that tell different paths apart."""
    parts = [path.resolve().parts for path in paths]
    different = len(set(parts))
    for length in range(1, max(map(len, parts)) + 1):
        names = ["/".join(one[-length:]) for one in parts]
        if len(set(names)) == different:
            return names
    return names


def number(value: float | None) -> str:
    """Format a count with thin spaces between thousands, or a fraction with three digits."""
    if value is None:
        return "-"
    return f"{value:,.0f}".replace(",", "\u202f") if value >= 100 or value == int(value) else f"{value:.3g}"


SCORES = {"oa": "OA %", "aa": "AA %", "kappa": "kappa (x100)", "mean_precision": "mean precision %"}
SHADES = 10


def page_title(runs: Sequence[Run]) -> str:
    """Name networks, scenes and schemes of the runs, each once: "svm and wcnet on demo, disjoint split"."""
    named = {
        key: _listed(list(dict.fromkeys(str(run.metrics[key]) for run in runs)))
        for key in ("model", "dataset", "scheme")
    }
    count = (
        "" if len(runs) == 1 or len({run.metrics["model"] for run in runs}) > 1 else f"{len(runs)} runs of "
    )
    splits = "splits" if " and " in named["scheme"] else "split"
    return f"{count}{named['model']} on {named['dataset']}, {named['scheme']} {splits}"


def _listed(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def score_tiles(run: Run) -> list[dict[str, Any]]:
    """Return OA, AA, kappa and leakage of one run: name, value, a few words, and whether it is a warning."""
    test, leakage = run.metrics["test"], run.metrics["leakage"]
    tested = number(run.metrics["counts"]["test"])
    classes = sum(1 for support in test["support"] if support)
    shared = f"{percent(leakage['overlap'])} % of patches share a pixel with training"
    return [
        {"name": name, "value": value, "about": about, "warn": warn}
        for name, value, about, warn in (
            ("Overall accuracy (OA)", f"{percent(test['oa'])} %", f"of {tested} test pixels", False),
            ("Average accuracy (AA)", f"{percent(test['aa'])} %", f"mean recall of {classes} classes", False),
            ("Kappa (x100)", percent(test["kappa"]), "agreement beyond chance", False),
            ("Leakage", f"{percent(leakage['centre'])} %", shared, leakage["overlap"] > 0),
        )
    ]


def leakage_lines(runs: Sequence[Run], names: Mapping[int, str]) -> list[tuple[str, str]]:
    """Return what the leakage of the runs means, and who it holds for; "" for all."""
    said: dict[str, list[str]] = {}
    for run in runs:
        said.setdefault(leakage_text(run.metrics["leakage"]), []).append(names[id(run)])
    return [("" if len(said) == 1 else _listed(who), text) for text, who in said.items()]


def score_rows(groups: Sequence[Sequence[Run]], names: Mapping[int, str]) -> list[dict[str, Any]]:
    """Return the rows of the table of scores: each run, and below each group its mean and deviation.

    Groups of different networks, scenes or schemes have no mean. Two single runs have their difference.
    `names` are keyed by the ``id`` of the run.
    """
    rows: list[dict[str, Any]] = []
    runs = [run for group in groups for run in group]
    differing = [key for key in ("model", "dataset", "scheme") if len({run.metrics[key] for run in runs}) > 1]
    for group in groups:
        for run in group:
            metrics = run.metrics
            values = [percent(metrics["test"][score]) for score in SCORES]
            values += [percent(metrics["leakage"][figure]) for figure in ("centre", "overlap")]
            about = ", ".join(str(metrics[key]) for key in differing if metrics[key] != names[id(run)])
            rows.append(_row(names[id(run)], about, values, tested=number(metrics["counts"]["test"])))
        kinds = {tuple(run.metrics[key] for key in ("model", "dataset", "scheme")) for run in group}
        if len(group) > 1 and len(kinds) == 1:
            spread = spread_of(run.metrics for run in group)
            values = [
                f"{percent(spread[score]['mean'])} ± {percent(spread[score]['std'])}" for score in SCORES
            ]
            for figure in ("centre", "overlap"):
                values.append(percent(float(np.mean([run.metrics["leakage"][figure] for run in group]))))
            about = "± is the sample standard deviation (n - 1), in points"
            rows.append(_row(f"Mean of {len(group)}", about, values, total=True))
    if [len(group) for group in groups] == [1, 1]:
        first, second = (group[0].metrics for group in groups)
        values = [points(first["test"][score], second["test"][score]) for score in SCORES]
        values += [
            points(first["leakage"][figure], second["leakage"][figure]) for figure in ("centre", "overlap")
        ]
        about = f"{rows[1]['name']} minus {rows[0]['name']}, in points"
        rows.append(_row("Difference", about, values, total=True))
    return rows


def _row(
    name: str, about: str, values: Sequence[str], *, tested: str = "", total: bool = False
) -> dict[str, Any]:
    return {"name": name, "about": about, "tested": tested, "values": values, "total": total}


def points(first: float | None, second: float | None) -> str:
    """Return second minus first in points, with its sign; "-" where one has no meaning."""
    if first is None or second is None or math.isnan(first) or math.isnan(second):
        return "-"
    return f"{100 * (second - first):+.2f}"


def verdict_lines(
    groups: Sequence[Sequence[Run]], names: Mapping[int, str], data_root: str | Path | None
) -> list[str]:
    """Say of each pair of groups whether their OA differs by more than chance, by `hsi.comparison.compare`.

    Where the runs cannot be compared, say why.
    """
    paths = [_contestant(group) for group in groups]
    if len(paths) < 2 or None in paths:
        return []
    called = [
        names[id(group[0])] if len(group) == 1 else Path(path or "").resolve().name
        for group, path in zip(groups, paths, strict=True)
    ]
    try:
        comparison = compare(*(str(path) for path in paths), data_root=data_root)
    except HsiError as error:
        return [f"No verdict: {error}"]
    letters = {one.letter: name for one, name in zip(comparison.contestants, called, strict=True)}
    said = [_verdict(comparison, pair, letters) for pair in comparison.pairs]
    notes = (note.partition(": ")[2] if len(said) == 1 else note for note in comparison.notes)
    return [*said, *(f"{note[:1].upper()}{note[1:]}" for note in notes)]


def _contestant(group: Sequence[Run]) -> Path | None:
    """Return the folder that holds the runs of a group, and no other; None if there is none."""
    if len(group) == 1:
        return group[0].path
    folder = group[0].path.parent
    try:
        found = {run.path.resolve() for run in open_runs(folder)}
    except HsiError:
        return None
    return folder if found == {run.path.resolve() for run in group} else None


_TESTS = {
    "splits": "t-test over splits",
    "fields and splits": "tests over fields and over splits",
    "fields and starts": "tests over fields and over random starts",
    "fields": "exact test over fields",
}


def _verdict(comparison: Comparison, pair: Pair, letters: Mapping[str, str]) -> str:
    first, second = letters[pair.first], letters[pair.second]
    difference = pair.differences["oa"]
    by = f"p = {pair.p_holm:.3g}" if pair.p_holm >= 0.0001 else "p < 0.0001"
    basis = f"({_TESTS[pair.decided_by]}, {by}" + (", Holm)" if len(comparison.pairs) > 1 else ")")
    if math.isnan(difference) or math.isnan(pair.p_holm):
        return f"{first} and {second}: no test can be made on these runs."
    ahead, behind = (first, second) if difference > 0 else (second, first)
    gap = f"{100 * abs(difference):.2f} points of OA"
    if pair.verdict == "no difference shown":
        return f"{ahead} is {gap} ahead of {behind}, which may be chance {basis}: no difference is shown."
    return f"{ahead} is better than {behind} by {gap}, more than chance explains {basis}."


def recall_of(right: int, pixels: int) -> dict[str, Any]:
    """Return a recall with its 95 % interval (Wilson 1927), as fractions and texts; None without pixels."""
    if not pixels:
        return {"share": None, "low": None, "high": None, "text": "-", "interval": "-"}
    low, high = wilson_interval(right, pixels)
    share = right / pixels
    interval = f"{percent(low, 1)} – {percent(high, 1)}"
    return {"share": share, "low": low, "high": high, "text": percent(share), "interval": interval}


def run_content(run: Run, scene: Scene, classified: Classified, name: str) -> dict[str, Any]:
    """Return the template variables of one run; all scores are of its test pixels."""
    metrics = run.metrics
    scores = run.scores["test"]
    confidence = float(classified.confidence.ravel()[run.split.test].mean())
    return {
        "name": name,
        "title": f"{metrics['model']} on {metrics['dataset']}, {metrics['scheme']} split",
        "confidence": confidence_text(confidence, scores.oa, metrics["model"]),
        "facts": _facts(run),
        "options": [
            (key, _shown(value))
            for key, value in run.config.as_dict().items()
            if value is not None and value != {}
        ],
        "made": _made(run),
        "curves_say": _curves_say(run) if has_curves(run) else "",
        "classes": _class_rows(run, scene),
        "confusion": _confusion(scores.confusion),
        "support": scores.support.tolist(),
    }


def recall_table(runs: Sequence[Run], scene: Scene) -> list[dict[str, Any]]:
    """Return the recall of each class on the test pixels of each run; of two, also the difference."""
    rows = []
    for place, (name, color) in enumerate(zip(scene.class_names, scene.colors, strict=True)):
        counts = [run.scores["test"].confusion[place] for run in runs]
        values = [recall_of(int(row[place]), int(row.sum())) for row in counts]
        difference = points(values[0]["share"], values[-1]["share"])
        rows.append({"name": name, "color": color, "values": values, "difference": difference})
    return rows


def class_codes(scene: Scene) -> tuple[int, ...]:
    """Return the integer of each class in the label file."""
    return scene.label_codes or tuple(range(1, scene.classes + 1))


def is_unnamed(scene: Scene) -> bool:
    """Whether some class has no other name than its number."""
    return any(
        name == f"code {code}" for name, code in zip(scene.class_names, class_codes(scene), strict=True)
    )


def _facts(run: Run) -> list[tuple[str, str]]:
    metrics = run.metrics
    counts, seconds = metrics["counts"], metrics["seconds"]
    facts = [
        ("Pixels", ", ".join(f"{subset} {number(counts[subset])}" for subset in SUBSETS)),
        ("Patch", f"{metrics['patch']} x {metrics['patch']} pixels"),
        ("Bands", number(metrics["bands"])),
        ("Parameters", number(metrics["params"])),
        ("Multiply-adds a patch", number(metrics["macs"])),
        ("Seed", str(metrics["seed"])),
        ("Device", str(metrics["device"])),
        ("Training", f"{number(seconds['train'])} s"),
        ("Classifying the test pixels", f"{number(seconds['test'])} s"),
    ]
    if metrics.get("epochs"):
        facts.insert(6, ("Epochs", str(metrics["epochs"])))
    if metrics.get("components"):
        facts.insert(3, ("Principal components", str(metrics["components"])))
    if metrics.get("chosen"):
        chosen = ", ".join(f"{name} {value:g}" for name, value in metrics["chosen"].items())
        facts.append(("Chosen by cross-validation", chosen))
    return [(name, value) for name, value in facts if value != "-"]


def _made(run: Run) -> list[tuple[str, str]]:
    """Return software, machine and data of the run, from its environment.json."""
    environment = run.environment
    packages = ", ".join(f"{name} {of}" for name, of in environment["packages"].items() if of)
    made = [
        ("Command", command_line(environment)),
        ("hsi", f"{environment['hsi']}, revision {environment.get('git_revision') or 'unknown'}"),
        ("Python", environment["python"]),
        ("Packages", packages),
        ("Machine", f"{environment.get('platform', '')}, {environment.get('processor', '')}"),
    ]
    return made + [(f"SHA-256 of {file}", digest) for file, digest in environment["data_files"].items()]


def _class_rows(run: Run, scene: Scene) -> list[dict[str, Any]]:
    test, train = run.scores["test"], run.metrics["train"]
    rows = []
    for place, (name, color) in enumerate(zip(scene.class_names, scene.colors, strict=True)):
        others = test.confusion[place].copy()
        others[place] = 0
        most = int(others.argmax())
        taken = "-"
        if others[most]:
            share = percent(others[most] / test.support[place], 1)
            taken = f"{scene.class_names[most]} ({share} %)"
        rows.append(
            {
                "name": name,
                "code": class_codes(scene)[place],
                "color": color,
                "train": train["support"][place],
                "test": int(test.support[place]),
                "recall": recall_of(int(test.confusion[place, place]), int(test.support[place])),
                "precision": percent(test.precision[place]),
                "f1": percent(test.f1[place]),
                "taken": taken,
            }
        )
    return rows


def _confusion(confusion: Any) -> list[list[tuple[int, str]]]:
    """Return shade (0..SHADES) and percentage of the row of each cell; "" for empty cells."""
    rows = []
    for counts in confusion:
        total = counts.sum()
        row = []
        for count in counts:
            share = count / total if total else 0.0
            text = "" if not count else f"{100 * share:.0f}" if share >= 0.005 else "<1"
            row.append((round(SHADES * float(share)), text))
        rows.append(row)
    return rows


def _curves_say(run: Run) -> str:
    last, kept = run.history[-1], kept_epoch(run)
    best = run.history[kept]
    return (
        f"Loss and overall accuracy over {len(run.history)} epochs. At the last epoch, training loss "
        f"{last['train_loss']:.3f} and validation loss {last['val_loss']:.3f}; the weights of epoch "
        f"{kept + 1} were kept, with a validation OA of {percent(best['val_oa'])} %."
    )


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return json.dumps(value) if isinstance(value, dict) else str(value)
