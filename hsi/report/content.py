"""Texts and tables of the page."""

from __future__ import annotations

import base64
import io
import json
import math
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure

from hsi.datasets.scene import Scene
from hsi.datasets.splits.indices import SUBSETS
from hsi.figures.style import STYLE
from hsi.inference.run import Run
from hsi.report.pictures import Classified, curves_of, kept_epoch
from hsi.scoring.scores import spread_of

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


def score_rows(groups: Sequence[Sequence[Run]], names: Mapping[int, str]) -> list[dict[str, Any]]:
    """Return the rows of the table of scores: each run, and below each group its mean and deviation.

    Groups of different networks, scenes or schemes have no mean. `names` are keyed by the ``id`` of the run.
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
    """Return the template variables of one run; all scores are of its test pixels."""
    metrics = run.metrics
    scores = run.scores["test"]
    curves = curves_of(run)
    confidence = float(classified.confidence.ravel()[run.split.test].mean())
    return {
        "name": name,
        "title": f"{metrics['model']} on {metrics['dataset']}, {metrics['scheme']} split",
        "leakage": leakage_text(metrics["leakage"]),
        "confidence": confidence_text(confidence, scores.oa, metrics["model"]),
        "facts": _facts(run),
        "options": [
            (key, _shown(value))
            for key, value in run.config.as_dict().items()
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
    """Return the recall of each class on the test pixels of each run."""
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


def _svg(figure: Figure) -> str:
    """Return a figure as a reproducible data URL of an SVG."""
    file = io.BytesIO()
    with rc_context({**STYLE, "svg.hashsalt": "hsi"}):
        figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
    return "data:image/svg+xml;base64," + base64.b64encode(file.getvalue()).decode("ascii")
