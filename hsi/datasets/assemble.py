"""From arrays to a checked scene: everything that is mended or looks odd becomes a note of the scene.

A scene from files of one's own: what the description leaves open is taken from what the files say.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
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

_LONGEST = 200  # letters of a class's name that tables and figures have to hold


@dataclass(frozen=True)
class SceneFacts:
    """What is known of a scene beyond its two arrays.

    Attributes
    ----------
    name, title, sensor, synthetic
        As in Scene.
    class_names, colors
        Code in the label file -> name, "#rrggbb".
    wavelengths_nm
        One a band of the file, before any is dropped; empty where not known.
    fwhm_nm
        As these: widths of the bands.
    drop_bands
        Bands of the file to leave out, counted from 0; None: those that the file itself marks as bad.
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
    """Check both arrays and put them together.

    Parameters
    ----------
    cube, labels
        (rows, cols, bands) and (rows, cols) as read. The cube is not copied unless bands from among others
        are dropped; pixels without data are filled in place, or in a copy where the cube is read-only.
    facts
        What is known beside them.
    cube_source, labels_source
        Words that name the two in messages.
    sources
        File name -> SHA-256 of what was read.

    Raises
    ------
    SceneError
        When the two do not make a scene; the message says why and what to do.
    """
    check_cube(cube, cube_source)
    notes, missing = [], None
    kept, wavelengths = wanted_bands(cube.shape[2], facts, cube_source)
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
    spare = iter(
        color
        for color in default_palette(len(checked.codes) + len(facts.colors))
        if color not in facts.colors.values()
    )
    return Scene(
        name=facts.name,
        cube=cube,
        labels=checked.labels,
        class_names=tuple(facts.class_names.get(code, f"class {code}")[:_LONGEST] for code in checked.codes),
        colors=tuple(facts.colors[code] if code in facts.colors else next(spare) for code in checked.codes),
        title=facts.title or facts.name,
        label_codes=checked.codes,
        wavelengths_nm=wavelengths,
        sensor=facts.sensor,
        georeference=facts.georeference,
        synthetic=facts.synthetic,
        sources=dict(sources or {}),
        notes=tuple(note for note in notes if note),
        missing=missing,
        fwhm_nm=widths_of(kept, facts),
    )


def wanted_bands(
    count: int, facts: SceneFacts, where: str
) -> tuple[NDArray[np.int64], NDArray[np.float64] | None]:
    """Return which of a cube's `count` bands are to be used, and their wavelengths where known.

    Raises
    ------
    SceneError, ConfigError
        For bands that are not there, or wavelengths that are not one a band.
    """
    wavelengths = np.array(facts.wavelengths_nm, dtype=np.float64) if facts.wavelengths_nm else None
    if wavelengths is not None and len(wavelengths) != count:
        raise SceneError(
            f"{where} has {count} bands, but {len(wavelengths)} wavelengths are given; give one a band."
        )
    unwanted = set(facts.drop_bands or ())
    if facts.bands is not None:
        unwanted |= {*range(count)} - {*parse_bands(facts.bands, count, wavelengths, facts.sensor)}
    kept = bands_left(count, sorted(unwanted), where)
    return kept, None if wavelengths is None else wavelengths[kept]


def widths_of(kept: NDArray[np.int64], facts: SceneFacts) -> NDArray[np.float64] | None:
    """Return the widths of the bands that are kept, in nanometres, or None where they are not known."""
    return np.array(facts.fwhm_nm, np.float64)[kept] if facts.fwhm_nm else None


def _class_notes(codes: tuple[int, ...], facts: SceneFacts) -> list[str]:
    """Say where the label map and the list of class names differ, and how gaps were closed."""
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


_HALF = 0.5  # pixels that two grids may be apart


@dataclass(frozen=True)
class ArraySource:
    """Where an array is: a file, and the array's name in it (None: the only one that fits).

    In a file of points or polygons the name is that of the attribute that holds the class.
    """

    file: Path
    key: str | None = None


def load_own(
    cube: ArraySource, labels: ArraySource, facts: SceneFacts, *, options: tuple[str, str] = ("key", "key")
) -> Scene:
    """Read cube and labels, and put them together.

    Parameters
    ----------
    cube, labels
        Where they are.
    facts
        What is said of the scene; wavelengths, bad bands, no-data value, sensor, class names and colours that
        it leaves open are those of the files.
    options
        Names of the options that messages recommend where it is not clear which array is the cube, and which
        the labels.

    Raises
    ------
    SceneNotFoundError, FileFormatError
        For files that are missing or cannot be read.
    SceneError
        For arrays that do not make a scene.
    """
    values = read_array(cube.file, ndim=3, key=cube.key, option=options[0])
    of_cube = read_facts(cube.file)
    classes, of_labels = _read_labels(labels, values.shape[:2], of_cube, options[1])
    _check_same_grid(of_cube, of_labels, labels.file)
    facts, notes = _completed(facts, of_cube, of_labels)
    scene = assemble_scene(
        values,
        classes,
        facts,
        cube_source=f"The cube in {cube.file}",
        labels_source=f"The label map in {labels.file}",
        sources=hashes_of(cube.file, labels.file),
    )
    return replace(scene, notes=(*of_cube.notes, *of_labels.notes, *notes, *scene.notes))


def without_labels(cube: Cube, path: Path) -> Scene:
    """Return a cube by itself as a scene, with what its file says of it; its values are not looked at.

    Bands that the file marks as bad are left out, and where it gives a value for no data, pixels that have it
    are NaN: both when a window is read, so what is not in memory stays out of it.

    Parameters
    ----------
    cube
        ``(rows, cols, bands)`` as opened from `path`.
    path
        Its file.
    """
    of_cube = read_facts(path)
    facts, notes = _completed(SceneFacts(path.stem), of_cube, FileFacts())
    kept, wavelengths = wanted_bands(cube.shape[2], facts, f"The cube in {path}")
    seen = CubeView(cube, kept, facts.no_data)
    return Scene(
        name=path.stem,
        title=path.stem,
        cube=cube if seen.shows_all else seen,
        labels=np.broadcast_to(np.int64(0), cube.shape[:2]),  # no memory for labels that are not there
        class_names=(),
        colors=(),
        wavelengths_nm=wavelengths,
        fwhm_nm=widths_of(kept, facts),
        sensor=facts.sensor,
        georeference=facts.georeference,
        notes=(*of_cube.notes, *notes),
    )


def hashes_of(*paths: Path) -> dict[str, str]:
    """Return file name -> SHA-256 of all the files that are read for `paths`."""
    return {file.name: file_sha256(file) for path in dict.fromkeys(paths) for file in files_of(path)}


def _read_labels(
    source: ArraySource, size: tuple[int, ...], of_cube: FileFacts, option: str
) -> tuple[NDArray[Any], FileFacts]:
    if recognise(source.file) in SHAPES:
        drawn = draw_labels(source.file, (size[0], size[1]), of_cube.georeference, source.key)
        return drawn.labels, FileFacts(class_names=drawn.class_names, notes=drawn.notes)
    labels = read_array(source.file, ndim=2, key=source.key, option=option)
    facts = read_facts(source.file)
    return clear_no_data(labels, facts.no_data), facts


def _check_same_grid(of_cube: FileFacts, of_labels: FileFacts, path: Path) -> None:
    """Refuse labels whose own georeference puts them elsewhere than the cube."""
    if of_cube.georeference is None or of_labels.georeference is None:
        return
    here = np.array(of_cube.georeference["transform"]).reshape(2, 3)
    there = np.array(of_labels.georeference["transform"]).reshape(2, 3)
    apart = np.abs(np.linalg.solve(here[:, :2], there[:, 2] - here[:, 2])).max()
    if apart > _HALF or not np.allclose(
        here[:, :2], there[:, :2], rtol=1e-3, atol=1e-3 * np.abs(here[:, :2]).max()
    ):
        raise SceneError(
            f"The label map in {path} lies on another grid than the cube: their corners are {apart:.1f} "
            "pixels apart, or their pixels differ in size; warp the labels to the cube's grid."
        )


def _completed(facts: SceneFacts, of_cube: FileFacts, of_labels: FileFacts) -> tuple[SceneFacts, list[str]]:
    """Fill in from the files what the description leaves open."""
    notes = []
    drop = facts.drop_bands
    if drop is None and of_cube.bad_bands:
        drop = of_cube.bad_bands
        notes.append(
            f"The file marks {len(drop)} bands as bad ({name_bands(drop)}); they are left out "
            "(drop_bands = [] in a scene.toml keeps them)."
        )
    completed = replace(
        facts,
        drop_bands=drop,
        sensor=facts.sensor or of_cube.sensor,
        wavelengths_nm=facts.wavelengths_nm or of_cube.wavelengths_nm,
        fwhm_nm=facts.fwhm_nm or of_cube.fwhm_nm,
        no_data=of_cube.no_data if facts.no_data is None else facts.no_data,
        class_names=facts.class_names or of_labels.class_names,
        colors=facts.colors or of_labels.colors,
        georeference=of_cube.georeference,
    )
    return completed, notes
