"""The tables of the page, from what runs hold."""

from __future__ import annotations

import base64
import dataclasses
import io
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure

from hsi.datasets.scene import Scene
from hsi.figures.style import STYLE
from hsi.report.classified import Classified
from hsi.report.run_figures import curves_of, kept_epoch
from hsi.report.words import command_words, confidence_words, leakage_words, number, percent
from hsi.runs.folder import PARTS, Run
from hsi.runs.spread import spread_of

SCORES = {"oa": "OA %", "aa": "AA %", "kappa": "kappa (x100)", "mean_precision": "mean precision %"}
SHADES = 10


def score_rows(groups: Sequence[Sequence[Run]], names: Mapping[int, str]) -> list[dict[str, Any]]:
    """Return the rows of the table of scores: a run each, and below a group its mean and spread.

    A group has a mean where all its runs are of one network, scene and split scheme. `names` are of the runs,
    by their ``id``.
    """
    rows: list[dict[str, Any]] = []
    for group in groups:
        for run in group:
            metrics = run.metrics
            values = [percent(metrics["test"][score]) for score in SCORES]
            values += [percent(metrics["leakage"][figure]) for figure in ("centre", "overlap")]
            about = f"{metrics['model']} on {metrics['dataset']}, {metrics['scheme']} split"
            rows.append(
                {
                    "name": names[id(run)],
                    "about": about,
                    "tested": metrics["counts"]["test"],
                    "values": values,
                }
            )
        kinds = {tuple(run.metrics[key] for key in ("model", "dataset", "scheme")) for run in group}
        if len(group) > 1 and len(kinds) == 1:
            spread = spread_of(run.metrics for run in group)
            values = [
                f"{percent(spread[score]['mean'])} ± {percent(spread[score]['std'])}" for score in SCORES
            ]
            for figure in ("centre", "overlap"):
                values.append(percent(float(np.mean([run.metrics["leakage"][figure] for run in group]))))
            about = "± is the sample standard deviation (n - 1), in points"
            rows.append({"name": f"Mean of {len(group)}", "about": about, "tested": "", "values": values})
    return rows


def run_content(run: Run, scene: Scene, classified: Classified, name: str) -> dict[str, Any]:
    """Return what the page says of one run; all scores are of its test pixels."""
    metrics = run.metrics
    scores = run.scores["test"]
    curves = curves_of(run)
    confidence = float(classified.confidence.ravel()[run.split.test].mean())
    return {
        "name": name,
        "title": f"{metrics['model']} on {metrics['dataset']}, {metrics['scheme']} split",
        "leakage": leakage_words(metrics["leakage"]),
        "confidence": confidence_words(confidence, scores.oa, metrics["model"]),
        "facts": _facts(run),
        "options": [
            (key, _shown(value))
            for key, value in dataclasses.asdict(run.config).items()
            if value is not None and value != {}
        ],
        "made": _made(run),
        "curves": None if curves is None else _svg(curves),
        "curves_say": "" if curves is None else _curves_say(run),
        "classes": _class_rows(run, scene),
        "confusion": _confusion(scores.confusion),
        "support": scores.support.tolist(),
    }


def recall_table(runs: Sequence[Run], scene: Scene) -> list[dict[str, Any]]:
    """Return the recall of each class on the test pixels, a value a run."""
    return [
        {
            "name": name,
            "color": color,
            "values": [percent(run.metrics["test"]["recall"][place]) for run in runs],
        }
        for place, (name, color) in enumerate(zip(scene.class_names, scene.colors, strict=True))
    ]


def _facts(run: Run) -> list[tuple[str, str]]:
    metrics = run.metrics
    counts, seconds = metrics["counts"], metrics["seconds"]
    facts = [
        ("Pixels", ", ".join(f"{part} {number(counts[part])}" for part in PARTS)),
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
    """Return what the run was made with, from its environment.json."""
    environment = run.environment
    packages = ", ".join(f"{name} {of}" for name, of in environment["packages"].items() if of)
    made = [
        ("Command", command_words(environment)),
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
                "color": color,
                "values": [
                    train["support"][place],
                    int(test.support[place]),
                    percent(test.recall[place]),
                    percent(test.precision[place]),
                    percent(test.f1[place]),
                ],
                "taken": taken,
            }
        )
    return rows


def _confusion(confusion: Any) -> list[list[tuple[int, str]]]:
    """Return each cell as its shade, 0..SHADES, and its share of the row in percent; "" where empty."""
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


def _svg(figure: Figure) -> str:
    """Return a figure as the address of an embedded SVG; the same bytes each time."""
    file = io.BytesIO()
    with rc_context({**STYLE, "svg.hashsalt": "hsi"}):
        figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
    return "data:image/svg+xml;base64," + base64.b64encode(file.getvalue()).decode("ascii")
