"""`hsi map`: classify every pixel of a scene and write the map."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from hsi.commands import options as o


def map_(
    run: Annotated[Path, typer.Argument(help="A run folder.", show_default=False)],
    out: Annotated[
        Path | None,
        typer.Option(
            help="The map: NAME.tif, .png, .npy or .mat. Default: RUN/map.png.",
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
    legend: Annotated[
        bool,
        typer.Option(
            "--legend", help="Also NAME-legend.png: the map enlarged, with class names. --out must be a .png."
        ),
    ] = False,
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
    A GeoTIFF keeps the scene's coordinates and has colours and class names; it needs hsi-toolkit[geo].
    A PNG has one pixel for each pixel of the scene; --legend adds one for people to look at.
    Products, and scenes in .npy, HDF5, ENVI, GeoTIFF and other raster files, may be larger than memory.

    \b
      hsi map runs/first --legend
      hsi map runs/first --out map.tif --proba --confidence
      hsi map runs/first --scene other.npy --out other.tif

    On a Ray cluster, whose address is in RAY_ADDRESS:

    \b
      hsi map runs/first --scene strip.npy --out strip.tif --engine ray
    """
    from hsi.commands import screen
    from hsi.commands.options import check_engine, tiles_on
    from hsi.commands.progress import MapProgress
    from hsi.errors import ConfigError
    from hsi.inference.scene_map import SceneSource, map_scene

    check_engine(engine)
    out = out or run / "map.png"
    if scene is None and cube_key is not None:
        raise ConfigError("--cube-key names an array of the file that --scene names; give both.")
    if scene is not None and Path(scene).exists() and out.exists() and Path(scene).samefile(out):
        raise ConfigError(f"'{out}' is the scene itself; choose another --out.")
    if legend and out.suffix.lower() != ".png":
        raise ConfigError(f"--legend needs a map in a .png, which '{out}' is not; choose --out NAME.png.")
    if scene is None and raw:
        raise ConfigError("--raw is about the product that --scene names; give both.")
    source = SceneSource(run, scene, cube_key, data_root, raw, resample)
    opened = source.open_run()
    loaded = source.load_scene(opened)
    for note in loaded.notes:
        screen.note(note)
    with tiles_on(engine, source, tune) as classify, MapProgress() as progress:
        made = map_scene(
            opened,
            loaded,
            out,
            proba=proba,
            confidence=confidence,
            resample=resample,
            device=device or "auto",
            watch=progress.update,
            classify=classify,
        )
    title = f"{opened.metrics['model']} on {loaded.name}: {made.rows} x {made.cols} pixels"
    if legend:
        made.files["legend"] = _write_legend(made.files["map"], made.class_names, title)
    if json:
        screen.print_json({"run": str(run), "scene": loaded.name, **made.as_dict()})
        return
    pixels = made.rows * made.cols
    rows = [
        [number, name, count, screen.percent(count / pixels)]
        for number, (name, count) in enumerate(zip(made.class_names, made.counts, strict=True), start=1)
    ]
    if made.missing:
        rows.append([0, "(no data)", made.missing, screen.percent(made.missing / pixels)])
    columns = [("class", True), ("name", False), ("pixels", True), ("% of the scene", True)]
    screen.out().print(screen.table(title, columns, rows))
    for kind, path in made.files.items():
        screen.out().print(f"{kind.capitalize()}: {path}", highlight=False, markup=False, soft_wrap=True)


_LEGEND_DPI = 300


def _write_legend(path: Path, class_names: Sequence[str], title: str) -> Path:
    """Write ``NAME-legend.png`` beside the PNG of a label map: enlarged by whole pixels, with a legend."""
    import numpy as np
    from matplotlib import rc_context
    from PIL import Image

    from hsi.figures.maps import draw_map
    from hsi.figures.style import COLUMN_INCHES, MM_PER_INCH, PAGE_INCHES, STYLE
    from hsi.io.files import written_whole

    with Image.open(path) as image:
        labels, colors = np.asarray(image), np.asarray(image.convert("RGB"))
    names = ("No data", *class_names)
    shown, first = np.unique(labels, return_index=True)
    entries = [
        ("#" + bytes(colors.reshape(-1, 3)[place]).hex(), names[number])
        for number, place in sorted(zip(shown, first, strict=True), key=lambda entry: entry[0] or len(names))
    ]
    cols = labels.shape[1]
    times = max(1, -(-int(COLUMN_INCHES * _LEGEND_DPI) // cols))
    inches = min(PAGE_INCHES, times * cols / _LEGEND_DPI)
    figure = draw_map(colors, title=title, legend=entries, width_mm=inches * MM_PER_INCH)
    target = path.with_name(f"{path.stem}-legend{path.suffix}")
    with written_whole(target) as temporary, rc_context(STYLE):
        figure.savefig(temporary, format="png", dpi=_LEGEND_DPI)
    return target
