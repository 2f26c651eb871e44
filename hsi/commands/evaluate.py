"""`hsi evaluate`: score finished runs anew, alone or joined."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hsi.commands import options as o

if TYPE_CHECKING:
    from hsi.inference.run import Run


def evaluate(
    runs: Annotated[
        list[Path] | None,
        typer.Argument(
            help="A run folder, or a folder of run folders; several runs are joined. Without it, the newest "
            "run in ./runs.",
            show_default=False,
        ),
    ] = None,
    smooth: o.Smooth = None,
    coverage: o.Coverage = None,
    reject: o.Reject = None,
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
    """Classify the test pixels of a run anew with the weights that it kept, and show all its scores.

    Several runs on one split, of different models too, are scored as one: the mean of their calibrated
    probabilities. Smoothing is as the run was trained with, or as --smooth says; scores without it stand
    beside. With --distance a figure is written to RUN/figures, as PNG and PDF; the runs of a folder share
    one.

    \b
      hsi evaluate
      hsi evaluate runs/first
      hsi evaluate runs/first --json
      hsi evaluate runs/first --smooth mean --coverage 0.9
      hsi evaluate runs/densenet runs/svm
      hsi evaluate runs/folds --distance
    """
    from hsi.commands import screen
    from hsi.errors import ConfigError
    from hsi.inference.joined import is_ensemble
    from hsi.inference.run import open_runs

    folders = runs or [o.newest_run()]
    if len(folders) > 1 or is_ensemble(folders[0]):
        if distance:
            raise ConfigError("--distance is of one run; leave it out, or name one run.")
        _evaluate_joined(folders, smooth, coverage, reject, device or "auto", data_root, json)
        return
    opened = open_runs(folders[0])
    scored: list[dict[str, Any]] = []
    curves = {}
    for run in opened:
        metrics = _evaluate_one(run, smooth, coverage, reject, distance, device or "auto", data_root)
        if distance:
            curves[run.path.name] = metrics["distance"]
            metrics["distance"] = [each.as_dict() for each in metrics["distance"]]
        scored.append(metrics)
    figures = _draw(folders[0], curves, {one.config.patch // 2 for one in opened}) if distance else []
    if json:
        drawn = {"figures": [str(path) for path in figures]} if distance else {}
        screen.print_json({**scored[0], **drawn} if len(opened) == 1 else {"runs": scored, **drawn})
        return
    for metrics in scored:
        screen.out().print(screen.score_table(metrics))
        screen.out().print(screen.class_table(metrics, metrics["class_names"]))
        if distance:
            screen.out().print(screen.distance_table(metrics["distance"]))
    for path in figures:
        screen.out().print(f"Figure: {path}", highlight=False, markup=False, soft_wrap=True)


def _evaluate_one(
    run: Run,
    smooth: str | None,
    coverage: float | None,
    reject: float | None,
    distance: bool,
    device: str,
    data_root: Path | None,
) -> dict[str, Any]:
    from hsi.inference.run import accuracy_by_distance, ensemble

    scene = run.load_scene(data_root)
    evaluation = ensemble([run]).evaluate(scene, smooth=smooth, reject=reject, device=device)
    metrics = {"run": str(run.path), **run.metrics, **evaluation.facts()}
    if coverage is not None:
        metrics["prediction_sets"] = evaluation.sets(coverage)
    if distance:
        metrics["distance"] = accuracy_by_distance(run, scene)
    return metrics


def _evaluate_joined(
    folders: list[Path],
    smooth: str | None,
    coverage: float | None,
    reject: float | None,
    device: str,
    data_root: Path | None,
    json: bool,
) -> None:
    from hsi.commands import screen
    from hsi.inference.joined import ensemble_metrics, open_joined

    joined = open_joined(folders)
    scene = joined.members[0].load_scene(data_root)
    evaluation = joined.evaluate(scene, smooth=smooth, reject=reject, device=device)
    metrics = ensemble_metrics(joined, evaluation)
    if coverage is not None:
        metrics["prediction_sets"] = evaluation.sets(coverage)
    if json:
        names = [str(member.path) for member in joined.members]
        screen.print_json({"runs": names, "weights": list(joined.weights), **metrics})
        return
    members = {member.path.name: member.metrics for member in joined.members}
    screen.out().print(screen.joined_table(members, metrics))
    first = joined.members[0].metrics
    screen.out().print(screen.class_table({**first, **metrics}, joined.class_names))


def _draw(folder: Path, curves: dict[str, Any], half_widths: set[int]) -> list[Path]:
    from hsi.figures.curves import draw_distance
    from hsi.figures.style import save_figure

    return save_figure(draw_distance(curves, half_widths), folder / "figures", "distance")
