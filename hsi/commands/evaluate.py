"""`hsi evaluate`: score finished runs anew."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from hsi.commands import options as o


def evaluate(
    run: Annotated[
        Path | None,
        typer.Argument(
            help="A run folder, or a folder of run folders; without it, the newest run in ./runs.",
            show_default=False,
        ),
    ] = None,
    distance: Annotated[
        bool,
        typer.Option(
            "--distance", help="Accuracy against the distance to the nearest training pixel, drawn too."
        ),
    ] = False,
    device: o.Device = None,
    data_root: o.DataRoot = None,
    json: o.Json = False,
) -> None:
    """Classify the test pixels of a run anew with its best weights, and show all its scores.

    With --distance a figure is written to RUN/figures, as PNG and PDF; the runs of a folder share one.

    \b
      hsi evaluate
      hsi evaluate runs/first
      hsi evaluate runs/first --json
      hsi evaluate runs/first --distance
      hsi evaluate runs/folds --distance
    """
    from hsi.commands import screen
    from hsi.commands import screen as results
    from hsi.inference.run import accuracy_by_distance, open_runs

    run = run or o.newest_run()
    opened = open_runs(run)
    scored: list[dict[str, Any]] = []
    curves = {}
    for one in opened:
        metrics = dict(one.metrics)
        scene = one.load_scene(data_root)
        metrics["test"] = one.evaluate(scene, device=device or "auto").as_dict()
        if distance:
            bins = curves[one.path.name] = accuracy_by_distance(one, scene)
            metrics["distance"] = [each.as_dict() for each in bins]
        scored.append({"run": str(one.path), **metrics})
    figures = _draw(run, curves, {one.config.patch // 2 for one in opened}) if distance else []
    if json:
        drawn = {"figures": [str(path) for path in figures]} if distance else {}
        screen.print_json({**scored[0], **drawn} if len(opened) == 1 else {"runs": scored, **drawn})
        return
    for metrics in scored:
        screen.out().print(results.score_table(metrics))
        screen.out().print(results.class_table(metrics, metrics["class_names"]))
        if distance:
            screen.out().print(results.distance_table(metrics["distance"]))
    for path in figures:
        screen.out().print(f"Figure: {path}", highlight=False, markup=False, soft_wrap=True)


def _draw(folder: Path, curves: dict[str, Any], half_widths: set[int]) -> list[Path]:
    from hsi.figures.curves import draw_distance
    from hsi.figures.style import save_figure

    return save_figure(draw_distance(curves, half_widths), folder / "figures", "distance")
