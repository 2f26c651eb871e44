"""Writing the page from finished runs: one HTML file with its styles, scripts and data."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

import hsi
from hsi.datasets.scene import Scene
from hsi.errors import RunError
from hsi.figures.maps import ERROR_COLORS, ERROR_NAMES
from hsi.figures.style import COLORS
from hsi.inference.run import Run
from hsi.io.files import write_text
from hsi.io.text import plain
from hsi.report.content import (
    class_codes,
    is_unnamed,
    page_title,
    recall_table,
    run_content,
    short_names,
    verdict_lines,
)
from hsi.report.map_data import confidence_colors, confidence_key, run_data, scene_data
from hsi.report.pictures import Classified, classify, save_run_figures
from hsi.report.score_table import SCORES, leakage_lines, score_rows, score_tiles, smoothing_lines

STYLES = ("page.css",)
SCRIPTS = ("chart.js", "view.js", "layers.js", "downloads.js", "explorer.js")
_SIZE = "@size of this file@"
"""Stands in the page until its size is known."""


def render(content: Mapping[str, Any]) -> str:
    """Fill the template with escaped text; the content security policy allows the page's script alone."""
    style, script = (
        "\n".join((files("hsi.report") / name).read_text(encoding="utf-8") for name in names)
        for names in (STYLES, SCRIPTS)
    )
    policy = (
        f"default-src 'none'; img-src data:; style-src {_hash(style)}; script-src {_hash(script)}; "
        "base-uri 'none'; form-action 'none'"
    )
    environment = Environment(
        loader=PackageLoader("hsi", "report"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_plain,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    template = environment.get_template("page.html")
    page = template.render(**content, policy=policy, style=Markup(style), script=Markup(script), size=_SIZE)
    before, _, after = page.rpartition(_SIZE)
    return f"{before}{len(page.encode()) / 1e6:.1f} MB{after}"


def _plain(value: Any) -> Any:
    """Escape control characters of text; see `hsi.io.text`."""
    return plain(value) if type(value) is str else value


def _hash(text: str) -> str:
    """Return the source expression of a content security policy that allows this text."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode('ascii')}'"


SUBSET_NAMES = ("No part", "Train", "Validation", "Test")
SUBSET_COLORS = ("#000000", COLORS[4], COLORS[3], COLORS[5])
DIFFERENCE_COLORS = ("#000000", "#7f7f7f", "#f0f0f0", COLORS[4], COLORS[0], "#8c2d04")

Progress = Callable[[str, int, int], object]


@dataclass(frozen=True)
class ReportFiles:
    """The files that `write_report` wrote: the page and the figures of all runs."""

    page: Path
    figures: tuple[Path, ...]


def write_report(
    groups: Sequence[Sequence[Run]],
    page: str | Path,
    *,
    data_root: str | Path | None = None,
    device: str = "auto",
    progress: Progress = lambda name, done, total: None,
) -> ReportFiles:
    """Classify every pixel with each run, write its figures into its folder, and one page for all runs.

    The page needs no network and no other file. Its maps have at most `hsi.report.map_data.MAX_PIXELS`
    pixels; the figures have all.

    Parameters
    ----------
    groups
        Finished runs; those of one group, such as the seeds of a network, have their mean in the scores.
    page
        The HTML file to write.
    data_root
        Folder of scene files, by default ``HSI_DATA``.
    progress
        Called with the name of a run, and the number of classified and of all pixels.

    Raises
    ------
    RunError
        When a run is not finished, or the folder of the page is missing; nothing is written then.
    """
    path = Path(page)
    if path.is_dir() or not path.parent.is_dir():
        raise RunError(f"The page cannot be written to '{path}'; --out needs a file in a folder that exists.")
    runs = [run for group in groups for run in group]
    if not runs:
        raise RunError("There is nothing to report: no run was given.")
    for run in runs:
        _ = run.metrics
    names = dict(zip(map(id, runs), short_names([run.path for run in runs]), strict=True))
    scenes: dict[tuple[Any, ...], tuple[Scene, list[tuple[Run, Classified]]]] = {}
    for run in runs:
        config = run.config
        key = (*config.datasets, config.test_scene, config.labels, config.cube_key, config.labels_key)
        if key not in scenes:
            scenes[key] = (run.load_scene(data_root), [])
        scene, classified = scenes[key]
        run_progress = partial(progress, names[id(run)])
        classified.append((run, classify(run, scene, device=device, progress=run_progress)))
    figures: list[Path] = []
    for scene, classified in scenes.values():
        for run, one in classified:
            figures += save_run_figures(run, scene, one)
    verdicts = verdict_lines(groups, names, data_root)
    write_text(path, render(_content(groups, names, list(scenes.values()), verdicts)))
    return ReportFiles(path, tuple(figures))


def _content(
    groups: Sequence[Sequence[Run]],
    names: dict[int, str],
    scenes: Sequence[tuple[Scene, list[tuple[Run, Classified]]]],
    verdicts: Sequence[str],
) -> dict[str, Any]:
    """Return the variables of the template."""
    sections, data = [], []
    for scene, classified in scenes:
        runs = [run for run, _ in classified]
        shared = scene_data(scene)
        maps = [run_data(run, scene, one, names[id(run)]) for run, one in classified]
        data.append({**shared, "runs": maps})
        wrong = (classified[0][1].labels != scene.labels).ravel()[runs[0].split.test].any()
        sections.append(
            {
                "name": scene.name,
                "title": scene.title or scene.name,
                "synthetic": scene.synthetic,
                "size": f"{scene.rows} x {scene.cols} pixels, {scene.bands} bands",
                "rows": shared["rows"],
                "cols": shared["cols"],
                "step": shared["step"],
                "image_is": shared["imageIs"],
                "image_name": shared["imageName"],
                "error": shared["spectra"]["error"],
                "components": len(shared["spectra"]["basis"]),
                "classes": list(zip(scene.class_names, scene.colors, strict=True)),
                "coded": class_codes(scene) != tuple(range(1, scene.classes + 1)),
                "unnamed": is_unnamed(scene),
                "missing": any((one.labels == 0).any() for _, one in classified),
                "regions": any(run.split.regions is not None for run in runs),
                "first_pixel": _FIRST_WRONG if wrong else _FIRST_UNSURE,
                "difference_key": _difference_key([names[id(run)] for run in runs]),
                "recall": recall_table(runs, scene) if len(runs) > 1 else [],
                "runs": [run_content(run, scene, one, names[id(run)]) for run, one in classified],
            }
        )
    runs = [run for group in groups for run in group]
    rows, joined = score_rows(groups, names)
    return {
        "title": page_title(runs),
        "tiles": score_tiles(runs[0]) if len(runs) == 1 else [],
        "smoothing": smoothing_lines(runs, names),
        "joined": joined,
        "leakage": leakage_lines(runs, names),
        "verdicts": verdicts,
        "version": hsi.__version__,
        "score_names": [*SCORES.values(), "leakage centre %", "leakage overlap %"],
        "scores": rows,
        "sections": sections,
        "error_key": list(zip(ERROR_NAMES, ERROR_COLORS, strict=True)),
        "part_key": list(zip(SUBSET_NAMES, SUBSET_COLORS, strict=True)),
        "confidence_key": confidence_key(),
        "data": {
            "scenes": data,
            "confidenceColors": confidence_colors(),
            "errorColors": ERROR_COLORS,
            "differenceColors": DIFFERENCE_COLORS,
            "partColors": SUBSET_COLORS,
            "partNames": SUBSET_NAMES,
        },
    }


_FIRST_WRONG = "the wrong test pixel that the run is surest of"
_FIRST_UNSURE = "the test pixel that the run is least sure of, as none is wrong"


def _difference_key(names: Sequence[str]) -> list[tuple[str, str]]:
    """Return the names and colours of the difference of two runs."""
    second = names[1] if len(names) == 2 else "the other"
    kinds = [
        "Not tested, same class",
        "Not tested, other classes",
        "Both right",
        f"Only {names[0]} right",
        f"Only {second} right",
        "Both wrong",
    ]
    return list(zip(kinds, DIFFERENCE_COLORS, strict=True))
