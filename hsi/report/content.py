"""Texts and tables of the page."""

from __future__ import annotations

import json
import math
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hsi.comparison import Comparison, Pair, compare
from hsi.datasets.scene import Scene
from hsi.datasets.splits.indices import SUBSETS
from hsi.errors import HsiError
from hsi.inference.run import Run, open_runs
from hsi.report.area_section import area_section
from hsi.report.confidence_section import (
    confidence_section,
    confidence_text,
    is_calibrated,
    smoothings_tried,
)
from hsi.report.pictures import Classified, has_curves, kept_epoch
from hsi.report.score_table import listed, number, percent, points
from hsi.scoring.scores import wilson_interval


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


SHADES = 10


def page_title(runs: Sequence[Run]) -> str:
    """Name networks, scenes and schemes of the runs, each once: "svm and wcnet on demo, disjoint split"."""
    named = {
        key: listed(list(dict.fromkeys(str(run.metrics[key]) for run in runs)))
        for key in ("model", "dataset", "scheme")
    }
    count = (
        "" if len(runs) == 1 or len({run.metrics["model"] for run in runs}) > 1 else f"{len(runs)} runs of "
    )
    splits = "splits" if " and " in named["scheme"] else "split"
    return f"{count}{named['model']} on {named['dataset']}, {named['scheme']} {splits}"


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
        "confidence": confidence_text(
            confidence, scores.oa, metrics["model"], calibrated=is_calibrated(metrics)
        ),
        "reliability": confidence_section(metrics),
        "smoothings": smoothings_tried(metrics),
        "areas": area_section(run, scene, classified),
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
