"""Loading a scene: by the short name of a benchmark, from a ``scene.toml``, or from a cube file.

`load_scene` needs labels; `load_unlabelled`, for mapping, does not, and its cube may be larger than memory.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hsi.datasets.assemble import SceneFacts, assemble_scene, hash_files, load_files, unlabelled_scene
from hsi.datasets.catalogue.description import read_description
from hsi.datasets.catalogue.downloader import missing_files_message
from hsi.datasets.catalogue.entries import SceneEntry, SceneFile, find_entry, list_scenes
from hsi.datasets.catalogue.locate import SceneFiles, find_scene_files, user_path
from hsi.datasets.checks import check_cube
from hsi.datasets.formats.raster_cube import RasterCube
from hsi.datasets.formats.readers import ArraySource, list_arrays, open_cube, read_array
from hsi.datasets.labels.label_map import merge_maps
from hsi.datasets.scene import BandChoice, Scene
from hsi.errors import ConfigError, SceneError, SceneNotFoundError, unknown


def load_scene(
    dataset: str | Path,
    *,
    labels: str | Path | None = None,
    cube_key: str | None = None,
    labels_key: str | None = None,
    data_root: str | Path | None = None,
    band_choice: BandChoice | None = None,
) -> Scene:
    """Load a scene.

    Parameters
    ----------
    dataset
        A short name in any letter case (``IN``, ``up``, ``demo``; see ``hsi scenes``); the path of a
        ``scene.toml`` or of the folder it is in; or a file with a cube (rows, cols, bands): MATLAB v5 or
        v7.3, ``.npy``, ``.npz``, HDF5, Zarr, ENVI (header or data file), any raster that GDAL reads; or a
        satellite or airborne product, by its folder or any of its files.
    labels
        File with the label map (rows, cols), 0 = unlabelled: any of those formats, or an image (PNG, BMP); or
        with points or polygons (GeoPackage, GeoJSON, shapefile, ...), a CSV of points, or an ENVI ROI file.
        Only with a cube file. Default: the cube's file.
    cube_key, labels_key
        Names of the arrays in those files; for points or polygons, of the attribute that holds the class.
        Default: the known name, else the only one that fits.
    data_root
        Folder in which to look for a benchmark scene's files, and for those of a ``scene.toml`` that are not
        beside it. Default: ``HSI_DATA``, then the download cache.
    band_choice
        Bands to use, such as those of a run, where the file has as many; otherwise those that are not bad.

    Returns
    -------
    Scene
        Its `notes` list what was repaired or looks suspicious.

    Raises
    ------
    SceneNotFoundError
        For an unknown name or a missing file; the message says what to download, or which file to put where.
    FileFormatError
        For a damaged file, or one in no supported format.
    SceneError
        For arrays that do not make a scene.
    ConfigError
        For options that do not go with `dataset`, and mistakes in a ``scene.toml``.
    """
    path = user_path(dataset)
    entry = find_entry(dataset) if isinstance(dataset, str) else None
    if entry is None and not path.exists():
        looks_like_path = isinstance(dataset, Path) or path.suffix or len(path.parts) > 1
        if looks_like_path:
            raise SceneNotFoundError(
                f"There is no file {path}; check the path, or see 'hsi scenes' for short names."
            )
        raise SceneNotFoundError(unknown("scene", str(dataset), [known.name for known in list_scenes()]))
    if entry is None and path.is_dir() and (path / "scene.toml").is_file():
        path = path / "scene.toml"
    if entry is None and path.suffix.lower() != ".toml":
        cube = ArraySource(path, cube_key)
        source = ArraySource(path, labels_key)
        if labels is not None:
            source = ArraySource(user_path(labels), labels_key, plain=True)
        return _load_file(cube, source, band_choice)
    if labels is not None:
        raise ConfigError(
            f"'{dataset}' brings its own labels, so --labels does not go with it; name a cube file instead."
        )
    if entry is not None and entry.cube is not None and entry.labels is not None:
        keys = cube_key, labels_key
        return _load_benchmark(entry, entry.cube, entry.labels, keys, data_root, band_choice)
    if cube_key is not None or labels_key is not None:
        raise ConfigError(
            f"'{dataset}' says itself which arrays it uses; leave out --cube-key and --labels-key."
        )
    if entry is not None and entry.make is not None:
        return entry.make()
    if entry is not None and entry.description is not None:
        scene = _load_description(entry.description, data_root, band_choice)
        return replace(scene, name=entry.name, synthetic=scene.synthetic or entry.synthetic)
    return _load_description(path, data_root, band_choice)


def _load_file(cube: ArraySource, labels: ArraySource, choice: BandChoice | None) -> Scene:
    if labels.file == cube.file and labels.key is None and not has_label_map(cube):
        raise SceneError(
            f"{cube.file} holds a cube but no labels; name the file of the label map with --labels."
        )
    options = ("cube_key", "labels_key")
    return load_files(cube, labels, SceneFacts(), options=options, choice=choice)


def has_label_map(source: ArraySource) -> bool:
    """Return whether a file that holds several arrays has one that could be a label map."""
    infos = list_arrays(source.file, source.kind)
    named = [info for info in infos if info.name]
    return any(info.numeric and len(info.shape) == 2 and min(info.shape) > 1 for info in named)


def _load_description(path: Path, data_root: str | Path | None, choice: BandChoice | None) -> Scene:
    description = read_description(path, data_root)
    if description.labels is None:
        raise SceneError(
            f"{path} describes a cube without labels, which can be mapped but not trained on; add labels = "
            '{ file = "..." }.'
        )
    return load_files(description.cube, description.labels, description.facts, choice=choice)


def _load_benchmark(
    entry: SceneEntry,
    cube_file: SceneFile,
    labels_file: SceneFile,
    keys: tuple[str | None, str | None],
    data_root: str | Path | None,
    choice: BandChoice | None,
) -> Scene:
    cube_key, labels_key = keys
    files = find_scene_files(entry, data_root)
    if files is None:
        raise SceneNotFoundError(missing_files_message(entry, data_root))
    cube_source, labels_source = ArraySource(files.cube, cube_key), ArraySource(files.labels, labels_key)
    cube = read_array(files.cube, ndim=3, key=cube_key, known_keys=cube_file.keys, kind=cube_source.kind)
    cube, axes_note = _reorder_axes(cube, entry, files.cube)
    labels = _read_labels(labels_source, labels_file)
    facts = SceneFacts(
        entry.name,
        entry.title,
        entry.sensor,
        class_names=dict(enumerate(entry.class_names, start=1)),
        colors=dict(enumerate(entry.colors, start=1)),
        wavelengths_nm=entry.wavelengths_nm,
        wrapped_negatives=entry.wrapped_negatives,
    )
    scene = assemble_scene(
        cube,
        labels,
        facts,
        cube_source=f"The cube in {files.cube}",
        labels_source=f"The label map in {files.labels}",
        sources=hash_files(cube_source, labels_source),
        choice=choice,
    )
    notes = [axes_note, *_hash_notes(entry, files, scene.sources), *_count_notes(entry, scene)]
    return replace(scene, notes=(*scene.notes, *(note for note in notes if note)))


def _read_labels(source: ArraySource, file: SceneFile) -> NDArray[Any]:
    path, kind = source.file, source.kind
    if source.key is None and file.merge:
        names = {info.name for info in list_arrays(path, kind)}
        if names.issuperset(file.merge):
            maps = [read_array(path, ndim=2, key=name, kind=kind) for name in file.merge]
            return merge_maps(maps, str(path))
    return read_array(path, ndim=2, key=source.key, known_keys=file.keys, option="labels_key", kind=kind)


def _reorder_axes(cube: NDArray[Any], entry: SceneEntry, path: Path) -> tuple[NDArray[Any], str]:
    """Return the cube as (rows, cols, bands), a transposed view where its shape shows another order.

    Rows and columns of a square scene are ambiguous; such a cube is refused, never transposed by guess.
    """
    if entry.shape is None or cube.shape == entry.shape:
        return cube, ""
    expected = " x ".join(map(str, entry.shape))
    found = " x ".join(map(str, cube.shape))
    orders = [order for order in _ORDERS if tuple(cube.shape[axis] for axis in order) == entry.shape]
    if len(orders) == 1:
        return np.transpose(cube, orders[0]), f"The cube was stored as {found}; its axes are in order now."
    if orders:
        raise SceneError(
            f"The cube in {path} is {found}, not {expected} (rows, cols, bands), and which axis is which is "
            "not clear; save it as rows, cols, bands."
        )
    raise SceneError(
        f"The cube in {path} is {found}, but {entry.title} is {expected} (rows, cols, bands); use the usual "
        f"file {entry.cube.file if entry.cube else ''}, or describe this one in a scene.toml (it can drop "
        "bands)."
    )


_ORDERS = ((0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0))


def _hash_notes(entry: SceneEntry, files: SceneFiles, sources: dict[str, str]) -> list[str]:
    notes = []
    for path, file in ((files.cube, entry.cube), (files.labels, entry.labels)):
        if file is not None and file.sha256 and sources[path.name] != file.sha256:
            notes.append(
                f"{path.name} is not the published file byte for byte (its SHA-256 differs); "
                "its shape and its classes were checked instead."
            )
    return list(dict.fromkeys(notes))


def _count_notes(entry: SceneEntry, scene: Scene) -> list[str]:
    """Return notes where the labelled pixels of each class differ from the catalogue."""
    counts = dict(zip(scene.label_codes, scene.counts, strict=True))
    expected = dict(enumerate(entry.class_counts, start=1))
    differing = [code for code in sorted(counts | expected) if counts.get(code, 0) != expected.get(code, 0)]
    notes = []
    if differing:
        firm = "" if entry.counts_verified else " (as printed in the literature)"
        trap = f" Beware: {entry.pitfall}." if entry.pitfall else ""
        notes.append(
            f"The label map has {sum(counts.values()):,} labelled pixels, the usual one of {entry.title} "
            f"{sum(expected.values()):,}{firm}; classes {', '.join(map(str, differing))} differ.{trap}"
        )
    if not entry.names_verified:
        notes.append(f"The class names are not certain: {entry.pitfall}.")
    return notes


def load_unlabelled(
    dataset: str | Path,
    *,
    cube_key: str | None = None,
    raw: bool = False,
    data_root: str | Path | None = None,
    band_choice: BandChoice | None = None,
) -> Scene:
    """Load a scene with its labels, if it has any; a cube file has none.

    A cube without labels in a ``.npy``, ENVI, GDAL or HDF5 file or a product stays on disk and is read by
    windows. Pixels with the file's no-data value are NaN.

    Parameters
    ----------
    dataset
        A short name, a ``scene.toml`` or its folder, as `hsi.load_scene`; or a file or product with a cube
        (rows, cols, bands).
    raw
        Take a product in the geometry of its sensor.
    cube_key, data_root, band_choice
        As `hsi.load_scene`.

    Raises
    ------
    SceneNotFoundError, FileFormatError, SceneError, ConfigError
        As `hsi.load_scene`.
    """
    path = user_path(dataset)
    entry = find_entry(dataset) if isinstance(dataset, str) else None
    file = path / "scene.toml" if path.is_dir() and (path / "scene.toml").is_file() else path
    if entry is not None and entry.description is not None:
        file = entry.description
    described = file.suffix.lower() == ".toml" and file.is_file()
    if not described and (entry is not None or not path.exists()):
        return load_scene(dataset, cube_key=cube_key, data_root=data_root, band_choice=band_choice)
    if described:
        description = read_description(file, data_root)
        if description.labels is not None:
            return load_scene(dataset, cube_key=cube_key, data_root=data_root, band_choice=band_choice)
        source, facts = description.cube, description.facts
    else:
        source, facts = ArraySource(path, cube_key, raw), SceneFacts()
    cube = open_cube(source.file, source.key, source.kind)
    check_cube(cube, f"The cube in {source.file}")
    scene = unlabelled_scene(cube, source, facts, band_choice)
    return replace(scene, notes=(*scene.notes, *cube.notes)) if isinstance(cube, RasterCube) else scene
