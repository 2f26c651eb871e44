"""From a cube and labels, as arrays or as files, to a checked `Scene`.

What is repaired or looks suspicious becomes a note of the scene. What a description leaves open is taken from
the metadata of the files.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hsi.datasets.bands import name_bands, parse_bands
from hsi.datasets.catalogue.downloader import file_sha256
from hsi.datasets.checks import (
    bands_left,
    check_cube,
    check_values,
    find_useless_bands,
    take_bands,
    unwrap_negatives,
)
from hsi.datasets.cube import Cube, CubeView, WindowedCube, fill_no_data
from hsi.datasets.formats.band_tables import read_wavelengths
from hsi.datasets.formats.facts import NO_DATA, FileFacts, is_crs
from hsi.datasets.formats.readers import ArraySource, files_of, read_array, read_facts
from hsi.datasets.labels.label_map import check_labels
from hsi.datasets.labels.read_labels import LabelMap, LabelOptions, merge_label_maps, read_labels
from hsi.datasets.scene import BandChoice, Scene, default_palette
from hsi.errors import SceneError, unknown

_MAX_CLASS_NAME = 200  # characters, cut beyond
_SAMPLED_ROWS = 32  # of a cube that stays on disk, in which bands without data are looked for


@dataclass(frozen=True)
class SceneFacts:
    """Metadata of a scene, and how its files are read.

    Attributes
    ----------
    name
        As in Scene; "": the identifier of the product, else the name of the file.
    title, sensor, synthetic, acquired, product
        As in Scene.
    class_names, colors
        Code in the label file -> name, "#rrggbb".
    wavelengths_nm
        Band centres, one a band of the file, before any is dropped; empty where not known.
    fwhm_nm
        Full widths at half maximum, likewise.
    wavelengths_file
        File with the centres, read by `hsi.datasets.formats.band_tables.read_wavelengths`, or None.
    drop_bands
        Bands of the file to leave out, counted from 0; None: those that the file marks as bad.
    bands
        Bands of the file to use, see `hsi.datasets.bands`; None: all.
    no_data
        Value that marks a pixel without data (``nan`` also covers infinite values), or None.
    exclude
        Names of the product's masks whose pixels count as without data, such as "cloud".
    labels
        How label files are read.
    wrapped_negatives
        True where small negatives were stored in an unsigned 16-bit type.
    crs
        Coordinate system of the cube, as ``EPSG:n`` or WKT, instead of the one in its file.
    georeference, masks
        As in Scene.
    """

    name: str = ""
    title: str = ""
    sensor: str = ""
    synthetic: bool = False
    class_names: Mapping[int, str] = field(default_factory=dict)
    colors: Mapping[int, str] = field(default_factory=dict)
    wavelengths_nm: tuple[float, ...] = ()
    wavelengths_file: Path | None = None
    drop_bands: tuple[int, ...] | None = None
    bands: str | None = None
    no_data: float | None = None
    exclude: tuple[str, ...] = ()
    labels: LabelOptions = field(default_factory=LabelOptions)
    wrapped_negatives: bool = False
    crs: str = ""
    georeference: dict[str, Any] | None = None
    fwhm_nm: tuple[float, ...] = ()
    acquired: str = ""
    product: str = ""
    masks: Mapping[str, NDArray[np.bool_]] = field(default_factory=dict)


def assemble_scene(
    cube: NDArray[Any],
    labels: NDArray[Any] | LabelMap | None,
    facts: SceneFacts,
    *,
    cube_source: str = "The cube",
    labels_source: str = "The label map",
    sources: Mapping[str, str] | None = None,
    bad_bands: tuple[int, ...] = (),
    choice: BandChoice | None = None,
) -> Scene:
    """Return the scene of two arrays, both checked.

    Parameters
    ----------
    cube, labels
        (rows, cols, bands) and (rows, cols) as read, or None for no labels. The cube is copied only to drop
        bands from the middle; pixels without data are filled in place, or in a copy where the cube is
        read-only.
    cube_source, labels_source
        What messages call the two.
    sources
        File name -> SHA-256 of what was read.
    bad_bands
        Bands that the file marks as bad, left out unless ``facts.drop_bands`` says otherwise.
    choice
        Bands to use whatever the file says, where it has as many.

    Raises
    ------
    SceneError
        When the two do not make a scene; the message says why and what to do.
    """
    check_cube(cube, cube_source)
    count = cube.shape[2]
    kept, notes = _select_bands(count, facts, bad_bands, choice, cube_source)
    cube = take_bands(cube, kept)
    if facts.wrapped_negatives:
        cube, note = unwrap_negatives(cube)
        notes.append(note)
    if choice is None or choice.count != count:
        useless = find_useless_bands(cube, facts.no_data)
        if len(useless.constant) == len(kept):
            raise SceneError(
                f"Every band of {cube_source} holds a single value; there is nothing to learn from it."
            )
        if 0 < len(useless.all) < len(kept):
            notes.append(_useless_note(kept[useless.without_data], kept[useless.constant]))
            rest = np.setdiff1d(np.arange(len(kept)), useless.all)
            cube, kept = take_bands(cube, rest), kept[rest]
    excluded = _excluded(facts, cube_source)
    cube, missing, note = fill_no_data(cube, facts.no_data, cube_source, excluded)
    notes += [note, *check_values(cube, cube_source), _flagged_note(facts)]
    size = (cube.shape[0], cube.shape[1])
    if labels is None:
        labels = LabelMap(np.broadcast_to(np.int64(0), size), ())  # takes no memory
    elif not isinstance(labels, LabelMap):
        checked = check_labels(
            labels,
            size,
            labels_source,
            unlabelled=facts.labels.unlabelled,
            class_zero=facts.labels.class_zero,
        )
        labels = LabelMap(checked.labels, checked.codes, checked.names, {}, checked.notes)
    if missing is not None:
        labels, note = _without(labels, missing, labels_source)
        notes.append(note)
    class_names, colors = facts.class_names or labels.names, facts.colors or labels.colors
    notes += [*labels.notes, *_class_notes(labels.codes, class_names)]
    names = (class_names.get(code) or f"code {code}" for code in labels.codes)
    palette = default_palette(len(labels.codes) + len(colors))
    unused = (color for color in palette if color not in colors.values())
    wavelengths = np.array(facts.wavelengths_nm, np.float64)[kept] if facts.wavelengths_nm else None
    widths = np.array(facts.fwhm_nm, np.float64)[kept] if facts.fwhm_nm else None
    return Scene(
        name=facts.name,
        cube=cube,
        labels=labels.labels,
        class_names=tuple(name[:_MAX_CLASS_NAME] for name in names),
        colors=tuple(colors[code] if code in colors else next(unused) for code in labels.codes),
        title=facts.title or facts.name,
        label_codes=labels.codes,
        wavelengths_nm=wavelengths,
        sensor=facts.sensor,
        georeference=facts.georeference,
        synthetic=facts.synthetic,
        sources=dict(sources or {}),
        notes=tuple(note for note in notes if note),
        missing=missing,
        fwhm_nm=widths,
        band_choice=BandChoice(count, tuple(kept.tolist())),
        acquired=facts.acquired,
        product=facts.product,
        masks=facts.masks,
    )


def _select_bands(
    count: int, facts: SceneFacts, bad: tuple[int, ...], choice: BandChoice | None, where: str
) -> tuple[NDArray[np.int64], list[str]]:
    """Return which of `count` bands to use by what is known of them, and notes."""
    wavelengths = np.array(facts.wavelengths_nm, dtype=np.float64) if facts.wavelengths_nm else None
    if wavelengths is not None and len(wavelengths) != count:
        raise SceneError(
            f"{where} has {count} bands, but {len(wavelengths)} wavelengths are given; give one a band."
        )
    if choice is not None and choice.count == count:
        return np.array(choice.numbers, np.int64), []
    notes = []
    if facts.drop_bands is None and bad:
        marked, left = ("band", "it is") if len(bad) == 1 else ("bands", "they are")
        notes.append(
            f"The file marks {len(bad)} {marked} as bad ({name_bands(bad)}); {left} left out "
            f"(drop_bands = [] in a scene.toml keeps {'it' if len(bad) == 1 else 'them'})."
        )
    dropped = set(bad if facts.drop_bands is None else facts.drop_bands)
    if facts.bands is not None:
        dropped |= {*range(count)} - {*parse_bands(facts.bands, count, wavelengths, facts.sensor)}
    return bands_left(count, sorted(dropped), where), notes


def _useless_note(without_data: NDArray[np.int64], constant: NDArray[np.int64]) -> str:
    """Say which bands, counted from 0, are left out since they hold nothing to learn from."""
    parts = [
        f"{'band' if len(bands) == 1 else 'bands'} {name_bands(bands)} ({why})"
        for bands, why in ((without_data, "no data in most pixels"), (constant, "a single value"))
        if len(bands)
    ]
    return f"Left out, counted from 0: {' and '.join(parts)}."


def _excluded(facts: SceneFacts, where: str) -> NDArray[np.bool_] | None:
    """Return the pixels that have no data by a mask, or are flagged by an excluded one; or None."""
    for name in facts.exclude:
        if name not in facts.masks:
            if not facts.masks:
                raise SceneError(f"{where} comes with no mask, so '{name}' cannot be excluded; leave it out.")
            raise SceneError(unknown("mask", name, facts.masks))
    always = [NO_DATA] if NO_DATA in facts.masks else []
    flagged = [facts.masks[name] for name in (*always, *facts.exclude)]
    return np.logical_or.reduce(flagged) if flagged else None


_SPOILT = ("cloud", "cirrus", "cloud shadow", "haze", "snow")


def _flagged_note(facts: SceneFacts) -> str:
    """Say how many pixels a product flags as spoilt, where they are not excluded."""
    counts = {
        name: int(facts.masks[name].sum())
        for name in _SPOILT
        if name in facts.masks and name not in facts.exclude and facts.masks[name].any()
    }
    if not counts:
        return ""
    listed = ", ".join(f"{count:,} {name}" for name, count in counts.items())
    return (
        f"The product flags pixels ({listed}) that are kept; --exclude {next(iter(counts))} (exclude in a "
        "scene.toml) leaves them out."
    )


def _without(labels: LabelMap, missing: NDArray[np.bool_], where: str) -> tuple[LabelMap, str]:
    """Return labels without those of pixels that have no data, classes renumbered where one is gone."""
    cleared = np.where(missing, 0, labels.labels)
    left = np.flatnonzero(np.bincount(cleared.ravel(), minlength=len(labels.codes) + 1)[1:])
    if len(labels.codes) > 1 and len(left) < 2:
        raise SceneError(f"{where} labels almost only pixels without data; check the no-data value.")
    number = np.zeros(len(labels.codes) + 1, np.int64)
    number[left + 1] = np.arange(1, len(left) + 1)
    codes = tuple(labels.codes[at] for at in left)
    gone = len(labels.codes) - len(left)
    lost = int((missing & (labels.labels > 0)).sum())
    note = f"{lost} labelled pixels have no data and lose their label." if lost and not gone else ""
    if gone:
        names = [labels.names.get(code, f"code {code}") for code in labels.codes if code not in codes]
        note = f"{lost} labelled pixels have no data, among them all of {', '.join(names)}."
    return replace(labels, labels=number[cleared], codes=codes), note


def _class_notes(codes: tuple[int, ...], class_names: Mapping[int, str]) -> list[str]:
    """Return notes of renumbered classes, and of differences between label map and class names."""
    notes = []
    if codes and codes != tuple(range(1, len(codes) + 1)):
        notes.append(
            f"The label map uses the codes {', '.join(map(str, codes))}; "
            f"they are classes 1 to {len(codes)} here, in that order."
        )
    if any(class_names.values()):
        absent = [f"{name} ({code})" for code, name in class_names.items() if code not in codes]
        nameless = [str(code) for code in codes if code not in class_names]
        if absent:
            notes.append(f"No pixel is labelled {', '.join(absent)}.")
        if nameless:
            notes.append(f"No name is given for the label codes {', '.join(nameless)}.")
    return notes


def load_files(
    cube: ArraySource,
    labels: ArraySource | Mapping[str, ArraySource] | None,
    facts: SceneFacts,
    *,
    options: tuple[str, str] = ("key", "key"),
    choice: BandChoice | None = None,
) -> Scene:
    """Return the scene of a cube file and a label file.

    Parameters
    ----------
    labels
        The labels; or those of each subset, "train", "test" and perhaps "val", which make a split; or None
        for a scene without labels.
    facts
        Metadata; wavelengths, bad bands, no-data value, sensor, class names and colours that it leaves open
        are taken from the files.
    options
        Options that messages recommend where it is not clear which array is the cube, and which the labels.
    choice
        Bands to use whatever the file says, where it has as many.

    Raises
    ------
    SceneNotFoundError, FileFormatError
        For files that are missing or cannot be read.
    SceneError
        For arrays that do not make a scene.
    """
    values = read_array(cube.file, ndim=3, key=cube.key, option=options[0], kind=cube.kind)
    facts, bad_bands, notes = _complete(facts, cube, values.shape[2])
    size = (values.shape[0], values.shape[1])
    files = dict(labels) if isinstance(labels, Mapping) else {} if labels is None else {"": labels}
    maps = {
        subset: read_labels(
            source, size, facts.georeference, facts.labels, option=options[1], fewest=1 if subset else 2
        )
        for subset, source in files.items()
    }
    label_map = next(iter(maps.values()), None)
    subsets: dict[str, NDArray[np.bool_]] = {}
    if len(maps) > 1:
        label_map, subsets = merge_label_maps(maps)
    scene = assemble_scene(
        values,
        label_map,
        facts,
        cube_source=f"The cube in {cube.file}",
        labels_source=f"The label map in {', '.join(str(source.file) for source in files.values())}",
        sources=hash_files(cube, *files.values()),
        bad_bands=bad_bands,
        choice=choice,
    )
    if scene.missing is not None:
        subsets = {name: pixels & ~scene.missing for name, pixels in subsets.items()}
    return replace(scene, notes=(*notes, *scene.notes), subsets=subsets)


def unlabelled_scene(
    cube: Cube, source: ArraySource, facts: SceneFacts, choice: BandChoice | None = None
) -> Scene:
    """Return a cube as opened from `source`, and the metadata of its file, as a scene without labels.

    Bands that are bad or hold nothing are left out, and pixels without data are NaN when a window is read; a
    cube on disk stays there, and bands without data are looked for in some of its rows.

    Parameters
    ----------
    facts, choice
        As in `load_files`.
    """
    path = source.file
    where = f"The cube in {path}"
    count = cube.shape[2]
    facts, bad_bands, notes = _complete(facts, source, count)
    kept, more = _select_bands(count, facts, bad_bands, choice, where)
    notes += more
    if choice is None or choice.count != count:
        view = CubeView(cube, kept)
        every = cube.shape[0] <= _SAMPLED_ROWS or not isinstance(cube, WindowedCube | np.memmap)
        rows = (
            None
            if every
            else np.unique(np.linspace(0, cube.shape[0] - 1, _SAMPLED_ROWS).astype(int)).tolist()
        )
        useless = find_useless_bands(view, facts.no_data, rows)
        dead = useless.all if every else useless.without_data  # some rows may well be constant
        if 0 < len(dead) < len(kept):
            notes.append(
                _useless_note(kept[useless.without_data], kept[np.setdiff1d(dead, useless.without_data)])
            )
            kept = np.delete(kept, dead)
    shown = CubeView(cube, kept, facts.no_data)
    return Scene(
        name=facts.name,
        title=facts.title or facts.name,
        cube=cube if shown.shows_all else shown,
        labels=np.broadcast_to(np.int64(0), cube.shape[:2]),  # takes no memory
        class_names=(),
        colors=(),
        wavelengths_nm=np.array(facts.wavelengths_nm, np.float64)[kept] if facts.wavelengths_nm else None,
        fwhm_nm=np.array(facts.fwhm_nm, np.float64)[kept] if facts.fwhm_nm else None,
        sensor=facts.sensor,
        georeference=facts.georeference,
        synthetic=facts.synthetic,
        notes=(*notes, *([note] if (note := _flagged_note(facts)) else [])),
        missing=_excluded(facts, where),
        band_choice=BandChoice(count, tuple(kept.tolist())),
        acquired=facts.acquired,
        product=facts.product,
        masks=facts.masks,
    )


def hash_files(*sources: ArraySource) -> dict[str, str]:
    """Return file name -> SHA-256 of all the files that are read for `sources`."""
    kinds = {source.file: source.kind for source in sources}
    return {file.name: file_sha256(file) for path, kind in kinds.items() for file in files_of(path, kind)}


def _complete(
    facts: SceneFacts, cube: ArraySource, bands: int
) -> tuple[SceneFacts, tuple[int, ...], list[str]]:
    """Take from the cube's files what the description leaves open; return it, bad bands, and notes."""
    found = read_facts(cube.file, cube.kind, cube.key)
    notes = list(found.notes)
    wavelengths, widths, bad = found.wavelengths_nm, found.fwhm_nm, found.bad_bands
    if facts.wavelengths_file is not None:
        wavelengths, widths, more, note = read_wavelengths(facts.wavelengths_file)
        notes.append(note)
        bad = more or bad
        if len(wavelengths) != bands:
            raise SceneError(
                f"{facts.wavelengths_file} gives {len(wavelengths)} wavelengths, but the cube in {cube.file} "
                f"has {bands} bands; give one a band."
            )
    completed = replace(
        facts,
        name=facts.name or found.product or cube.file.stem,
        sensor=facts.sensor or found.sensor,
        wavelengths_nm=facts.wavelengths_nm or wavelengths,
        fwhm_nm=facts.fwhm_nm or widths,
        no_data=_no_data(facts, found),
        georeference=_georeference(facts, found, cube.file, notes),
        acquired=facts.acquired or found.acquired,
        product=facts.product or found.product,
        masks=found.masks,
    )
    return completed, bad, [note for note in notes if note]


def _no_data(facts: SceneFacts, found: FileFacts) -> float | None:
    if facts.no_data is not None:
        return facts.no_data
    return math.nan if found.product and found.no_data is None else found.no_data


def _georeference(facts: SceneFacts, found: FileFacts, path: Path, notes: list[str]) -> dict[str, Any] | None:
    """Return the georeference of the file with the coordinate system that was given, if any."""
    if not facts.crs:
        return found.georeference
    if not is_crs(facts.crs):
        raise SceneError(f"'{facts.crs[:60]}' is no coordinate system; name one by its code, as EPSG:32616.")
    if found.georeference is None:
        raise SceneError(
            f"The cube in {path} has no geotransform, so a coordinate system alone cannot place it; leave "
            "out --crs (crs in a scene.toml), or write the georeference into the file."
        )
    if found.georeference["crs"] and found.georeference["crs"] != facts.crs:
        notes.append(f"The coordinate system is {facts.crs}, as given, and not the one in the file.")
    return {**found.georeference, "crs": facts.crs}
