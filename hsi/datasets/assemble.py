"""From a cube and labels, as arrays or as files, to a checked `Scene`.

What is repaired or looks suspicious becomes a note of the scene. What a description leaves open is taken from
the metadata of the files.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hsi.datasets.bands import name_bands, parse_bands
from hsi.datasets.catalogue.downloader import file_sha256
from hsi.datasets.checks import bands_left, check_cube, check_values, take_bands, unwrap_negatives
from hsi.datasets.cube import Cube, CubeView, fill_no_data
from hsi.datasets.formats.facts import FileFacts
from hsi.datasets.formats.readers import files_of, read_array, read_facts
from hsi.datasets.formats.recognise import SHAPES, recognise
from hsi.datasets.labels.label_map import check_labels, clear_no_data
from hsi.datasets.labels.rasterize import draw_labels
from hsi.datasets.scene import Scene, default_palette
from hsi.errors import SceneError

_MAX_CLASS_NAME = 200  # characters, cut beyond
_MAX_OFFSET = 0.5  # pixels between the corners of the cube's and the labels' grid


@dataclass(frozen=True)
class ArraySource:
    """A file and the name of the array in it (None: the only one that fits).

    In a file of points or polygons the name is that of the attribute that holds the class.
    """

    file: Path
    key: str | None = None

    @cached_property
    def kind(self) -> str:
        """The format of the file, see `recognise`; found once."""
        return recognise(self.file)


@dataclass(frozen=True)
class SceneFacts:
    """Metadata of a scene.

    Attributes
    ----------
    name, title, sensor, synthetic
        As in Scene.
    class_names, colors
        Code in the label file -> name, "#rrggbb".
    wavelengths_nm
        Band centres, one a band of the file, before any is dropped; empty where not known.
    fwhm_nm
        Full widths at half maximum, likewise.
    drop_bands
        Bands of the file to leave out, counted from 0; None: those that the file marks as bad.
    bands
        Bands of the file to use, see `hsi.datasets.bands`; None: all.
    no_data
        Value that marks a pixel without data (``nan`` also covers infinite values), or None.
    unlabelled
        Integers that mean "no label" beside 0.
    wrapped_negatives
        True where small negatives were stored in an unsigned 16-bit type.
    georeference
        As in Scene.
    """

    name: str
    title: str = ""
    sensor: str = ""
    synthetic: bool = False
    class_names: Mapping[int, str] = field(default_factory=dict)
    colors: Mapping[int, str] = field(default_factory=dict)
    wavelengths_nm: tuple[float, ...] = ()
    drop_bands: tuple[int, ...] | None = None
    bands: str | None = None
    no_data: float | None = None
    unlabelled: tuple[int, ...] = ()
    wrapped_negatives: bool = False
    georeference: dict[str, Any] | None = None
    fwhm_nm: tuple[float, ...] = ()


def assemble_scene(
    cube: NDArray[Any],
    labels: NDArray[Any],
    facts: SceneFacts,
    *,
    cube_source: str = "The cube",
    labels_source: str = "The label map",
    sources: Mapping[str, str] | None = None,
) -> Scene:
    """Return the scene of two arrays, both checked.

    Parameters
    ----------
    cube, labels
        (rows, cols, bands) and (rows, cols) as read. The cube is copied only to drop bands from the middle;
        pixels without data are filled in place, or in a copy where the cube is read-only.
    cube_source, labels_source
        What messages call the two.
    sources
        File name -> SHA-256 of what was read.

    Raises
    ------
    SceneError
        When the two do not make a scene; the message says why and what to do.
    """
    check_cube(cube, cube_source)
    notes, missing = [], None
    kept, wavelengths, widths = _select_bands(cube.shape[2], facts, cube_source)
    cube = take_bands(cube, kept)
    if facts.wrapped_negatives:
        cube, note = unwrap_negatives(cube)
        notes.append(note)
    if facts.no_data is not None:
        cube, missing, note = fill_no_data(cube, facts.no_data, cube_source)
        notes.append(note)
        if missing is not None and labels.shape == missing.shape:
            labels = np.where(missing, 0, labels)
    notes += check_values(cube, cube_source)
    checked = check_labels(labels, (cube.shape[0], cube.shape[1]), labels_source, unlabelled=facts.unlabelled)
    notes += _class_notes(checked.codes, facts)
    names = (facts.class_names.get(code, f"class {code}") for code in checked.codes)
    palette = default_palette(len(checked.codes) + len(facts.colors))
    unused = (color for color in palette if color not in facts.colors.values())
    return Scene(
        name=facts.name,
        cube=cube,
        labels=checked.labels,
        class_names=tuple(name[:_MAX_CLASS_NAME] for name in names),
        colors=tuple(facts.colors[code] if code in facts.colors else next(unused) for code in checked.codes),
        title=facts.title or facts.name,
        label_codes=checked.codes,
        wavelengths_nm=wavelengths,
        sensor=facts.sensor,
        georeference=facts.georeference,
        synthetic=facts.synthetic,
        sources=dict(sources or {}),
        notes=tuple(note for note in notes if note),
        missing=missing,
        fwhm_nm=widths,
    )


def _select_bands(
    count: int, facts: SceneFacts, where: str
) -> tuple[NDArray[np.int64], NDArray[np.float64] | None, NDArray[np.float64] | None]:
    """Return which of `count` bands to use, and their centres and widths (nm) where known."""
    wavelengths = np.array(facts.wavelengths_nm, dtype=np.float64) if facts.wavelengths_nm else None
    if wavelengths is not None and len(wavelengths) != count:
        raise SceneError(
            f"{where} has {count} bands, but {len(wavelengths)} wavelengths are given; give one a band."
        )
    dropped = set(facts.drop_bands or ())
    if facts.bands is not None:
        dropped |= {*range(count)} - {*parse_bands(facts.bands, count, wavelengths, facts.sensor)}
    kept = bands_left(count, sorted(dropped), where)
    widths = np.array(facts.fwhm_nm, np.float64)[kept] if facts.fwhm_nm else None
    return kept, None if wavelengths is None else wavelengths[kept], widths


def _class_notes(codes: tuple[int, ...], facts: SceneFacts) -> list[str]:
    """Return notes of renumbered classes, and of differences between label map and class names."""
    notes = []
    if codes != tuple(range(1, len(codes) + 1)):
        notes.append(
            f"The label map uses the codes {', '.join(map(str, codes))}; "
            f"they are classes 1 to {len(codes)} here, in that order."
        )
    if facts.class_names:
        absent = [f"{name} ({code})" for code, name in facts.class_names.items() if code not in codes]
        nameless = [str(code) for code in codes if code not in facts.class_names]
        if absent:
            notes.append(f"No pixel is labelled {', '.join(absent)}.")
        if nameless:
            notes.append(f"No name is given for the label codes {', '.join(nameless)}.")
    return notes


def load_files(
    cube: ArraySource, labels: ArraySource, facts: SceneFacts, *, options: tuple[str, str] = ("key", "key")
) -> Scene:
    """Return the scene of a cube file and a label file.

    Parameters
    ----------
    facts
        Metadata; wavelengths, bad bands, no-data value, sensor, class names and colours that it leaves open
        are taken from the files.
    options
        Options that messages recommend where it is not clear which array is the cube, and which the labels.

    Raises
    ------
    SceneNotFoundError, FileFormatError
        For files that are missing or cannot be read.
    SceneError
        For arrays that do not make a scene.
    """
    values = read_array(cube.file, ndim=3, key=cube.key, option=options[0], kind=cube.kind)
    cube_facts = read_facts(cube.file, cube.kind)
    if labels.kind in SHAPES:
        drawn = draw_labels(
            labels.file, (values.shape[0], values.shape[1]), cube_facts.georeference, labels.key
        )
        classes, label_facts = drawn.labels, FileFacts(class_names=drawn.class_names, notes=drawn.notes)
    else:
        classes = read_array(labels.file, ndim=2, key=labels.key, option=options[1], kind=labels.kind)
        label_facts = read_facts(labels.file, labels.kind)
        classes = clear_no_data(classes, label_facts.no_data)
    _check_same_grid(cube_facts, label_facts, labels.file)
    facts, notes = _complete(facts, cube_facts, label_facts)
    scene = assemble_scene(
        values,
        classes,
        facts,
        cube_source=f"The cube in {cube.file}",
        labels_source=f"The label map in {labels.file}",
        sources=hash_files(cube, labels),
    )
    return replace(scene, notes=(*cube_facts.notes, *label_facts.notes, *notes, *scene.notes))


def unlabelled_scene(cube: Cube, source: ArraySource) -> Scene:
    """Return a cube as opened from `source`, and the metadata of its file, as a scene without labels.

    Bad bands are left out and pixels without data are NaN when a window is read; a cube on disk stays there.
    """
    path = source.file
    cube_facts = read_facts(path, source.kind)
    facts, notes = _complete(SceneFacts(path.stem), cube_facts, FileFacts())
    kept, wavelengths, widths = _select_bands(cube.shape[2], facts, f"The cube in {path}")
    view = CubeView(cube, kept, facts.no_data)
    return Scene(
        name=path.stem,
        title=path.stem,
        cube=cube if view.shows_all else view,
        labels=np.broadcast_to(np.int64(0), cube.shape[:2]),  # takes no memory
        class_names=(),
        colors=(),
        wavelengths_nm=wavelengths,
        fwhm_nm=widths,
        sensor=facts.sensor,
        georeference=facts.georeference,
        notes=(*cube_facts.notes, *notes),
    )


def hash_files(*sources: ArraySource) -> dict[str, str]:
    """Return file name -> SHA-256 of all the files that are read for `sources`."""
    kinds = {source.file: source.kind for source in sources}
    return {file.name: file_sha256(file) for path, kind in kinds.items() for file in files_of(path, kind)}


def _check_same_grid(cube: FileFacts, labels: FileFacts, path: Path) -> None:
    """Raise SceneError if the two georeferences differ."""
    if cube.georeference is None or labels.georeference is None:
        return
    here = np.array(cube.georeference["transform"]).reshape(2, 3)
    there = np.array(labels.georeference["transform"]).reshape(2, 3)
    apart = np.abs(np.linalg.solve(here[:, :2], there[:, 2] - here[:, 2])).max()
    if apart > _MAX_OFFSET or not np.allclose(
        here[:, :2], there[:, :2], rtol=1e-3, atol=1e-3 * np.abs(here[:, :2]).max()
    ):
        raise SceneError(
            f"The label map in {path} lies on another grid than the cube: their corners are {apart:.1f} "
            "pixels apart, or their pixels differ in size; warp the labels to the cube's grid."
        )


def _complete(facts: SceneFacts, cube: FileFacts, labels: FileFacts) -> tuple[SceneFacts, list[str]]:
    """Take from the files what the description leaves open."""
    notes = []
    drop = facts.drop_bands
    if drop is None and cube.bad_bands:
        drop = cube.bad_bands
        notes.append(
            f"The file marks {len(drop)} bands as bad ({name_bands(drop)}); they are left out "
            "(drop_bands = [] in a scene.toml keeps them)."
        )
    completed = replace(
        facts,
        drop_bands=drop,
        sensor=facts.sensor or cube.sensor,
        wavelengths_nm=facts.wavelengths_nm or cube.wavelengths_nm,
        fwhm_nm=facts.fwhm_nm or cube.fwhm_nm,
        no_data=cube.no_data if facts.no_data is None else facts.no_data,
        class_names=facts.class_names or labels.class_names,
        colors=facts.colors or labels.colors,
        georeference=cube.georeference,
    )
    return completed, notes
