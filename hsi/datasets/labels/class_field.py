"""The attribute of drawn shapes that holds the class, and the code and name that each shape gets from it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hsi.errors import FileFormatError, near_miss

_USUAL = (
    "class", "class_id", "classid", "class_name", "classname", "class_code", "classcode", "classvalue",
    "label", "label_id", "code", "landcover", "land_cover", "lulc", "crop", "category", "species", "type",
    "roi name", "klasse", "classe", "clase",
)  # fmt: skip
_NUMBERING = {"id", "fid", "ogc_fid", "objectid", "oid", "gid", "uid", "uuid", "index", "gml_id"}
_NAMES = re.compile(r"name|label|class|crop|species|type|desc|cover|categ|title|klasse|text", re.IGNORECASE)
_MAX_CODE_DIGITS = 9

Columns = Mapping[str, Sequence[Any]]


@dataclass(frozen=True)
class ShapeClasses:
    """The code of each shape (None: it has no class), the names of codes where there are any, and notes."""

    codes: list[int | None]
    names: dict[int, str]
    notes: list[str]


def read_classes(path: Path, columns: Columns, class_field: str | None) -> ShapeClasses:
    """Return the classes of shapes from their attributes.

    Whole numbers are the codes of the classes. Their names are taken from another attribute where that has
    one text for each code and the other way round. Texts, without the spaces around them, are numbered from 1
    in alphabetical order and become the names.

    Parameters
    ----------
    path
        The file, for messages.
    columns
        Attribute -> its value for each shape, None where it has none.
    class_field
        The attribute, in any letter case. Default: the only one that fits, usual names such as ``class``
        first.

    Raises
    ------
    FileFormatError
        When the attribute is missing, not clear, or holds neither texts nor whole numbers.
    """
    field = choose_field(path, columns, class_field)
    values = [_present(value) for value in columns[field]]
    notes = [f"The classes are those of the attribute '{field}' in {path.name}."]
    without = sum(value is None for value in values)
    if without:
        notes.append(f"{without} features have no '{field}'; they give no label.")
    codes = _whole_numbers(values)
    if codes is not None:
        names, note = _names_beside(columns, field, codes)
        return ShapeClasses(codes, names, [*notes, *note])
    texts = sorted({value for value in values if value is not None}, key=lambda text: (text.casefold(), text))
    code_of = {text: code for code, text in enumerate(texts, start=1)}
    names = {code: text for text, code in code_of.items()}
    return ShapeClasses([code_of.get(value) for value in values], names, [*notes, *_spelt_twice(texts)])


def choose_field(path: Path, columns: Columns, given: str | None) -> str:
    """Return the attribute that holds the class; see `read_classes`."""
    inside = ", ".join(columns) or "none"
    advice = "name the right one with --class-field (class_field in a scene.toml)"
    if given is not None:
        for name in columns:
            if name.casefold() == given.casefold():
                if not _fits(columns[name]):
                    raise FileFormatError(
                        f"The attribute '{name}' in {path} holds neither texts nor whole numbers; {advice}."
                    )
                return name
        raise FileFormatError(
            f"{path} has no attribute '{given}'.{near_miss(given, columns)} It has: {inside}; {advice}."
        )
    possible = [name for name, values in columns.items() if _fits(values)]
    fitting = [name for name in possible if len(_distinct(columns[name])) > 1]
    usual = [name for name in fitting or possible if name.casefold() in _USUAL]
    others = [name for name in fitting if name.casefold() not in _NUMBERING]
    repeated = [name for name in others if len(_distinct(columns[name])) < len(columns[name])]
    for some in (usual, others, repeated):
        if len(some) == 1:
            return some[0]
        # A code and its name say the same; the code is the better one, as the name is found by it.
        paired = all(_pairs(columns[some[0]], columns[name]) is not None for name in some[1:])
        if some and paired and some is not others:
            return next((name for name in some if _numbers_in(columns[name])), some[0])
    raise FileFormatError(
        f"{path} has {'several attributes' if fitting else 'no attribute'} that could hold the class. "
        f"It has: {inside}; {advice}."
    )


def _present(value: Any) -> Any:
    """Return a value, a text without the spaces around it, or None for an empty one."""
    return (value.strip() or None) if isinstance(value, str) else value


def _distinct(values: Iterable[Any]) -> set[str]:
    return {str(value) for value in map(_present, values) if value is not None}


def _fits(values: Iterable[Any]) -> bool:
    """Whether values could be classes: texts, or whole numbers."""
    present = [value for value in map(_present, values) if value is not None]
    return bool(present) and (
        _whole_numbers(present) is not None or all(isinstance(value, str) for value in present)
    )


def _numbers_in(values: Iterable[Any]) -> bool:
    return _whole_numbers([_present(value) for value in values]) is not None


def _whole_numbers(values: Iterable[Any]) -> list[int | None] | None:
    """Return whole numbers (3, 3.0, "3") as codes, None for a missing one; None if one is no such number."""
    codes: list[int | None] = []
    for value in values:
        text = isinstance(value, str) and re.fullmatch(rf"[+-]?[0-9]{{1,{_MAX_CODE_DIGITS}}}", value)
        number = isinstance(value, int | float) and not isinstance(value, bool)
        whole = number and abs(value) < 10**_MAX_CODE_DIGITS and value % 1 == 0
        if value is not None and not text and not whole:
            return None
        codes.append(None if value is None else int(value))
    return codes


def _pairs(first: Sequence[Any], second: Sequence[Any]) -> dict[str, str] | None:
    """Return first -> second where each value of one goes with a single value of the other; None if not."""
    there = {
        (str(one), str(other))
        for one, other in zip(map(_present, first), map(_present, second), strict=True)
        if one is not None and other is not None
    }
    pairs = dict(there)
    unique = len(pairs) == len(there) == len(set(pairs.values()))
    return pairs if unique and set(pairs) == _distinct(first) else None


def _names_beside(
    columns: Columns, field: str, codes: Sequence[int | None]
) -> tuple[dict[int, str], list[str]]:
    """Return the names of codes from the only other attribute that goes with them one to one, and a note."""
    present = [code for code in codes if code is not None]
    repeated = len(set(present)) < len(present)
    found = {}
    for name, values in columns.items():
        texts = all(value is None or isinstance(value, str) for value in values)
        if name == field or not texts or _numbers_in(values) or not (repeated or _NAMES.search(name)):
            continue
        pairs = _pairs(codes, values)
        if pairs is not None:
            found[name] = {int(code): text for code, text in pairs.items()}
    named = [name for name in found if _NAMES.search(name)]
    chosen = named if len(named) == 1 else list(found)
    if len(chosen) != 1:
        return {}, []
    return found[chosen[0]], [f"The names of the classes are those of the attribute '{chosen[0]}'."]


def _spelt_twice(texts: Iterable[str]) -> list[str]:
    """Return a note for each group of names that differ only in case and in spaces."""
    alike: dict[str, list[str]] = {}
    for text in texts:
        alike.setdefault("".join(text.split()).casefold(), []).append(text)
    return [
        f"The classes {' and '.join(f'{chr(39)}{text}{chr(39)}' for text in group)} differ only in case and "
        "spaces; they are kept apart."
        for group in alike.values()
        if len(group) > 1
    ]
