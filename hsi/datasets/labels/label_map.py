"""Checks of a label map: it fits the cube, holds whole numbers, and becomes classes 1..C without gaps.

Maps mark pixels without a label by 0, but also by NaN, -1, 255, 65535 or -9999. Such a code is recognised by
the gap that sets it apart from the others, unless the caller names the codes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hsi.errors import SceneError

MOST_CLASSES = 1000  # an image mistaken for a label map has far more
_LARGEST_CODE = 2**31 - 1
_NO_LABEL = {-1, -9, -99, -128, -999, -9999, -32767, -32768, -99999, -(2**31)}
_NO_LABEL_ABOVE = {99, 127, 254, 255, 999, 9999, 32767, 65534, 65535, 2**31 - 1, 2**32 - 1}
_SMALLEST_ODD = 99  # smaller codes are classes, whatever the gap before them
_NO_CLASS = {
    "", "0", "nan", "none", "null", "n/a", "na", "unlabelled", "unlabeled", "unclassified", "background",
    "no label", "no data", "nodata",
}  # fmt: skip


@dataclass(frozen=True)
class CheckedLabels:
    """A label map (rows, cols) int64 with classes 1..C, and the C integers they have in the file.

    `notes` says what was assumed; `names` is code -> name for a map of texts.
    """

    labels: NDArray[np.int64]
    codes: tuple[int, ...]
    notes: tuple[str, ...] = ()
    names: Mapping[int, str] = field(default_factory=dict)


def check_labels(
    labels: NDArray[Any],
    size: tuple[int, int],
    where: str,
    *,
    unlabelled: Sequence[int] = (),
    class_zero: bool = False,
    no_data: float | None = None,
    fewest: int = 2,
) -> CheckedLabels:
    """Return a label map with classes 1..C without gaps.

    Pixels with 0, NaN, `no_data` or one of `unlabelled` have no label. Without `unlabelled`, so has a single
    code that stands apart: the only negative one, or the largest from 99 on, where the others run without a
    gap from 0 or 1.

    Parameters
    ----------
    labels
        (rows, cols) as read: whole numbers of any type, or texts, which are numbered in alphabetical order.
    size
        (rows, cols) that it must have.
    where
        What messages call the map.
    unlabelled
        Integers that mean "no label" beside 0, such as -1 or 255.
    class_zero
        Whether 0 is a class like others.
    no_data
        Value that means "no label" by the file's own metadata, or None.
    fewest
        Classes that there must be.

    Raises
    ------
    SceneError
        When the map does not fit, holds anything but whole numbers >= 0, is all zero, or has too few classes.
    """
    check_size(labels.shape, size, where)
    if class_zero and 0 in unlabelled:
        raise SceneError("Code 0 is to be a class and to be unlabelled; leave out one of the two options.")
    texts: tuple[str, ...] = ()
    if labels.dtype.kind in "USO":
        labels, texts = _number_texts(labels, where)
    if labels.dtype.kind not in "iufb":
        raise SceneError(f"{where} holds {labels.dtype} values; labels are whole numbers.")
    values, inverse, counts = _distinct(labels)
    codes = _as_codes(values, labels, where)
    pixels = {code: int(count) for code, count in zip(codes, counts, strict=True)}
    notes = []
    nothing: set[int | None] = {*unlabelled}
    if None in pixels:
        nothing.add(None)
        if no_data is None or not np.isnan(no_data):
            notes.append(f"{where} holds NaN in {pixels[None]} pixels; they are unlabelled.")
    if no_data is not None and np.isfinite(no_data) and no_data == int(no_data):
        nothing.add(int(no_data))
    odd = None
    if not unlabelled and not texts:
        odd = _odd_code(sorted(code for code in codes if code is not None and code not in nothing))
        if odd is not None:
            nothing.add(odd)
            notes.append(
                f"{where} has code {odd} in {pixels[odd]} pixels, far from the other codes; it is taken as "
                "unlabelled (--unlabelled names such codes)."
            )
    zero = "" if texts else _zero_note(pixels, nothing, class_zero, where)
    notes += [zero] if zero else []
    nothing = nothing - {0} if class_zero else nothing | {0}
    classes = [code for code in codes if code is not None and code not in nothing]
    hint = "; if 0 is one, too, say so with --class-zero" * (0 in pixels and not class_zero and not texts)
    if odd is not None:
        hint = f", and code {odd} is taken as unlabelled (--unlabelled 0 keeps it){hint}"
    _check_codes(classes, pixels, where, fewest, hint, texts)
    number = np.zeros(len(codes), np.int64)
    number[[code in classes for code in codes]] = np.arange(1, len(classes) + 1)
    named = {code: texts[code - 1] for code in classes} if texts else {}
    return CheckedLabels(number[inverse], tuple(classes), tuple(notes), named)


def check_size(shape: tuple[int, ...], size: tuple[int, int], where: str) -> None:
    """Raise SceneError unless a map of this shape fits a cube of `size` (rows, cols)."""
    if shape != size:
        turned = "; it looks transposed" if len(shape) == 2 and shape[::-1] == size else ""
        raise SceneError(
            f"{where} has shape {' x '.join(map(str, shape))}, but the cube is {size[0]} x {size[1]} "
            f"pixels{turned}; give the label map that belongs to this cube."
        )


def _number_texts(labels: NDArray[Any], where: str) -> tuple[NDArray[Any], tuple[str, ...]]:
    """Return texts as numbers from 1 in alphabetical order, 0 for words such as "none", and the texts.

    Texts that are all whole numbers become those, and are no names.
    """
    if labels.dtype.kind == "O":
        number = (bool, int, float, np.number, np.bool_)
        flat = labels.ravel().tolist()
        if all(one is None or isinstance(one, number) for one in flat):
            return labels.astype(np.float64), ()
        if not all(one is None or one != one or isinstance(one, str) for one in flat):
            raise SceneError(f"{where} mixes texts with other values; give whole numbers or texts.")
        labels = np.array([one if isinstance(one, str) else "" for one in flat]).reshape(labels.shape)
    elif labels.dtype.kind == "S":
        labels = np.char.decode(labels, "utf-8", "replace")
    found, inverse = np.unique(labels, return_inverse=True)
    plain = [str(text).strip() for text in found]
    if all(text.removeprefix("-").isdecimal() and len(text) < 12 for text in plain):
        return np.array([int(text) for text in plain])[inverse.reshape(labels.shape)], ()
    names = tuple(sorted({text for text in plain if text.casefold() not in _NO_CLASS}))
    place = {name: number for number, name in enumerate(names, start=1)}
    numbers = np.array([place.get(text, 0) for text in plain])
    return numbers[inverse.reshape(labels.shape)], names


def _distinct(labels: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.int64], NDArray[np.int64]]:
    """Return the different values, where each element stands among them, and how often each occurs."""
    if labels.dtype.kind in "iu" and labels.dtype.itemsize <= 2 and labels.size:  # no need to sort
        lowest = int(labels.min())
        offsets = labels.astype(np.int64) - lowest
        counts = np.bincount(offsets.ravel())
        found = np.flatnonzero(counts)
        place = np.zeros(len(counts), np.int64)
        place[found] = np.arange(len(found))
        return found + lowest, place[offsets], counts[found]
    values, inverse, counts = np.unique(labels, return_inverse=True, return_counts=True)
    return values, inverse.reshape(labels.shape), counts


def _as_codes(values: NDArray[Any], labels: NDArray[Any], where: str) -> list[int | None]:
    """Return the different values as integers of any size, None for NaN."""
    if values.dtype.kind == "f":
        wrong = np.isinf(values) | (~np.isnan(values) & (values != np.round(values)))
        if wrong.any():
            row, col = np.argwhere(np.isin(labels, values[wrong]))[0]
            raise SceneError(
                f"{where} holds {labels[row, col]:g} at row {row}, column {col}; labels are whole numbers "
                "(is this a score map or an image?)."
            )
    return [None if value != value else int(value) for value in values.tolist()]


def _odd_code(codes: Sequence[int]) -> int | None:
    """Return the code (of ascending ones) that stands so far apart that it means "no label", or None."""
    negative = [code for code in codes if code < 0]
    if len(negative) > 1 or len(codes) < 3:
        return None
    odd = negative[0] if negative else codes[-1]
    classes = [code for code in codes if code not in (0, odd)]
    without_gap = classes == list(range(1, len(classes) + 1))
    if negative:
        return odd if without_gap or odd in _NO_LABEL or odd < -_LARGEST_CODE else None
    gap = odd - (classes[-1] if classes else 0)
    apart = gap > len(classes) or (odd in _NO_LABEL_ABOVE and gap > 1)
    return odd if without_gap and classes and odd >= _SMALLEST_ODD and apart else None


def _zero_note(pixels: Mapping[int | None, int], nothing: set[Any], class_zero: bool, where: str) -> str:
    """Say what becomes of code 0 where it may well be a class: where another code means "no label"."""
    if class_zero:
        return "" if 0 in pixels else f"{where} has no pixel with code 0, which was to be a class."
    if 0 not in pixels or 0 in nothing or not nothing & set(pixels):
        return ""
    return (
        f"{where} has another value for pixels without a label, but code 0 covers {pixels[0]} pixels and is "
        "taken as unlabelled, too; --class-zero makes it a class."
    )


def _check_codes(
    numbers: Sequence[int],
    pixels: Mapping[int | None, int],
    where: str,
    fewest: int,
    hint: str,
    texts: tuple[str, ...],
) -> None:
    """Raise SceneError unless the codes of the classes, ascending, can be such."""
    if numbers and numbers[0] < 0:
        raise SceneError(
            f"{where} holds negative values ({numbers[0]} is the smallest); name those that mean no label "
            "with --unlabelled ('unlabelled' in a scene.toml)."
        )
    if not numbers:
        what = "all are 0" if set(pixels) <= {0} else "none has a code of a class"
        raise SceneError(f"{where} has no labelled pixel ({what}); give a map with at least two classes.")
    if len(numbers) < fewest:
        one = f"'{texts[numbers[0] - 1]}'" if texts else numbers[0]
        raise SceneError(f"{where} has a single class ({one}); a classification needs at least two{hint}.")
    if len(numbers) > MOST_CLASSES:
        raise SceneError(
            f"{where} has {len(numbers)} different values; this looks like an image, not like labels."
        )
    if numbers[-1] > _LARGEST_CODE:
        raise SceneError(
            f"{where} holds {numbers[-1]:.6g}, too large for a code of a class; if it means no label, name "
            "it with --unlabelled."
        )


def drop_absent(checked: CheckedLabels, labels: NDArray[Any], where: str, fewest: int = 2) -> CheckedLabels:
    """Return `checked` with a map of its classes on another grid, without those that are not on it.

    Parameters
    ----------
    labels
        (rows, cols) with classes 1..C of `checked`, 0 = unlabelled, some of which may be absent.
    fewest
        Classes that must be left.

    Raises
    ------
    SceneError
        When fewer are left.
    """
    left = np.flatnonzero(np.bincount(labels.ravel(), minlength=len(checked.codes) + 1)[1:])
    if len(left) < fewest:
        raise SceneError(
            f"{where} has {len(left)} of its {len(checked.codes)} classes on the cube; a classification "
            "needs at least two: give labels of this place."
        )
    number = np.zeros(len(checked.codes) + 1, np.int64)
    number[left + 1] = np.arange(1, len(left) + 1)
    codes = tuple(checked.codes[at] for at in left)
    notes = checked.notes
    gone = [checked.names.get(code, str(code)) for code in checked.codes if code not in codes]
    if gone:
        notes = (*notes, f"{where} has no pixel of {', '.join(gone)} on the cube.")
    return replace(checked, labels=number[labels], codes=codes, notes=notes)


def merge_maps(maps: Sequence[NDArray[Any]], where: str) -> NDArray[Any]:
    """Return the union of label maps of one scene, such as its training and its test pixels.

    Raises
    ------
    SceneError
        When the maps differ in size, or give a pixel two classes.
    """
    whole = maps[0].copy()
    for other in maps[1:]:
        if other.shape != whole.shape:
            raise SceneError(f"The label maps in {where} differ in size: {whole.shape} and {other.shape}.")
        clash = int(np.count_nonzero((whole != 0) & (other != 0) & (whole != other)))
        if clash:
            raise SceneError(
                f"The label maps in {where} give {clash} pixels two classes; they are not one scene's."
            )
        whole = np.where(whole == 0, other, whole)
    return whole
