"""Several scenes as one, for one model: the images below each other, classes matched by their names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hsi.datasets.bands import Resample, band_tolerance, name_bands
from hsi.datasets.checks import take_bands
from hsi.datasets.load import load_scene
from hsi.datasets.parts import MOST_PARTS, ScenePart, part_windows, same_ground
from hsi.datasets.scene import BandChoice, Scene, default_palette
from hsi.errors import ConfigError, SceneError
from hsi.io.size_limits import whole_memory

_LISTED = 5  # names in a sentence
_OTHER_UNIT = 10.0  # ratio of the scenes' mean values from which on their units differ


def load_scenes(
    dataset: str | Path | Sequence[str | Path],
    *,
    test_scene: str | Path | None = None,
    data_root: str | Path | None = None,
    band_choice: BandChoice | None = None,
    **options: Any,
) -> Scene:
    """Load the scene of a training, or several as one, see `combine_scenes`.

    Parameters
    ----------
    dataset
        One scene, as `hsi.load_scene` takes it, or several.
    test_scene
        Another scene, whose labelled pixels are the test pixels.
    data_root, band_choice
        As for `hsi.load_scene`.
    **options
        The other options of `hsi.load_scene`, where `dataset` is one scene.

    Raises
    ------
    InputError
        As `hsi.load_scene` and `combine_scenes`; ConfigError for options that belong to one scene.
    """
    names = [dataset] if isinstance(dataset, str | Path) else list(dataset)
    given = [name for name, value in options.items() if value not in (None, False, (), [])]
    if len(names) > 1 and given:
        flags = ", ".join(f"--{name.replace('_', '-')}" for name in given)
        raise ConfigError(
            f"{flags} means one file, but {len(names)} scenes are given; describe each in a scene.toml "
            "(hsi scene new)."
        )
    load = partial(load_scene, data_root=data_root, band_choice=band_choice)
    scenes = [load(name, **options) for name in names]
    if test_scene is None and len(scenes) == 1:
        return scenes[0]
    tests = [] if test_scene is None else [load(test_scene)]
    return combine_scenes(scenes, test=tests)


def combine_scenes(scenes: Sequence[Scene], *, test: Sequence[Scene] = ()) -> Scene:
    """Return several scenes as one, to train a model on all of them.

    Their cubes lie below each other, in one type that holds the values of all; what is beside a narrower one
    has no data. A split of such a scene keeps the images apart: no patch sees two of them. Classes are those
    with one name, whatever their codes; letter case and space around a name do not count. Bands must be those
    of the first scene; a scene with other wavelengths is resampled to them, which is noted.

    Parameters
    ----------
    scenes
        One or more, with labels.
    test
        Scenes whose labelled pixels are the test pixels of every split, so that none of the others' are.
        Their pixels fit no scaling; classes that `scenes` lack are left out, which is noted.

    Raises
    ------
    SceneError
        For scenes whose bands do not fit, a test scene without a known class, and scenes that are too large
        together.

    Examples
    --------
    >>> scene = load_scene("demo")
    >>> combine_scenes([scene, scene]).parts[1].name
    'demo (2)'
    """
    images = [*scenes, *test]
    if not scenes or len(images) > MOST_PARTS:
        raise SceneError(f"Between 1 and {MOST_PARTS} scenes can be combined, not {len(images)}.")
    names, notes = _names(images), []
    for name, scene in zip(names, images, strict=True):
        notes += [f"{name}: {note}" for note in scene.notes]
    images = _common_bands(images, notes)
    first = images[0]
    parts = tuple(
        ScenePart(name, scene.rows, scene.cols, number >= len(scenes))
        for number, (name, scene) in enumerate(zip(names, images, strict=True))
    )
    classes = _match_classes(images, parts)
    windows = part_windows(parts)
    shape = (windows[-1][0].stop, max(scene.cols for scene in images))
    resamplers = [_fit_bands(first, scene, name, notes) for name, scene in zip(names, images, strict=True)]
    cube, missing, sizes = _stack(images, resamplers, windows, shape)
    notes += _unit_notes(names, sizes)
    labels = np.zeros(shape, np.int64)
    for window, numbers, scene in zip(windows, classes.numbers, images, strict=True):
        labels[window] = numbers[scene.labels]
    notes += classes.notes
    pairs = same_ground([scene.cube for scene in images], [scene.georeference for scene in images], parts)
    if pairs is not None:
        notes.append(_ground_note(pairs, windows, names, shape[1]))
    codes = {scene.label_codes for scene in images}
    return Scene(
        name=_joined(names, len(scenes)),
        cube=cube,
        labels=labels,
        class_names=classes.names,
        colors=classes.colors,
        title=_joined([scene.title or scene.name for scene in images], len(scenes)),
        label_codes=codes.pop() if len(codes) == 1 else tuple(range(1, len(classes.names) + 1)),
        wavelengths_nm=first.wavelengths_nm,
        sensor=first.sensor if all(scene.sensor == first.sensor for scene in images) else "",
        georeference=first.georeference if len(images) == 1 else None,
        synthetic=any(scene.synthetic for scene in images),
        sources=_sources(names, images),
        notes=tuple(notes) if len(images) > 1 else first.notes,
        missing=missing,
        fwhm_nm=first.fwhm_nm,
        band_choice=first.band_choice if all(s.band_choice == first.band_choice for s in images) else None,
        masks=_stack_masks([scene.masks for scene in images], windows, shape, every=False),
        subsets=_stack_masks([scene.subsets for scene in scenes], windows, shape, every=True),
        parts=parts,
        same_ground=pairs,
    )


def _names(scenes: Sequence[Scene]) -> list[str]:
    """Return a name for each scene, numbered where two have one name."""
    names = [scene.name for scene in scenes]
    return [
        name if names.count(name) == 1 else f"{name} ({names[: place + 1].count(name)})"
        for place, name in enumerate(names)
    ]


def _joined(names: Sequence[str], trained: int) -> str:
    """Return ``a + b``, with what is tested on behind a comma."""
    tested = names[trained:]
    return " + ".join(names[:trained]) + (f", tested on {' + '.join(tested)}" if tested else "")


@dataclass(frozen=True)
class _Classes:
    """The classes of all scenes; `numbers` has an array a scene, which turns its labels into them."""

    names: tuple[str, ...]
    colors: tuple[str, ...]
    numbers: list[NDArray[np.int64]]
    notes: list[str]


def _fold(name: str) -> str:
    return " ".join(name.split()).casefold()


def _match_classes(scenes: Sequence[Scene], parts: Sequence[ScenePart]) -> _Classes:
    places: dict[str, int] = {}
    names: list[str] = []
    colors: list[str | None] = []
    numbers, notes = [], []
    for scene, part in zip(scenes, parts, strict=True):
        table = np.zeros(scene.classes + 1, np.int64)
        known, unknown = set(places), []
        for label, (name, color) in enumerate(zip(scene.class_names, scene.colors, strict=True), start=1):
            key = _fold(name)
            if key not in places:
                if part.test:
                    unknown.append((name, scene.counts[label - 1]))
                    continue
                places[key] = len(names) + 1
                names.append(name)
                colors.append(None if color in colors else color)
            table[label] = places[key]
        numbers.append(table)
        if unknown:
            pixels = sum(count for _, count in unknown)
            notes.append(
                f"{part.name} has {pixels} pixels of classes that are not trained ({_list(unknown)}); they "
                "are left out of the test."
            )
        if known and not part.test and not known & {_fold(name) for name in scene.class_names}:
            notes.append(
                f"{part.name} shares no class name with the scenes before it, so its classes are new ones; "
                "name them alike in its scene.toml where they are the same."
            )
        if part.test and not table.any():
            raise SceneError(
                f"{part.name} has no class of the training scenes, which have {_list(names)}; classes are "
                "matched by name, so name its classes as theirs in its scene.toml."
            )
        found = set(table[1:].tolist())
        lacking = [(name,) for place, name in enumerate(names, start=1) if place not in found]
        if lacking and len(scenes) > 1:
            notes.append(f"{part.name} has no pixel of {_list(lacking)}.")
        twice = scene.classes - len(unknown) - len(found - {0})
        if twice:
            notes.append(f"{part.name} has {twice} names twice, but for case and space; they are one class.")
    if len(scenes) > 1 and all(_is_number(name) for scene in scenes for name in scene.class_names):
        notes.append("The scenes do not name their classes; classes of one code are taken as one.")
    palette = default_palette(2 * len(names))
    unused = (color for color in palette if color not in colors)
    return _Classes(tuple(names), tuple(color or next(unused) for color in colors), numbers, notes)


def _is_number(name: str) -> bool:
    return name.startswith("class ") and name[6:].isdecimal()


def _list(entries: Sequence[Any]) -> str:
    """Return names, with what else the tuples hold, as short text."""
    words = [
        entry if isinstance(entry, str) else entry[0] if len(entry) == 1 else f"{entry[0]}: {entry[1]}"
        for entry in entries
    ]
    more = len(words) - _LISTED
    return ", ".join(words[:_LISTED]) + (f" and {more} more" if more > 0 else "")


def _common_bands(scenes: list[Scene], notes: list[str]) -> list[Scene]:
    """Take of all scenes the bands that all have, where their files have the same ones but not all are used.

    That is so with products of one sensor, each of which marks other bands as bad.
    """
    choices = [scene.band_choice for scene in scenes]
    counts = {None if choice is None else choice.count for choice in choices}
    numbers = [np.array(choice.numbers) for choice in choices if choice is not None]
    if len(counts) > 1 or None in counts or all(np.array_equal(one, numbers[0]) for one in numbers):
        return scenes
    common = numbers[0]
    for one in numbers[1:]:
        common = np.intersect1d(common, one)
    if not len(common):
        return scenes
    taken = []
    for scene, own in zip(scenes, numbers, strict=True):
        places = np.flatnonzero(np.isin(own, common))
        taken.append(
            replace(
                scene,
                cube=take_bands(np.asarray(scene.cube), places),
                wavelengths_nm=None if scene.wavelengths_nm is None else scene.wavelengths_nm[places],
                fwhm_nm=None if scene.fwhm_nm is None else scene.fwhm_nm[places],
                band_choice=BandChoice(choices[0].count, tuple(common.tolist())) if choices[0] else None,
            )
        )
    left_out = np.setdiff1d(np.concatenate(numbers), common)
    notes.append(f"Bands {name_bands(left_out)} of the files are not used in every scene; they are left out.")
    return taken


def _fit_bands(first: Scene, scene: Scene, name: str, notes: list[str]) -> Resample | None:
    """Return what resamples a scene to the bands of the first, or None where it has them."""
    target, source = first.wavelengths_nm, scene.wavelengths_nm
    if scene.bands == first.bands and (
        target is None or source is None or (np.abs(source - target) <= band_tolerance(target)).all()
    ):
        return None
    if target is None or source is None:
        lacks = first.name if target is None else name
        raise SceneError(
            f"{name} has {scene.bands} bands, {first.name} {first.bands}, and {lacks} has no wavelengths to "
            "resample by; give wavelengths_nm in its scene.toml, or the same bands."
        )
    fwhm: dict[str, NDArray[np.float64]] = {}
    if first.fwhm_nm is not None and scene.fwhm_nm is not None:
        fwhm = {"source_fwhm_nm": scene.fwhm_nm, "target_fwhm_nm": first.fwhm_nm}
    try:
        resampler = Resample(source, target, **fwhm)
    except SceneError as error:
        raise SceneError(
            f"{name} cannot be resampled to the bands of {first.name}: {error} Choose bands that both have, "
            "with bands in a scene.toml, or name the scene with the narrower range first."
        ) from None
    notes.append(
        f"{name} has other bands than {first.name} ({scene.bands} from {source.min():g} to {source.max():g} "
        f"nm); it is resampled to the {first.bands} of {first.name}, and its values must have the same unit."
    )
    return resampler


def _stack(
    scenes: Sequence[Scene],
    resamplers: Sequence[Resample | None],
    windows: Sequence[tuple[slice, slice]],
    shape: tuple[int, int],
) -> tuple[NDArray[Any], NDArray[np.bool_] | None, list[float]]:
    """Return the cube of all scenes, which of its pixels have no data, and the size of each scene's mean."""
    bands = scenes[0].bands
    types = [
        np.dtype(np.float32) if resampler else scene.cube.dtype
        for scene, resampler in zip(scenes, resamplers, strict=True)
    ]
    dtype = np.result_type(*types)
    size, memory = shape[0] * shape[1] * bands * dtype.itemsize, whole_memory()
    if memory is not None and size > memory:
        raise SceneError(
            f"The scenes take {size / 2**30:,.1f} GiB together, but this machine has "
            f"{memory / 2**30:.1f} GiB of memory; use fewer or smaller ones."
        )
    cube = np.empty((*shape, bands), dtype)
    missing, sizes = np.ones(shape, bool), []
    for scene, resampler, (rows, cols) in zip(scenes, resamplers, windows, strict=True):
        total = np.zeros(bands)
        for row in range(scene.rows):  # no second copy of the scene
            values = np.asarray(scene.cube[row])
            values = values if resampler is None else resampler.transform(values)
            cube[rows.start + row, cols] = values
            total += values.sum(axis=0, dtype=np.float64)
        sizes.append(float(np.abs(total).mean() / (scene.rows * scene.cols)))
        mean = (total / (scene.rows * scene.cols)).astype(dtype)
        cube[rows, cols.stop :] = mean
        cube[rows.stop : rows.stop + 1] = mean  # the blank row below, if there is one
        missing[rows, cols] = False if scene.missing is None else scene.missing
    return cube, missing if missing.any() else None, sizes


def _unit_notes(names: Sequence[str], sizes: Sequence[float]) -> list[str]:
    """Return a note on each scene whose values are so much larger or smaller that their unit is another."""
    notes = []
    for name, size in zip(names[1:], sizes[1:], strict=True):
        ratio = size / sizes[0] if size and sizes[0] else 1.0
        if max(ratio, 1 / ratio) > _OTHER_UNIT:
            times = f"{ratio:,.0f} times" if ratio > 1 else f"1/{1 / ratio:,.0f} of"
            notes.append(
                f"The values of {name} are on average {times} those of {names[0]}; they look like another "
                "unit (radiance, reflectance as a fraction or times 10,000), and one model needs one unit."
            )
    return notes


def _stack_masks(
    masks: Sequence[Any], windows: Sequence[tuple[slice, slice]], shape: tuple[int, int], *, every: bool
) -> dict[str, NDArray[np.bool_]]:
    """Return masks of the first scenes, or of all, by name; with `every`, only those that each has."""
    names = list(dict.fromkeys(name for mask in masks for name in mask))
    stacked = {}
    for name in names:
        if every and any(name not in mask for mask in masks):
            continue
        whole = np.zeros(shape, bool)
        for mask, window in zip(masks, windows, strict=False):
            whole[window] = mask.get(name, False)
        stacked[name] = whole
    return stacked


def _sources(names: Sequence[str], scenes: Sequence[Scene]) -> dict[str, str]:
    """Return the hashes of all files; names that mean two files have their scene's before them."""
    found: dict[str, str] = {}
    for name, scene in zip(names, scenes, strict=True):
        for file, sha256 in scene.sources.items():
            found[file if found.get(file, sha256) == sha256 else f"{name}/{file}"] = sha256
    return found


def _ground_note(
    pairs: NDArray[np.int64], windows: Sequence[tuple[slice, slice]], names: Sequence[str], cols: int
) -> str:
    """Say which scenes show the same ground."""
    tops = [rows.start for rows, _ in windows]
    of = np.searchsorted(tops, pairs // cols, side="right") - 1
    listed = [
        f"{names[one]} and {names[other]} in {int(((of == (one, other)).all(axis=1)).sum())} pixels"
        for one, other in np.unique(of, axis=0).tolist()
    ]
    return f"Scenes show the same ground: {', '.join(listed)}; the leakage counts it."
