"""`hsi area`: the area of each class, with confidence intervals."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from hsi.commands import options as o

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from hsi.areas import AreaEstimates, Estimate
    from hsi.datasets.scene import Scene
    from hsi.inference.ensemble import Ensemble

INTERVALS, UNITS = ("posterior", "normal"), ("ha", "m2", "km2", "pixels")

Runs = Annotated[
    list[Path],
    typer.Argument(help="A run folder; several are joined, as in hsi map.", show_default=False),
]
SceneName = Annotated[
    str | None,
    typer.Option(
        help="Another scene, as in hsi map. Default: the scene of the run.",
        metavar="SCENE",
        show_default=False,
    ),
]


def area(
    runs: Runs,
    samples: Annotated[
        Path | None,
        typer.Option(
            help="An interpreted sample: points with the true class, from hsi sample or your own. Default: "
            "the test pixels of the run.",
            metavar="FILE",
            show_default=False,
        ),
    ] = None,
    class_field: Annotated[
        str, typer.Option(help="Attribute of the points with the true class.", metavar="NAME")
    ] = "reference",
    layer: Annotated[
        str | None, typer.Option(help="Layer of a file with several.", metavar="NAME", show_default=False)
    ] = None,
    labels_crs: Annotated[
        str | None,
        typer.Option(
            help="Coordinate system of the points, in place of the one in the file.",
            metavar="EPSG:N",
            show_default=False,
        ),
    ] = None,
    design: Annotated[
        Path | None,
        typer.Option(
            help="The design of the sample. Default: NAME-design.csv beside it, if it is there.",
            metavar="FILE",
            show_default=False,
        ),
    ] = None,
    unit: Annotated[
        str | None,
        o.choice(UNITS, "Unit of the areas. Default: ha, or pixels where the size of a pixel is not known."),
    ] = None,
    pixel_size: Annotated[
        float | None,
        typer.Option(
            help="Side of a pixel in metres, in place of the scene's georeference.",
            metavar="X",
            show_default=False,
        ),
    ] = None,
    confidence_level: Annotated[
        float, typer.Option(help="Of the intervals, as a fraction.", metavar="X")
    ] = 0.95,
    interval: Annotated[
        str,
        o.choice(
            INTERVALS,
            "How intervals are made: posterior also holds for rare classes, normal is the estimate and its "
            "standard error times 1.96, as in the paper.",
        ),
    ] = "posterior",
    scene: SceneName = None,
    smooth: o.Smooth = None,
    reject: o.Reject = None,
    device: o.Device = None,
    data_root: o.DataRoot = None,
    json: o.Json = False,
) -> None:
    """Estimate the area of each class, with confidence intervals, and the accuracies of the map.

    Pixels that are counted on a map give wrong areas where its errors do not cancel. The stratified estimator
    (Olofsson et al. 2014) corrects them by a sample of pixels whose true class is known.

    Without --samples the test pixels of the run stand for it. They are no random sample of the map, so these
    intervals are only indicative. For areas to report, draw a sample, look up each point, and fill in its
    class:

    \b
      hsi area runs/first
      hsi sample runs/first --n 300 --out points.gpkg
      hsi area runs/first --samples points.gpkg
      hsi area runs/first --samples points.gpkg --unit km2 --json
    """
    from hsi.areas import estimate_from_labels, estimate_from_sample, pixel_area, read_sample
    from hsi.areas.estimation import check_interval
    from hsi.areas.ground_area import pixel_in_unit
    from hsi.commands import screen
    from hsi.errors import ConfigError

    if scene is not None and samples is None:
        raise ConfigError(
            "The test pixels of the run are not those of another --scene; draw a sample of that with hsi "
            "sample, and give it with --samples."
        )
    if samples is None and (design, layer, labels_crs) != (None, None, None):
        raise ConfigError("--design, --layer and --labels-crs are about --samples; give that, too.")
    check_interval(interval, confidence_level)
    joined, loaded = open_scene(runs, scene, data_root)
    size = pixel_area(loaded.georeference, (loaded.rows, loaded.cols), pixel_size)
    pixel_in_unit(size.square_metres, unit)  # refused before the scene is classified
    names = joined.class_names
    read = None
    if samples is not None:
        read = read_sample(
            samples,
            names,
            (loaded.rows, loaded.cols),
            loaded.georeference,
            class_field=class_field,
            layer=layer,
            labels_crs=labels_crs,
            design=design,
        )
    made = classify_scene(joined, loaded, smooth, reject, device, data_root)
    shared: dict[str, Any] = {
        "not_recognised": made.not_recognised,
        "confidence_level": confidence_level,
        "interval": interval,
        "pixel_area": size.square_metres,
    }
    if read is None:
        estimates = estimate_from_labels(made.labels, loaded.labels, joined.split.test, names, **shared)
    else:
        estimates = estimate_from_sample(made.labels, read, names, **shared)
    for sentence in (*size.notes, *estimates.notes):
        screen.note(sentence)
    if json:
        printed = estimates.as_dict(unit)
        printed["notes"] = [*size.notes, *printed["notes"]]
        screen.print_json(
            {
                "runs": [str(member.path) for member in joined.members],
                "scene": loaded.name,
                "smoothing": made.smoothing,
                "reference": "test pixels" if samples is None else str(samples),
                **printed,
            }
        )
        return
    by = "test pixels of the run" if samples is None else f"{samples.name}"
    screen.out().print(_area_table(estimates, unit, f"{title_of(joined, loaded)}: areas by {by}"))
    for sentence in _below(estimates):
        screen.out().print(sentence, highlight=False, markup=False)


class ClassifiedMap(NamedTuple):
    """Classes 1..C of a scene, 0 without one; pixels with data that have none; how it was smoothed."""

    labels: NDArray[np.int64]
    not_recognised: NDArray[np.bool_] | None
    smoothing: str


def open_scene(runs: list[Path], scene: str | None, data_root: Path | None) -> tuple[Ensemble, Scene]:
    """Return runs as one, and their scene or another; notes of the scene are shown."""
    from hsi.commands import screen
    from hsi.inference.joined import open_joined
    from hsi.inference.scene_map import SceneSource

    joined = open_joined(runs)
    source = SceneSource(joined.members[0].path, scene, data_root=data_root)
    loaded = source.load_scene(source.open_run())
    for note in loaded.notes:
        screen.note(note)
    return joined, loaded


def classify_scene(
    joined: Ensemble,
    scene: Scene,
    smooth: str | None,
    reject: float | None,
    device: str | None,
    data_root: Path | None,
) -> ClassifiedMap:
    """Return the map of a scene, and which of its pixels are rejected."""
    import numpy as np

    from hsi.commands.progress import MapProgress
    from hsi.errors import SceneError
    from hsi.inference.ensemble import How

    labels = np.zeros((scene.rows, scene.cols), np.int64)
    rejected = np.zeros(labels.shape, bool)
    with MapProgress() as progress:
        how = How(device=device or "auto", watch=progress.update, data_root=data_root)
        with joined.classified(scene, smooth=smooth, reject=reject, how=how) as classified:
            smoothing = str(classified.post.smoothing)
            for tile in classified.tiles:
                found = np.where(tile.missing, 0, tile.proba.argmax(axis=2) + 1)
                if tile.rejected is not None:
                    rejected[tile.window.slices] = tile.rejected & ~tile.missing
                    found = np.where(tile.rejected, 0, found)
                labels[tile.window.slices] = found
    if not (labels.any() or rejected.any()):
        raise SceneError(
            f"Not one pixel of '{scene.name}' has data in all bands of the run "
            f"'{joined.members[0].path}', so there is no map; train without its dead bands (drop_bands in a "
            "scene.toml)."
        )
    return ClassifiedMap(labels, rejected if rejected.any() else None, smoothing)


def title_of(joined: Ensemble, scene: Scene) -> str:
    """Say what classified what."""
    model = " + ".join(dict.fromkeys(member.metrics["model"] for member in joined.members))
    return f"{model} on {scene.name}"


def _area_table(estimates: AreaEstimates, unit: str | None, title: str) -> Any:
    from hsi.areas.ground_area import pixel_in_unit
    from hsi.commands import screen

    unit, size = pixel_in_unit(estimates.pixel_area, unit)
    level = f"{100 * estimates.confidence_level:g} %"
    columns = [
        ("class", True),
        ("name", False),
        ("mapped px", True),
        *([] if unit == "pixels" else [(f"mapped {unit}", True)]),
        (f"area {unit if unit != 'pixels' else 'px'}", True),
        (f"{level} interval", True),
        ("user's %", True),
        (level, True),
        ("producer's %", True),
        (level, True),
    ]
    quantity = "{:,.0f}".format if unit == "pixels" else _quantity
    rows = []
    for number, one in enumerate(estimates.classes, start=1):
        found = estimates.area(number, unit)
        rows.append(
            [
                number,
                one.name,
                f"{one.mapped_pixels:,}",
                *([] if unit == "pixels" else [quantity(one.mapped_pixels * size)]),
                quantity(found.value),
                f"{quantity(found.low)} to {quantity(found.high)}",
                *_accuracy(one.users_accuracy),
                *_accuracy(one.producers_accuracy),
            ]
        )
    return screen.table(title, columns, rows)


def _accuracy(found: Estimate | None) -> tuple[str, str]:
    if found is None:
        return "-", "-"
    return f"{100 * found.value:.1f}", f"{100 * found.low:.1f} to {100 * found.high:.1f}"


def _quantity(value: float) -> str:
    """Return a number with four digits or all those before the decimal point."""
    return f"{value:,.0f}" if value >= 999.5 or value == 0 else f"{value:#.4g}"


def _below(estimates: AreaEstimates) -> list[str]:
    said = []
    if estimates.overall_accuracy is not None:
        value, interval = _accuracy(estimates.overall_accuracy)
        said.append(
            f"Overall accuracy {value} % ({100 * estimates.confidence_level:g} % interval {interval}), by "
            f"{estimates.units:,} pixels; weighted by the areas of the strata."
        )
    if estimates.not_recognised:
        said.append(
            f"Not recognised: {estimates.not_recognised:,} pixels, which belong to some class on the ground "
            "and count for its area; they are no part of the overall accuracy."
        )
    return said
