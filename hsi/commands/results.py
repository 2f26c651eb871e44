"""Scores as tables: the same for `train` and `evaluate`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rich.console import Group
from rich.text import Text

from hsi.commands.screen import percent, table


def score_table(metrics: dict[str, Any]) -> Group:
    """Return OA, AA and kappa of each part, with the leakage of the split below."""
    what = f"{metrics['model']} on {metrics['dataset']}"
    if metrics.get("synthetic"):
        what += " (a synthetic scene)"
    title = f"{what}, {metrics['scheme']} split, patch {metrics['patch']}, seed {metrics['seed']}"
    columns = [
        ("pixels", False),
        ("count", True),
        ("OA %", True),
        ("AA %", True),
        ("kappa (x100)", True),
        ("mean precision %", True),
    ]
    rows = [
        [part, metrics["counts"][part]]
        + [percent(metrics[part][name]) for name in ("oa", "aa", "kappa", "mean_precision")]
        for part in ("train", "val", "test")
        if metrics.get(part)
    ]
    return Group(table(title, columns, rows), Text(leakage_sentence(metrics["leakage"])))


def leakage_sentence(leakage: dict[str, float]) -> str:
    """Say how much of the test part the network saw while it was trained."""
    centre, overlap = percent(leakage["centre"]), percent(leakage["overlap"])
    return f"Leakage: {centre} % of test pixels lie in a training patch, {overlap} % share a pixel with one."


def class_table(metrics: dict[str, Any], names: Iterable[str]) -> Any:
    """Return recall and precision of each class on the test pixels."""
    test = metrics["test"]
    columns = [
        ("class", True),
        ("name", False),
        ("train", True),
        ("test", True),
        ("recall %", True),
        ("precision %", True),
    ]
    rows = [
        [
            number,
            name,
            metrics["train"]["support"][number - 1],
            test["support"][number - 1],
            percent(test["recall"][number - 1]),
            percent(test["precision"][number - 1]),
        ]
        for number, name in enumerate(names, start=1)
    ]
    return table("Per class, on the test pixels", columns, rows)


def distance_table(bins: Iterable[dict[str, Any]]) -> Group:
    """Return the accuracy of test pixels near to training pixels and far from them."""
    columns = [("distance, px", True), ("test pixels", True), ("OA %", True), ("95 % interval", True)]
    rows = []
    for one in bins:
        near, far = one["nearest"], one["farthest"]
        bounds = one["interval"]
        rows.append(
            [
                near if near == far else f"{near} or more" if far is None else f"{near}-{far}",
                one["pixels"],
                percent(one["oa"]),
                "-" if bounds is None else f"{percent(bounds[0])} - {percent(bounds[1])}",
            ]
        )
    what = table("By Chebyshev distance to the nearest training pixel", columns, rows)
    return Group(what, Text("The Wilson intervals take pixels as independent; neighbours are not."))
