"""From arrays to a checked scene: everything that is mended or looks odd becomes a note of the scene."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hsi.datasets.bands import parse_bands
from hsi.datasets.cube_checks import bands_left, check_cube, check_values, take_bands, unwrap_negatives
from hsi.datasets.label_checks import check_labels
from hsi.datasets.no_data import fill_no_data
from hsi.datasets.palette import default_palette
from hsi.datasets.scene import Scene
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
