"""`hsi evaluate`: score a finished run anew."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hsi.commands import options as o


def evaluate(
    run: Annotated[Path, typer.Argument(help="A run folder.", show_default=False)],
    device: o.Device = None,
    data_root: o.DataRoot = None,
    json: o.Json = False,
) -> None:
    """Classify the test pixels of a run anew with its best weights, and show all its scores.

    \b
      hsi evaluate runs/first
      hsi evaluate runs/first --json
    """
    from hsi.commands import results, screen
    from hsi.runs.folder import open_run

    opened = open_run(run)
    metrics = dict(opened.metrics)
    metrics["test"] = opened.evaluate(opened.load_scene(data_root), device=device or "auto").as_dict()
    if json:
        screen.print_json({"run": str(run), **metrics})
        return
    screen.out().print(results.score_table(metrics))
    screen.out().print(results.class_table(metrics, metrics["class_names"]))
