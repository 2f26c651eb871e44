"""Maps of whole scenes, written to files tile by tile."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from hsi.datasets.load import load_unlabelled
from hsi.datasets.scene import Scene, default_palette
from hsi.errors import ConfigError, SceneError
from hsi.inference.map_files import (
    MapProduct,
    Write,
    category_names,
    category_names_path,
    write_geotiff,
    write_mat,
    write_npy,
    write_png,
)
from hsi.inference.run import Run
from hsi.inference.tiles import TILE_BYTES, Window
from hsi.io.files import clear_unfinished, written_together
from hsi.io.locks import file_lock


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
}


class Classify(Protocol):
    """Classifies a scene tile by tile, in order; see `Run.classify`."""

    def __call__(
        self, run: Run, scene: Scene, /, *, resample: bool, device: str, budget: int
    ) -> Iterator[tuple[Window, NDArray[np.float32], NDArray[np.bool_]]]:
        """Yield each tile: its window, logits, and which pixels have no data."""


@dataclass(frozen=True)
class SceneMap:
    """A map that was written: "map", "proba", "confidence" -> path, and pixels of each class, class 1 first.

    `missing` are pixels without data, 0 on the map; `seconds` include the writing.
    """

    files: dict[str, Path]
    rows: int
    cols: int
    class_names: tuple[str, ...]
    counts: tuple[int, ...]
    missing: int
    seconds: float

    def as_dict(self) -> dict[str, Any]:
        """Return values for JSON."""
        return {**asdict(self), "files": {kind: str(path) for kind, path in self.files.items()}}


def map_scene(
    run: Run,
    scene: Scene,
    out: str | Path,
    *,
    proba: bool = False,
    confidence: bool = False,
    resample: bool = False,
    device: str = "auto",
    budget: int = TILE_BYTES,
    watch: Callable[[int, int], None] = lambda done, pixels: None,
    classify: Classify = Run.classify,
) -> SceneMap:
    """Classify every pixel of a scene and write the map; the cube may be larger than the memory.

    Files get their final names when all of them are complete. A ``.tif`` keeps the scene's coordinates and
    has a colour table and class names (also in ``NAME.tif.aux.xml``, where GDAL looks for them); the whole
    map is in memory for ``.png`` and ``.mat``.

    Parameters
    ----------
    run, scene
        A finished run and any scene with its bands; see `hsi.datasets.load.load_unlabelled` for scenes
        without labels.
    out
        ``NAME.tif``, ``.png``, ``.npy`` or ``.mat``.
    proba, confidence
        Also write ``NAME-proba``: ``(rows, cols, classes)`` float32, the softmax of the logits; and
        ``NAME-confidence``: the largest of them. Those of an SVM are not probabilities; they only rank.
    resample, device, budget
        As `Run.classify`.
    watch
        Called with pixels done and all pixels, after each tile.
    classify
        What classifies; default: this process.

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
    kinds = ["map", *(["proba"] if proba else []), *(["confidence"] if confidence else [])]
    names, colors = tuple(run.metrics["class_names"]), _colors(run, scene)
    products = [MapProduct(kind, scene.rows, scene.cols, names, colors, scene.georeference) for kind in kinds]
    files = _files(Path(out), kinds)
    writer = WRITERS[files["map"].suffix.lower()]
    started = time.perf_counter()
    counts = np.zeros(len(names) + 1, np.int64)
    done = 0
    tiles = classify(run, scene, resample=resample, device=device, budget=budget)
    names_file = [category_names_path(files["map"])] if writer is write_geotiff else []
    with ExitStack() as stack:
        for path in files.values():
            stack.enter_context(_map_lock(path))
        temporaries = stack.enter_context(written_together([*files.values(), *names_file]))
        for temporary in temporaries[len(products) :]:
            temporary.write_text(category_names(products[0]), encoding="utf-8")
        writes = [
            stack.enter_context(writer(temporary, product))
            for temporary, product in zip(temporaries, products, strict=False)
        ]
        for window, logits, missing in tiles:
            for product, write in zip(products, writes, strict=True):
                values = product.values(logits, missing)
                write(window, values)
                if product.kind == "map":
                    counts += np.bincount(values.ravel(), minlength=len(counts))
            done += missing.size
            watch(done, scene.rows * scene.cols)
        if not counts[1:].any():
            raise SceneError(
                f"Not one pixel of '{scene.name}' has data in all bands of the run '{run.path}', so there is "
                "no map; train without its dead bands (drop_bands in a scene.toml), or use --resample."
            )
    return SceneMap(
        files=files,
        rows=scene.rows,
        cols=scene.cols,
        class_names=names,
        counts=tuple(int(count) for count in counts[1:]),
        missing=int(counts[0]),
        seconds=time.perf_counter() - started,
    )


@contextmanager
def _map_lock(path: Path) -> Iterator[None]:
    """Keep other processes from writing the same map; remove what a killed one left of it."""
    lock = path.with_name(f".{path.name}.lock")
    with file_lock(
        lock, f"Another 'hsi map' is writing '{path}'; wait until it ends, or choose another --out."
    ):
        for name in (path.name, category_names_path(path).name):
            clear_unfinished(path.parent, name)
        yield


def _files(out: Path, kinds: list[str]) -> dict[str, Path]:
    """Return the file of each kind, checked."""
    suffix = out.suffix.lower()
    if suffix not in WRITERS:
        raise ConfigError(f"A map is written as {', '.join(WRITERS)}, which '{out}' does not end with.")
    if not out.parent.is_dir():
        raise ConfigError(f"The folder '{out.parent}' for the map does not exist.")
    files = {
        kind: out if kind == "map" else out.with_name(f"{out.stem}-{kind}{out.suffix}") for kind in kinds
    }
    for path in files.values():
        if path.is_dir():
            raise ConfigError(f"'{path}' is a folder; name a file for the map.")
    return files


def _colors(run: Run, scene: Scene) -> tuple[str, ...]:
    """Return a colour for each class of the run: the scene's if it has the same classes, else the run's."""
    names = run.metrics["class_names"]
    if list(scene.class_names) == names:
        return scene.colors
    return tuple(run.metrics.get("colors") or default_palette(len(names)))
