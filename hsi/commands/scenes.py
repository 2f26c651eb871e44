"""`hsi scenes`, `hsi scene new` and `hsi download`: what there is, describing one, fetching files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hsi.commands import options as o
from hsi.commands.options import option
from hsi.errors import command_to_paste

if TYPE_CHECKING:
    from hsi.datasets.catalogue.describe import NewDescription


def scenes(data_root: o.DataRoot = None, json: o.Json = False) -> None:
    """Show the scenes that have a name: size, bands, classes, and whether the files are on this machine.

    \b
      hsi scenes
      hsi scenes --data-root /data/hyperspectral --json
    """
    from hsi.commands import screen
    from hsi.datasets import is_on_disk, list_masks, list_scenes

    scenes: list[dict[str, Any]] = []
    for entry in list_scenes():
        made = entry.make() if entry.make else None  # an embedded scene is its own best description
        scenes.append(
            {
                "name": entry.name,
                "aliases": list(entry.aliases),
                "title": entry.title,
                "sensor": entry.sensor,
                "shape": list(made.cube.shape if made else entry.shape or ()),
                "classes": made.classes if made else len(entry.class_names),
                "labelled": len(made.labelled) if made else sum(entry.class_counts),
                "synthetic": entry.synthetic,
                "embedded": made is not None,
                "on_disk": is_on_disk(entry, data_root),
                "masks": [mask.name for mask in list_masks() if mask.scene == entry.name],
                "source": entry.source,
                "terms": entry.terms,
            }
        )
    if json:
        screen.print_json({"scenes": scenes})
        return
    columns = [
        ("name", False), ("also", False), ("scene", False), ("sensor", False), ("rows x cols", True),
        ("bands", True), ("classes", True), ("labelled", True), ("masks", False),
        ("on disk", False),
    ]  # fmt: skip
    rows = [
        [
            scene["name"],
            ", ".join(scene["aliases"]),
            scene["title"],
            scene["sensor"],
            " x ".join(str(size) for size in scene["shape"][:2]) or "-",
            *(scene["shape"][2:] or ["-"]),
            scene["classes"] or "-",
            scene["labelled"] or "-",
            ", ".join(scene["masks"]) or "-",
            "embedded" if scene["embedded"] else "yes" if scene["on_disk"] else "no",
        ]
        for scene in scenes
    ]
    screen.out().print(screen.table("Scenes", columns, rows))
    hint = "Get one: hsi download NAME. A scene of your own: hsi scene new CUBE LABELS."
    screen.out().print(hint, highlight=False)


scene = typer.Typer(cls=o.Verbs, no_args_is_help=True)


@scene.callback()
def _scene() -> None:
    """Describe a scene of your own, without code.

    \b
      hsi scene new cube.hdr labels.tif --out scene.toml
    """


@scene.command("new", cls=o.Verb)
def new(
    cube: Annotated[
        Path,
        typer.Argument(
            help="Cube: a satellite product (its folder or any of its files), ENVI, GeoTIFF or another "
            "raster, MAT, NPY, NPZ, HDF5, Zarr.",
            show_default=False,
        ),
    ],
    labels: Annotated[
        Path | None,
        typer.Argument(
            help="Labels: an image in any of these formats, PNG or BMP; points or polygons (GeoPackage, "
            "GeoJSON, shapefile, ...), a CSV of points, or an ENVI ROI file. Without them, the scene can be "
            "mapped only.",
            show_default=False,
        ),
    ] = None,
    out: Annotated[Path, typer.Option(help="The description to write.", metavar="FILE")] = Path("scene.toml"),
    cube_key: o.CubeKey = None,
    labels_key: o.LabelsKey = None,
    layer: Annotated[
        str | None, option("Labels", "Layer of a label file that has several.", metavar="NAME")
    ] = None,
    test_labels: Annotated[
        Path | None,
        option("Labels", "File with the labels to test on; LABELS are then to train on.", metavar="FILE"),
    ] = None,
    val_labels: Annotated[
        Path | None, option("Labels", "File with the labels to validate on.", metavar="FILE")
    ] = None,
    labels_crs: Annotated[
        str | None,
        option(
            "Labels",
            "Coordinate system of points and polygons, where their file says none.",
            metavar="EPSG:N",
        ),
    ] = None,
    all_touched: Annotated[
        bool, option("Labels", "Polygons label every pixel that they touch.", "--all-touched")
    ] = False,
    align: Annotated[
        bool, option("Labels", "Resample a label image that is shifted by a part of a pixel.", "--align")
    ] = False,
    unlabelled: Annotated[
        list[int] | None,
        option("Labels", "Code that means no label, beside 0; can be repeated.", metavar="CODE"),
    ] = None,
    class_zero: Annotated[bool, option("Labels", "Code 0 is a class.", "--class-zero")] = False,
    crs: Annotated[
        str | None,
        option("Scene", "Coordinate system of the cube, where its file says none.", metavar="EPSG:N"),
    ] = None,
    wavelengths: Annotated[
        Path | None, option("Scene", "Text file, table or ENVI header with the band centres.", metavar="FILE")
    ] = None,
    exclude: Annotated[
        list[str] | None,
        option("Scene", "Leave out pixels that a product flags, as cloud; can be repeated.", metavar="MASK"),
    ] = None,
    raw: Annotated[
        bool, option("Scene", "Take a satellite product in its sensor's geometry.", "--raw")
    ] = False,
    force: Annotated[bool, option("Scene", "Replace a description that is there.", "--force")] = False,
    json: o.Json = False,
) -> None:
    """Look through a cube and its labels, write a scene.toml, and say what was understood.

    \b
      hsi scene new flight.hdr fields.geojson --class-field crop
      hsi scene new cube.mat gt.mat --cube-key data --out field/scene.toml
      hsi scene new ENMAP01-L2A/ fields.gpkg --exclude cloud
      hsi scene new cube.tif train.gpkg --test-labels test.gpkg
      hsi scene new cube.tif labels.tif --force
    """
    from hsi.commands import screen
    from hsi.datasets.assemble import SceneFacts
    from hsi.datasets.catalogue.describe import describe_files
    from hsi.datasets.formats.readers import ArraySource
    from hsi.datasets.labels.read_labels import LabelOptions
    from hsi.datasets.load import has_label_map
    from hsi.errors import ConfigError
    from hsi.io.files import write_text

    if out.is_dir():
        out = out / "scene.toml"
    if out.exists() and not force:
        raise ConfigError(f"'{out}' is there already; choose another --out, or replace it with --force.")
    if not out.parent.is_dir():
        raise ConfigError(f"The folder '{out.parent}' for the description does not exist.")
    if labels is None and (test_labels or val_labels):
        raise ConfigError("--test-labels and --val-labels go with LABELS to train on; name their file, too.")
    if val_labels and not test_labels:
        raise ConfigError("--val-labels goes with --test-labels; name their file, too.")
    source = ArraySource(cube, cube_key, raw)
    sources = {
        subset: ArraySource(file, labels_key, plain=True, layer=layer)
        for subset, file in (("train", labels), ("val", val_labels), ("test", test_labels))
        if file is not None
    }
    if labels is None and has_label_map(source):
        sources["train"] = ArraySource(cube, labels_key)
    options = LabelOptions(labels_crs, all_touched, align, class_zero, tuple(unlabelled or ()))
    facts = SceneFacts(
        wavelengths_file=wavelengths,
        exclude=tuple(exclude or ()),
        labels=options,
        crs=crs or "",
    )
    files = sources if len(sources) > 1 else sources.get("train")
    made = describe_files(source, files, out, facts)
    write_text(out, made.text)
    for note in made.notes:
        screen.note(note)
    if json:
        screen.print_json({"out": str(out), **_facts(made), "notes": list(made.notes)})
        return
    _show(made, out)


def _facts(made: NewDescription) -> dict[str, Any]:
    scene, found = made.scene, made.anomalies
    centres = scene.wavelengths_nm
    return {
        "name": scene.name,
        "rows": scene.rows,
        "cols": scene.cols,
        "bands": scene.bands,
        "dtype": str(scene.cube.dtype),
        "smallest": found.low,
        "largest": found.high,
        "pixels_not_finite": found.not_finite,
        "pixels_of_one_value": {f"{value:g}": count for value, count in found.filled.items()},
        "sensor": scene.sensor,
        "wavelengths_nm": None if centres is None else [float(centre) for centre in centres],
        "georeference": scene.georeference,
        "acquired": scene.acquired or None,
        "product": scene.product or None,
        "bands_in_file": scene.band_choice.count if scene.band_choice else scene.bands,
        "flagged": {name: int(mask.sum()) for name, mask in scene.masks.items()},
        "subsets": {name: int(mask.sum()) for name, mask in scene.subsets.items()},
        "classes": [
            {"code": code, "name": name, "color": color, "pixels": count}
            for code, name, color, count in zip(
                scene.label_codes, scene.class_names, scene.colors, scene.counts, strict=True
            )
        ],
        "labelled": len(scene.labelled),
        "files": scene.sources,
    }


def _show(made: NewDescription, out: Path) -> None:
    from hsi.commands import screen

    facts = _facts(made)
    centres = facts["wavelengths_nm"]
    place = facts["georeference"]
    rows: list[tuple[str, object]] = [
        *([("product", facts["product"])] if facts["product"] else []),
        *([("acquired", facts["acquired"])] if facts["acquired"] else []),
        ("size", f"{facts['rows']} x {facts['cols']} pixels, {_bands(facts)}"),
        ("values", f"{facts['dtype']}, {facts['smallest']:g} to {facts['largest']:g}"),
        ("wavelengths", f"{min(centres):g} to {max(centres):g} nm" if centres else "not known"),
        ("sensor", facts["sensor"] or "not known"),
        ("coordinates", _place(place) if place else "none"),
        ("labelled", f"{facts['labelled']} pixels in {len(facts['classes'])} classes"),
        *((f"{name} labels", f"{pixels} pixels") for name, pixels in facts["subsets"].items()),
    ]
    screen.out().print(screen.table(facts["name"], [("", False), ("understood", False)], rows))
    if not facts["classes"]:
        next_step = command_to_paste("hsi", "map", "RUN", "--scene", out)
        hint = f"Description: {out}. Map it with a trained run: {next_step}"
        screen.out().print(hint, highlight=False, markup=False, soft_wrap=True)
        return
    columns = [("class", True), ("code", True), ("name", False), ("pixels", True), ("colour", False)]
    classes = [
        [number, one["code"], one["name"], one["pixels"], one["color"]]
        for number, one in enumerate(facts["classes"], start=1)
    ]
    screen.out().print(screen.table("Classes", columns, classes))
    next_step = command_to_paste("hsi", "train", "--model", "wcnet", "--dataset", out)
    hint = f"Description: {out}. Train on it: {next_step}"
    screen.out().print(hint, highlight=False, markup=False, soft_wrap=True)


def _bands(facts: dict[str, Any]) -> str:
    kept, all_ = facts["bands"], facts["bands_in_file"]
    return f"{kept} bands" if kept == all_ else f"{kept} of {all_} bands"


def _place(place: dict[str, Any]) -> str:
    """Say in short where a scene lies: the system's name, and the size of a pixel in its units."""
    a, b, x, d, e, y = place["transform"]
    crs = place["crs"] or "unknown system"
    name = crs if len(crs) < 40 else crs.split('"')[1] if '"' in crs else crs[:40]
    size = f"{abs(complex(a, d)):g} x {abs(complex(b, e)):g}"
    return f"{name}, pixels of {size}, first corner at {x:.10g}, {y:.10g}"


def download(
    names: Annotated[
        list[str], typer.Argument(help="Short names of scenes (hsi scenes lists them).", show_default=False)
    ],
    force: Annotated[bool, typer.Option("--force", help="Fetch again what is there already.")] = False,
    data_root: o.DataRoot = None,
    json: o.Json = False,
) -> None:
    """Fetch scene files from several mirrors, verified; an interrupted download resumes where it stopped.

    \b
      hsi download IN UP KSC
      hsi download SA --data-root /data/hyperspectral
    """
    from hsi.commands import screen
    from hsi.commands.progress import TransferProgress
    from hsi.datasets import download_scene, scene_entry

    entries = [scene_entry(name) for name in names]  # a misspelt name is told before anything is fetched
    files = {}
    with TransferProgress() as progress:
        for entry in entries:
            files[entry.name] = download_scene(
                entry.name, data_root=data_root, force=force, progress=progress
            )
    if json:
        screen.print_json({name: [str(path) for path in paths] for name, paths in files.items()})
        return
    rows = [
        [name, path, f"{path.stat().st_size / 1e6:.1f}"] for name, paths in files.items() for path in paths
    ]
    screen.out().print(screen.table("Files", [("scene", False), ("file", False), ("MB", True)], rows))
