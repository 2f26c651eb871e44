"""Maps of whole scenes, written to files tile by tile."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hsi.datasets.load import load_unlabelled
from hsi.datasets.scene import Scene, default_palette
from hsi.errors import ConfigError, SceneError
from hsi.inference.ensemble import Classify, Ensemble, How, Member, classify_here
from hsi.inference.run import Run
from hsi.inference.tiles import TILE_BYTES
from hsi.io.files import clear_unfinished, written_together
from hsi.io.locks import file_lock
from hsi.maps.array_files import write_mat, write_npy, write_png
from hsi.maps.attribute_table import PixelCounts, attribute_table, attribute_table_path
from hsi.maps.geotiff import write_geotiff
from hsi.maps.map_product import MapProduct, Write
from hsi.maps.polygons import write_geopackage
from hsi.maps.qgis_style import raster_style, style_path


@dataclass(frozen=True)
class SceneSource:
    """Where to find a run and a scene for it; can be sent to another machine.

    `scene` is a short name, scene.toml, product, or cube file (with `cube_key`); None for the scene of the
    run. With `raw`, a product is taken in its sensor's geometry; with `resample`, all its bands are loaded.
    """

    run: Path
    scene: str | None = None
    cube_key: str | None = None
    data_root: Path | None = None
    raw: bool = False
    resample: bool = False

    def open_run(self) -> Run:
        """Open the run; errors as `hsi.open_run`."""
        return Run(self.run)

    def load_scene(self, run: Run) -> Scene:
        """Load the scene; errors as `Run.load_scene` and `hsi.datasets.load.load_unlabelled`."""
        if self.scene is None:
            scenes = run.scene_names
            if len(scenes) > 1:
                raise ConfigError(
                    f"The run '{run.path}' has several scenes, {' and '.join(scenes)}; say which to map with "
                    f"--scene, such as --scene {scenes[0]}."
                )
            return run.load_scene(self.data_root)
        return load_unlabelled(
            self.scene,
            cube_key=self.cube_key,
            raw=self.raw,
            data_root=self.data_root,
            band_choice=None if self.resample else run.band_choice,
        )


WRITERS: dict[str, Callable[[Path, MapProduct], AbstractContextManager[Write]]] = {
    ".tif": write_geotiff,
    ".tiff": write_geotiff,
    ".png": write_png,
    ".npy": write_npy,
    ".mat": write_mat,
    ".gpkg": write_geopackage,
}


@dataclass(frozen=True)
class SceneMap:
    """A map that was written.

    Attributes
    ----------
    files
        Layer -> path: "map", and what else was asked for.
    counts
        Pixels of each class, class 1 first.
    missing, rejected
        Pixels without data; and, where pixels may be rejected, those that were not recognised, else None.
    seconds
        Time it took, with the writing.
    applied
        What was done to the probabilities, as the files say it: name -> text.
    notes
        What a user should know of it.
    """

    files: dict[str, Path]
    rows: int
    cols: int
    class_names: tuple[str, ...]
    counts: tuple[int, ...]
    missing: int
    rejected: int | None
    seconds: float
    applied: dict[str, str]
    notes: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Return values for JSON."""
        return {**asdict(self), "files": {kind: str(path) for kind, path in self.files.items()}}


def map_scene(
    run: Run | Ensemble,
    scene: Scene,
    out: str | Path,
    *,
    proba: bool = False,
    confidence: bool = False,
    margin: bool = False,
    entropy: bool = False,
    coverage: float | None = None,
    smooth: str | None = None,
    reject: float | None = None,
    resample: bool = False,
    device: str = "auto",
    budget: int = TILE_BYTES,
    watch: Callable[[int, int], None] = lambda done, pixels: None,
    classify: Classify = classify_here,
    data_root: str | Path | None = None,
    min_area: float = 0.0,
    keep: Callable[[MapProduct, NDArray[Any]], object] | None = None,
) -> SceneMap:
    """Classify every pixel of a scene and write the map; the cube may be larger than the memory.

    Files get their final names when all of them are complete. A ``.tif`` keeps the scene's coordinates and
    has a colour table and class names; ``NAME.tif.aux.xml``, where GDAL looks for them, also has pixels and
    area of each class, and ``NAME.qml`` is the style that QGIS shows it in. The whole map is in memory for
    ``.png``, ``.mat`` and ``.gpkg``, whose polygons are the map's regions; the probabilities of the whole
    scene are kept, in a temporary file if they are large, where they are smoothed or several runs are joined.

    Parameters
    ----------
    run, scene
        A finished run, or several (see `hsi.ensemble`), and any scene with their bands; see
        `hsi.datasets.load.load_unlabelled` for scenes without labels.
    out
        ``NAME.tif``, ``.png``, ``.npy``, ``.mat``, or, for polygons, ``.gpkg``.
    proba, confidence, margin, entropy
        Also write ``NAME-proba``: ``(rows, cols, classes)`` float32, calibrated probabilities;
        ``NAME-confidence``: the largest of them; ``NAME-margin``: the largest less the second; and
        ``NAME-entropy``: from 0, certain, to 1, all classes alike.
    coverage
        Also write ``NAME-set_size``: how many classes the prediction set of each pixel has, which holds the
        true one at this rate on validation land; a fraction.
    smooth
        Method of smoothing, see `hsi.smoothing.methods`; default: as the run was scored.
    reject
        Share of validation pixels that would be rejected, as looking like nothing in training: such pixels
        are 0 in the map, "not recognised", and pixels without data 255 or 65535.
    resample, device, budget
        As `Run.classify`.
    watch
        Called with pixels done and all pixels, after each tile.
    classify
        What classifies; default: this process.
    data_root
        Folder with the files of the run's own scene, which is needed where smoothing has to be fitted.
    min_area
        Of polygons: smaller regions are merged into a neighbour, see `hsi.maps.polygons.write_polygons`; m2,
        or pixels where their area is not known.
    keep
        Called at the end with the label map's product and its values ``(rows, cols)``, such as for
        `hsi.figures.map_layout.draw_layout`.

    Raises
    ------
    ConfigError
        For an unknown suffix, a missing folder, or a format that cannot hold what is requested.
    RunError
        When the scene's bands do not fit, or another process is writing the same map.
    SceneError
        When no pixel has data in all bands of the run.
    StorageError
        When the disk is full or read-only; older maps are as they were.
    """
    ensemble = run if isinstance(run, Ensemble) else Ensemble((run,))
    asked = {"proba": proba, "confidence": confidence, "margin": margin, "entropy": entropy}
    kinds = ["map", *(kind for kind, wanted in asked.items() if wanted)]
    if coverage is not None:
        kinds.append("set_size")
    files = _files(Path(out), kinds)
    writer = WRITERS[files["map"].suffix.lower()]
    if writer is write_geopackage:
        writer = partial(write_geopackage, min_area=min_area)
    elif min_area:
        raise ConfigError(f"--min-area is about polygons, which '{out}' has none of; choose --out NAME.gpkg.")
    started = time.perf_counter()
    how = How(resample, device, budget, classify, watch, files["map"].parent, data_root)
    beside = _files_beside(files["map"])
    with ExitStack() as stack:
        for path in files.values():
            stack.enter_context(_map_lock(path))
        classified = stack.enter_context(ensemble.classified(scene, smooth=smooth, reject=reject, how=how))
        sets = None if coverage is None else classified.post.prediction_sets(coverage)
        applied = {**ensemble.describe(), **classified.post.describe()}
        if sets is not None:
            applied["prediction sets"] = f"coverage {coverage:g}, {sets.rule}"
        if classified.rejection is not None:
            applied["rejection"] = classified.rejection.describe()
        products = [_product(kind, ensemble, scene, applied, reject is not None) for kind in kinds]
        counts = PixelCounts(products[0])
        labels = np.full(products[0].shape, products[0].no_data, products[0].dtype) if keep else None
        temporaries = stack.enter_context(written_together([*files.values(), *beside]))
        writes = [
            stack.enter_context(writer(temporary, product))
            for temporary, product in zip(temporaries, products, strict=False)
        ]
        for tile in classified.tiles:
            sizes = None if sets is None else sets(tile.proba).sum(axis=2)
            for product, write in zip(products, writes, strict=True):
                values = product.values(tile.proba, tile.missing, tile.rejected, sizes)
                write(tile.window, values)
                if product.kind == "map":
                    counts.add(values)
                    if labels is not None:
                        labels[tile.window.slices] = values
        if counts.missing == scene.rows * scene.cols:
            raise SceneError(
                f"Not one pixel of '{scene.name}' has data in all bands of the run "
                f"'{ensemble.members[0].path}', so there is no map; train without its dead bands (drop_bands "
                "in a scene.toml), or use --resample."
            )
        texts = attribute_table(products[0], counts), raster_style(products[0].legend)
        for temporary, text in zip(temporaries[len(products) :], texts, strict=False):
            temporary.write_text(text, encoding="utf-8")
    if keep is not None and labels is not None:
        keep(products[0], labels)
    return SceneMap(
        files=files,
        rows=scene.rows,
        cols=scene.cols,
        class_names=tuple(ensemble.class_names),
        counts=counts.classes,
        missing=counts.missing,
        rejected=None if reject is None else counts.rejected,
        seconds=time.perf_counter() - started,
        applied=applied,
        notes=() if sets is None else sets.notes,
    )


def _product(
    kind: str, ensemble: Ensemble, scene: Scene, applied: dict[str, str], rejects: bool
) -> MapProduct:
    names, colors = tuple(ensemble.class_names), _colors(ensemble.members[0], scene)
    return MapProduct(kind, scene.rows, scene.cols, names, colors, scene.georeference, rejects, applied)


@contextmanager
def _map_lock(path: Path) -> Iterator[None]:
    """Keep other processes from writing the same map; remove what a killed one left of it."""
    lock = path.with_name(f".{path.name}.lock")
    with file_lock(
        lock, f"Another 'hsi map' is writing '{path}'; wait until it ends, or choose another --out."
    ):
        for beside in (path, *_files_beside(path)):
            clear_unfinished(path.parent, beside.name)
        yield


def _files_beside(path: Path) -> list[Path]:
    """Return what GDAL and QGIS look for beside a GeoTIFF: attribute table and style."""
    geotiff = WRITERS[path.suffix.lower()] is write_geotiff
    return [attribute_table_path(path), style_path(path)] if geotiff else []


def _files(out: Path, kinds: list[str]) -> dict[str, Path]:
    """Return the file of each kind, checked."""
    suffix = out.suffix.lower()
    if suffix not in WRITERS:
        raise ConfigError(f"A map is written as {', '.join(WRITERS)}, which '{out}' does not end with.")
    if not out.parent.is_dir():
        raise ConfigError(f"The folder '{out.parent}' for the map does not exist.")
    if suffix == ".gpkg" and len(kinds) > 1:
        raise ConfigError(f"A GeoPackage holds classes as polygons, no {kinds[1]}; write .tif or .npy.")
    files = {
        kind: out if kind == "map" else out.with_name(f"{out.stem}-{kind}{out.suffix}") for kind in kinds
    }
    for path in files.values():
        if path.is_dir():
            raise ConfigError(f"'{path}' is a folder; name a file for the map.")
    return files


def _colors(run: Member, scene: Scene) -> tuple[str, ...]:
    """Return a colour for each class of the run: the scene's if it has the same classes, else the run's."""
    names = run.metrics["class_names"]
    if list(scene.class_names) == names:
        return scene.colors
    return tuple(run.metrics.get("colors") or default_palette(len(names)))
