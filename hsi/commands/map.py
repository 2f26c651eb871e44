"""`hsi map`: classify every pixel of a scene and write the map."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hsi.commands import options as o

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from hsi.maps.map_product import MapProduct


def map_(
    runs: Annotated[
        list[Path],
        typer.Argument(
            help="A run folder; several are joined: the mean of their probabilities.", show_default=False
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            help="The map: NAME.tif, .png, .npy, .mat, or .gpkg for polygons. Default: RUN/map.png.",
            metavar="FILE",
            show_default=False,
        ),
    ] = None,
    scene: Annotated[
        str | None,
        typer.Option(
            help="Another scene: short name, scene.toml, cube file, or satellite product, with or without "
            "labels. Default: the scene of the run.",
            metavar="SCENE",
            show_default=False,
        ),
    ] = None,
    cube_key: o.CubeKey = None,
    proba: Annotated[
        bool, typer.Option("--proba", help="Also NAME-proba: the probability of each class.")
    ] = False,
    confidence: Annotated[
        bool, typer.Option("--confidence", help="Also NAME-confidence: the largest probability.")
    ] = False,
    margin: Annotated[
        bool, typer.Option("--margin", help="Also NAME-margin: the largest probability less the second.")
    ] = False,
    entropy: Annotated[
        bool,
        typer.Option("--entropy", help="Also NAME-entropy: 0 where certain, 1 where all classes are alike."),
    ] = False,
    coverage: Annotated[
        float | None,
        typer.Option(
            help="Also NAME-set_size: how many classes the prediction set of a pixel has, which holds the "
            "true one at this rate on validation land, such as 0.9.",
            metavar="SHARE",
            show_default=False,
        ),
    ] = None,
    smooth: o.Smooth = None,
    reject: o.Reject = None,
    layout: Annotated[
        bool,
        typer.Option(
            "--layout",
            help="Also NAME-layout.png, a page for people: class names, scale bar, north arrow, scores.",
        ),
    ] = False,
    min_area: Annotated[
        float,
        typer.Option(
            help="Merge polygons smaller than that into a neighbour: m2, or pixels without coordinates. For "
            "--out NAME.gpkg.",
            metavar="AREA",
        ),
    ] = 0.0,
    resample: Annotated[
        bool, typer.Option("--resample", help="Bring the scene to the run's wavelengths.")
    ] = False,
    raw: Annotated[
        bool, typer.Option("--raw", help="Take a satellite product in its sensor's geometry.")
    ] = False,
    tune: Annotated[
        bool,
        typer.Option("--tune/--no-tune", help="Measure, once a machine, how many patches to take at once."),
    ] = True,
    device: o.Device = None,
    engine: o.EngineOption = "local",
    data_root: o.DataRoot = None,
    json: o.Json = False,
) -> None:
    """Classify every pixel of a scene, borders too, and write the map.

    Without --scene it is the scene that the run was trained on; patches then see what they saw in training.
    A GeoTIFF keeps the scene's coordinates and has colours, class names and areas, a GeoPackage polygons;
    both need hsi-toolkit[geo]. A PNG has a pixel for each of the scene; --layout adds a page for people.
    Probabilities are calibrated on the validation pixels, and smoothed as the run was trained with.
    Products, and scenes in .npy, HDF5, ENVI, GeoTIFF and other raster files, may be larger than memory.

    \b
      hsi map runs/first --layout
      hsi map runs/first --out map.tif --proba --confidence
      hsi map runs/first --out map.gpkg --min-area 900
      hsi map runs/first --out map.tif --reject 0.05
      hsi map runs/densenet runs/svm --smooth auto --out map.tif
      hsi map runs/first --scene other.npy --out other.tif

    On a Ray cluster, whose address is in RAY_ADDRESS:

    \b
      hsi map runs/first --scene strip.npy --out strip.tif --engine ray
    """
    from hsi.commands import screen
    from hsi.commands.options import check_engine, tiles_on
    from hsi.commands.progress import MapProgress
    from hsi.errors import ConfigError
    from hsi.figures.maps import score_title
    from hsi.inference.joined import open_joined
    from hsi.inference.scene_map import SceneSource, map_scene

    check_engine(engine)
    out = out or runs[0] / "map.png"
    if scene is None and cube_key is not None:
        raise ConfigError("--cube-key names an array of the file that --scene names; give both.")
    if scene is not None and Path(scene).exists() and out.exists() and Path(scene).samefile(out):
        raise ConfigError(f"'{out}' is the scene itself; choose another --out.")
    if scene is None and raw:
        raise ConfigError("--raw is about the product that --scene names; give both.")
    joined = open_joined(runs)
    first = joined.members[0]
    source = SceneSource(first.path, scene, cube_key, data_root, raw, resample)
    loaded = source.load_scene(source.open_run())
    for note in loaded.notes:
        screen.note(note)
    labelled: list[tuple[MapProduct, NDArray[Any]]] = []
    with tiles_on(engine, source, tune) as classify, MapProgress() as progress:
        made = map_scene(
            joined,
            loaded,
            out,
            proba=proba,
            confidence=confidence,
            margin=margin,
            entropy=entropy,
            coverage=coverage,
            smooth=smooth,
            reject=reject,
            resample=resample,
            device=device or "auto",
            watch=progress.update,
            classify=classify,
            data_root=data_root,
            min_area=min_area,
            keep=(lambda product, labels: labelled.append((product, labels))) if layout else None,
        )
    for note in made.notes:
        screen.note(note)
    model = " + ".join(dict.fromkeys(member.metrics["model"] for member in joined.members))
    title = f"{model} on {loaded.name}: {made.rows} x {made.cols} pixels"
    if labelled:
        # Scores are of the run's own scene, as it was smoothed in training, and of one run.
        own = scene is None and smooth is None and len(joined.members) == 1
        scores = [f"{score_title(first.metrics)}."] if own else []
        made.files["layout"] = _write_layout(
            made.files["map"], *labelled[0], f"{model} on {loaded.name}", scores
        )
    if json:
        members = [str(member.path) for member in joined.members]
        named = {"run": members[0]} if len(members) == 1 else {"runs": members}
        screen.print_json({**named, "scene": loaded.name, **made.as_dict()})
        return
    pixels = made.rows * made.cols
    rows = [
        [number, name, count, screen.percent(count / pixels)]
        for number, (name, count) in enumerate(zip(made.class_names, made.counts, strict=True), start=1)
    ]
    if made.rejected:
        rows.append([0, "(not recognised)", made.rejected, screen.percent(made.rejected / pixels)])
    if made.missing:
        rows.append(
            [
                0 if made.rejected is None else "",
                "(no data)",
                made.missing,
                screen.percent(made.missing / pixels),
            ]
        )
    columns = [("class", True), ("name", False), ("pixels", True), ("% of the scene", True)]
    screen.out().print(screen.table(title, columns, rows))
    if made.applied["smoothing"] != "none":
        screen.out().print(f"Smoothed: {made.applied['smoothing']}.", highlight=False, markup=False)
    for kind, path in made.files.items():
        screen.out().print(f"{kind.capitalize()}: {path}", highlight=False, markup=False, soft_wrap=True)


def _write_layout(
    path: Path, product: MapProduct, labels: NDArray[Any], title: str, notes: list[str]
) -> Path:
    """Write ``NAME-layout.png`` beside a map: a page for people."""
    from datetime import datetime, timezone

    from hsi.figures.map_layout import draw_layout, save_layout

    applied = "; ".join(f"{name}: {text}" for name, text in product.metadata.items())
    today = f"Made on {datetime.now(timezone.utc):%d %B %Y}"
    figure = draw_layout(product, labels, title=title, notes=[applied, *notes, today])
    target = path.with_name(f"{path.stem}-layout.png")
    save_layout(figure, target, product.metadata)
    return target
