"""`hsi sample`: a stratified random sample of a map, to be interpreted for `hsi area`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hsi.commands import options as o
from hsi.commands.area import Runs, SceneName, classify_scene, open_scene, title_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from hsi.areas import SampleDesign
    from hsi.inference.ensemble import Ensemble


def sample(
    runs: Runs,
    n: Annotated[int | None, typer.Option("--n", help="Points in all. Default: 300.", metavar="N")] = None,
    standard_error: Annotated[
        float | None,
        typer.Option(
            help="In place of --n: as many points as the overall accuracy needs for this standard error, "
            "such as 0.01, with the user's accuracies of the test pixels, at most 0.95 each.",
            metavar="X",
            show_default=False,
        ),
    ] = None,
    minimum: Annotated[
        int | None,
        typer.Option(
            help="Points of a rare class at least. Default: 50, or half of an equal share if that is less.",
            metavar="N",
            show_default=False,
        ),
    ] = None,
    seed: Annotated[
        int, typer.Option(help="The same seed draws the same points. Default: 0.", metavar="N")
    ] = 0,
    out: Annotated[
        Path | None,
        typer.Option(
            help="The points: NAME.gpkg, or NAME.csv. Default: RUN/sample.gpkg.",
            metavar="FILE",
            show_default=False,
        ),
    ] = None,
    scene: SceneName = None,
    smooth: o.Smooth = None,
    reject: o.Reject = None,
    device: o.Device = None,
    data_root: o.DataRoot = None,
    json: o.Json = False,
) -> None:
    """Draw a stratified random sample of the map, to be interpreted for hsi area.

    The classes of the map are the strata; rare ones get a minimum of points, the others share the rest by
    their area (Olofsson et al. 2014). The points have an empty attribute, reference, and nothing that tells
    what the map says, since who interprets must not know it. Fill reference in with class names, from imagery
    in a GIS or in the field. NAME-design.csv beside the points has their strata: hsi area needs it, and the
    interpreter must not see it.

    \b
      hsi sample runs/first
      hsi sample runs/first --n 500 --out points.gpkg
      hsi sample runs/first --standard-error 0.01 --out points.csv
    """
    from hsi.areas import draw_sample, map_strata, sample_size, write_sample
    from hsi.areas.sample_files import check_sample_path
    from hsi.commands import screen
    from hsi.errors import ConfigError, command_to_paste

    if n is not None and standard_error is not None:
        raise ConfigError("--n and --standard-error both say how many points; give one of them.")
    if n is not None and n < 1:
        raise ConfigError(f"A sample has 1 point or more; got --n {n}.")
    out = out or runs[0] / "sample.gpkg"
    if out.exists():
        raise ConfigError(
            f"'{out}' is there already and may have been interpreted; choose another --out, or remove it."
        )
    check_sample_path(out)
    joined, loaded = open_scene(runs, scene, data_root)
    names = joined.class_names
    made = classify_scene(joined, loaded, smooth, reject, device, data_root)
    strata = map_strata(made.labels, len(names), made.not_recognised)
    if standard_error is not None:
        counts, guesses = _guesses(joined, strata)
        n = sample_size(counts, guesses, standard_error)
        screen.note(f"{n} points are needed for a standard error of {standard_error:g}.")
    drawn = draw_sample(strata, n or 300, minimum=minimum, seed=seed)
    points, beside = write_sample(out, drawn, names, loaded.georeference)
    if loaded.georeference is None:
        screen.note(
            "The scene has no georeference: the points are placed by pixels, x = column and y = -row, as a "
            "GIS shows an image without one."
        )
    again = ["hsi", "area", *map(str, runs), "--samples", str(points)]
    again += ["--scene", scene] if scene else []
    again += ["--smooth", smooth] if smooth else []
    if json:
        screen.print_json(
            {
                "runs": [str(member.path) for member in joined.members],
                "scene": loaded.name,
                "smoothing": made.smoothing,
                "seed": seed,
                "files": {"points": str(points), "design": str(beside)},
                "strata": [
                    {"stratum": number, "name": _stratum(number, names), "pixels": pixels, "points": size}
                    for (number, pixels), size in zip(
                        drawn.stratum_pixels.items(), drawn.sizes.values(), strict=True
                    )
                ],
            }
        )
        return
    screen.out().print(_sample_table(drawn, names, f"{title_of(joined, loaded)}: {len(drawn)} points"))
    for sentence in (
        f"Points: {points}",
        f"Design: {beside} (for hsi area, not for the interpreter)",
        f"Fill in 'reference' with: {', '.join(names)}, or other. Then: {command_to_paste(*again)}",
    ):
        screen.out().print(sentence, highlight=False, markup=False, soft_wrap=True)


MOST_ACCURATE = 0.95
"""User's accuracy that is guessed at most, since test pixels in labelled fields are easier than others."""


def _guesses(joined: Ensemble, strata: NDArray[np.int64]) -> tuple[list[int], list[float]]:
    """Return pixels and a guess of the user's accuracy of each stratum, one half where nothing is known."""
    import math

    import numpy as np

    precision = joined.members[0].metrics["test"]["precision"]
    counts = np.bincount(strata.ravel())
    sizes, guesses = [], []
    for number in range(1, len(counts)):
        if counts[number]:
            known = precision[number - 1] if number <= len(precision) else None
            sizes.append(int(counts[number]))
            guesses.append(0.5 if known is None or math.isnan(known) else min(known, MOST_ACCURATE))
    return sizes, guesses


def _stratum(number: int, names: list[str]) -> str:
    from hsi.areas.area_estimates import NOT_RECOGNISED

    return names[number - 1] if number <= len(names) else NOT_RECOGNISED


def _sample_table(drawn: SampleDesign, names: list[str], title: str) -> Any:
    from hsi.commands import screen

    whole = sum(drawn.stratum_pixels.values())
    columns = [
        ("class", True),
        ("name", False),
        ("pixels", True),
        ("% of the map", True),
        ("points", True),
    ]
    rows = [
        [number, _stratum(number, names), pixels, screen.percent(pixels / whole), drawn.sizes[number]]
        for number, pixels in drawn.stratum_pixels.items()
    ]
    return screen.table(title, columns, rows)
