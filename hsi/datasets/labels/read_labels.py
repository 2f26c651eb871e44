"""Labels from a file of any kind, on the grid of the cube; and several files that make a split."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hsi.datasets.formats.facts import FileFacts
from hsi.datasets.formats.readers import ArraySource, list_arrays, read_array, read_facts
from hsi.datasets.formats.recognise import SHAPES
from hsi.datasets.labels.grid_alignment import align_labels
from hsi.datasets.labels.label_images import as_label_map
from hsi.datasets.labels.label_map import check_labels, drop_absent
from hsi.datasets.labels.rasterize import draw_labels
from hsi.errors import SceneError

Georeference = Mapping[str, Any]


@dataclass(frozen=True)
class LabelOptions:
    """How label files are read.

    Attributes
    ----------
    labels_crs
        Coordinate system of points and polygons, as ``EPSG:n`` or WKT, instead of the one in the file.
    all_touched
        Whether polygons label every pixel that they touch, and not only those whose centre they contain.
    align
        Whether a label image on a grid shifted by a fraction of a pixel is resampled.
    class_zero
        Whether code 0 is a class like others.
    unlabelled
        Codes that mean "no label", beside 0.
    """

    labels_crs: str | None = None
    all_touched: bool = False
    align: bool = False
    class_zero: bool = False
    unlabelled: tuple[int, ...] = ()


@dataclass(frozen=True)
class LabelMap:
    """Classes 1..C of every pixel ``(rows, cols)``, 0 = unlabelled, and the C codes of the file.

    `names` and `colors` are by code.
    """

    labels: NDArray[np.int64]
    codes: tuple[int, ...]
    names: Mapping[int, str] = field(default_factory=dict)
    colors: Mapping[int, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def read_labels(
    source: ArraySource,
    size: tuple[int, int],
    georeference: Georeference | None,
    options: LabelOptions,
    *,
    option: str = "labels_key",
    fewest: int = 2,
) -> LabelMap:
    """Read the labels of a cube of `size` (rows, cols).

    Parameters
    ----------
    georeference
        That of the cube, see `hsi.datasets.formats.facts.FileFacts`; labels with one of their own are brought
        to its grid.
    option
        Option that messages recommend where a file holds several arrays that fit.
    fewest
        Classes that there must be.

    Raises
    ------
    SceneNotFoundError, FileFormatError, SceneError
        For a file that is missing, damaged, or gives no labels of this cube.
    """
    path, where = source.file, f"The label map in {source.file}"
    check = partial(
        check_labels,
        where=where,
        unlabelled=options.unlabelled,
        class_zero=options.class_zero,
        fewest=fewest,
    )
    if source.kind in SHAPES:
        drawn = draw_labels(
            path,
            size,
            georeference,
            source.key,
            layer=source.layer,
            labels_crs=options.labels_crs,
            all_touched=options.all_touched,
            class_zero=options.class_zero,
        )
        checked = check(drawn.labels, size, no_data=drawn.unlabelled)
        notes = (*drawn.notes, *checked.notes)
        return LabelMap(checked.labels, checked.codes, drawn.class_names, drawn.colors, notes)
    read = read_array(path, ndim=2, key=source.key, option=option, kind=source.kind, any_layout=True)
    # In a file of named arrays, metadata are the cube's.
    named = any(info.name for info in list_arrays(path, source.kind))
    facts = FileFacts() if named else read_facts(path, source.kind)
    image = as_label_map(read, size, where, facts.no_data)
    checked = check(image.labels, _size_of(image.labels), no_data=image.no_data)
    labels, aligned = align_labels(
        checked.labels, facts.georeference, size, georeference, align=options.align, where=where
    )
    if labels is not checked.labels:
        checked = drop_absent(checked, labels, where, fewest)
    return LabelMap(
        checked.labels,
        checked.codes,
        {**checked.names, **facts.class_names, **image.class_names},
        {**facts.colors, **image.colors},
        (*facts.notes, *image.notes, *checked.notes, *aligned),
    )


def _size_of(labels: NDArray[Any]) -> tuple[int, int]:
    rows, cols = labels.shape
    return rows, cols


def merge_label_maps(maps: Mapping[str, LabelMap]) -> tuple[LabelMap, dict[str, NDArray[np.bool_]]]:
    """Return the union of label maps by subset ("train", "test", ...), and the pixels of each subset.

    Classes are the same if their names are, whatever their codes; without names, if their codes are. A pixel
    in two of the maps is left out of all.

    Raises
    ------
    SceneError
        When only some of the maps name their classes, or no pixel is left of one.
    """
    named = [name for name, one in maps.items() if set(one.codes) <= set(one.names)]
    if 0 < len(named) < len(maps):
        other = next(name for name in maps if name not in named)
        raise SceneError(
            f"The {named[0]} labels name their classes and the {other} labels give codes, so they cannot be "
            "matched; give both in one form."
        )
    codes, names, colors = _united(list(maps.values()), bool(named))
    times = np.sum([one.labels > 0 for one in maps.values()], axis=0)
    labels = np.zeros(times.shape, np.int64)
    subsets: dict[str, NDArray[np.bool_]] = {}
    for name, one in maps.items():
        keys = [_key(one.names[code]) if named else code for code in one.codes]
        number = np.array([0, *(codes[key] for key in keys)])
        subsets[name] = (one.labels > 0) & (times == 1)
        labels[subsets[name]] = number[one.labels[subsets[name]]]
        if not subsets[name].any():
            raise SceneError(
                f"Every pixel of the {name} labels has a label in another of the label files, too, and is "
                "left out of both; give files that do not overlap."
            )
    notes = [note for one in maps.values() for note in one.notes]
    shared = int((times > 1).sum())
    if shared:
        notes.append(f"{shared} pixels have a label in two of the label files; they are left out of both.")
    whole = LabelMap(labels, tuple(names), names if named else {}, colors, tuple(dict.fromkeys(notes)))
    return whole, subsets


def _key(name: str) -> str:
    return " ".join(name.split()).casefold()


def _united(maps: Sequence[LabelMap], named: bool) -> tuple[dict[Any, int], dict[int, str], dict[int, str]]:
    """Return name or code -> class 1..C, and the names and colours of the codes, in order of the classes."""
    if named:
        spelt = {
            _key(name): name
            for one in reversed(maps)
            for code, name in one.names.items()
            if code in one.codes
        }
        keys: list[Any] = sorted(spelt)
        first = maps[0]
        same = all(dict(one.names) == dict(first.names) for one in maps)
        if same:  # one numbering: the codes of the files are kept
            keys = [_key(first.names[code]) for code in sorted({code for one in maps for code in one.codes})]
            codes = [next(code for code, name in first.names.items() if _key(name) == key) for key in keys]
        else:
            codes = list(range(1, len(keys) + 1))
        names = {code: spelt[key] for code, key in zip(codes, keys, strict=True)}
        colors = {
            code: color
            for code, key in zip(codes, keys, strict=True)
            for one in reversed(maps)
            for old, color in one.colors.items()
            if _key(one.names.get(old, "")) == key
        }
    else:
        keys = codes = sorted({code for one in maps for code in one.codes})
        names = dict.fromkeys(codes, "")
        colors = {code: color for one in reversed(maps) for code, color in one.colors.items()}
    return {key: number for number, key in enumerate(keys, start=1)}, names, colors
