"""`hsi map`: classify every pixel of a scene and write the map."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hsi.commands import options as o


def map_(
    run: Annotated[Path, typer.Argument(help="A run folder.", show_default=False)],
    out: Annotated[Path, typer.Option(help="The map: NAME.tif, .png, .npy or .mat.", show_default=False)],
    scene: Annotated[
        str | None,
        typer.Option(
            help="Another scene: short name, scene.toml, or cube file, with or without labels.",
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
    resample: Annotated[
        bool, typer.Option("--resample", help="Bring the scene to the run's wavelengths.")
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
    A GeoTIFF keeps the scene's coordinates and has colours and class names; it needs hsi-toolkit\\[geo].
    Scenes in .npy, ENVI and GeoTIFF files may be larger than memory.

    \b
      hsi map runs/first --out map.png
      hsi map runs/first --out map.tif --proba --confidence
      hsi map runs/first --scene other.npy --out other.tif
      RAY_ADDRESS=head:6379 hsi map runs/first --scene strip.npy --out strip.tif --engine ray
    """
    from hsi.commands import screen
    from hsi.commands.options import check_engine, tiles_on
    from hsi.commands.progress import MapProgress
    from hsi.errors import ConfigError
    from hsi.inference.scene_map import SceneSource, map_scene

    check_engine(engine)
    if scene is None and cube_key is not None:
        raise ConfigError("--cube-key names an array of the file that --scene names; give both.")
    if scene is not None and Path(scene).exists() and out.exists() and Path(scene).samefile(out):
        raise ConfigError(f"'{out}' is the scene itself; choose another --out.")
    source = SceneSource(run, scene, cube_key, data_root)
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
    title = f"{opened.metrics['model']} on {loaded.name}: {made.rows} x {made.cols} pixels"
    screen.out().print(screen.table(title, columns, rows))
    for kind, path in made.files.items():
        screen.out().print(f"{kind.capitalize()}: {path}", highlight=False, markup=False, soft_wrap=True)
