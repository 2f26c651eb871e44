"""A scene from files of one's own: what the description leaves open is taken from what the files say."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hsi.datasets.assemble import SceneFacts, assemble_scene, wanted_bands, widths_of
from hsi.datasets.bands import name_bands
from hsi.datasets.cube import Cube
from hsi.datasets.cube_view import CubeView
from hsi.datasets.download import file_sha256
from hsi.datasets.file_facts import FileFacts
from hsi.datasets.label_checks import clear_no_data
from hsi.datasets.readers import files_of, read_array, read_facts
from hsi.datasets.recognise import SHAPES, recognise
from hsi.datasets.scene import Scene
from hsi.datasets.vector_labels import draw_labels
from hsi.errors import SceneError

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
