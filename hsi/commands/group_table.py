"""Scores of repeated runs as one table: a row for each, their mean and spread below."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Group
from rich.text import Text

from hsi.commands.screen import percent, table
from hsi.runs.spread import spread_of

SHOWN = {"oa": "OA %", "aa": "AA %", "kappa": "kappa (x100)", "mean_precision": "mean precision %"}


def group_table(runs: Mapping[str, dict[str, Any]]) -> Group:
    """Return the test scores of runs, by their names, with mean and sample standard deviation."""
    metrics = list(runs.values())
    first = metrics[0]
    what = f"{first['model']} on {first['dataset']}"
    if first.get("synthetic"):
        what += " (a synthetic scene)"
    title = f"{what}, {first['scheme']} split, patch {first['patch']}: test scores"
    columns = [("run", False), ("pixels", True), *((header, True) for header in SHOWN.values())]
    columns += [("leakage centre %", True), ("leakage overlap %", True)]
    rows = [
        [name, one["counts"]["test"]]
        + [percent(one["test"][score]) for score in SHOWN]
        + [percent(one["leakage"][figure]) for figure in ("centre", "overlap")]
        for name, one in runs.items()
    ]
    made = table(title, columns, rows)
    if len(metrics) == 1:
        return Group(made)
    made.add_section()
    spread = spread_of(metrics)
    made.add_row(
        f"mean of {len(metrics)}",
        "",
        *(f"{percent(spread[score]['mean'])} ± {percent(spread[score]['std'])}" for score in SHOWN),
        *(
            percent(sum(one["leakage"][figure] for one in metrics) / len(metrics))
            for figure in ("centre", "overlap")
        ),
    )
    return Group(made, Text("± is the sample standard deviation (n - 1) over the runs, in points."))
