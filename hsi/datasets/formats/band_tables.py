"""Wavelengths of bands from a file of their own: a list, a table, an ENVI header, a vector, another image."""

from __future__ import annotations

import itertools
import math
import re
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hsi.datasets.formats.envi import facts_of_fields
from hsi.datasets.formats.envi_header import Header, parse_header, read_header
from hsi.datasets.formats.facts import (
    centres_from_names,
    centres_from_vectors,
    to_nanometres,
    unit_in_nanometres,
)
from hsi.datasets.formats.readers import kind_of, list_arrays, read_array, read_facts
from hsi.datasets.formats.recognise import HEAD_BYTES, identify
from hsi.errors import FileFormatError, SceneNotFoundError
from hsi.io.size_limits import check_length
from hsi.io.text import decode_text

_MOST_BYTES = 1 << 20  # of a table
_VECTORS = ("mat5", "mat73", "hdf5", "netcdf3", "npy", "npz")
_MOST_VALUES = 100_000  # of a vector
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?|nan|na|-", re.IGNORECASE)
_UNIT = re.compile(
    r"(?<![A-Za-z])(nm|nanomet(?:er|re)s?|[uµμ]m|micromet(?:er|re)s?|microns?)(?![A-Za-z])", re.I
)
_OTHER_QUANTITY = re.compile(r"([gmt]hz|cm\^?-1|1/cm|\bev\b)")
_WIDTH = re.compile(r"fwhm|band ?width|\bwidth\b|full width", re.IGNORECASE)
_NO_CENTRE = re.compile(r"fwhm|width|error|sigma|\bstd|\bmin|\bmax|\bstart|\bend\b|lower|upper|shift", re.I)
_GOOD = re.compile(r"\bbbl\b|good|\buse|valid|keep", re.IGNORECASE)
_BAD = re.compile(r"\bbad|noisy|remove|exclude", re.IGNORECASE)
_YES = {"1", "true", "yes", "y", "good", "ok", "x", "use", "keep"}
_NO = {"0", "false", "no", "n", "bad", "", "-", "noisy"}


class BandTable(NamedTuple):
    """Centres and widths in nm (() if none), bad bands counted from 0, and a note on where they are from."""

    wavelengths_nm: tuple[float, ...]
    fwhm_nm: tuple[float, ...]
    bad_bands: tuple[int, ...]
    note: str


def read_wavelengths(path: Path) -> BandTable:
    """Read the wavelengths of the bands of a cube.

    Parameters
    ----------
    path
        A text file with one number a line or with columns: found by name (wavelength, center, nm, fwhm, bbl,
        good, ...), else a band number, the centre and the width. Tabs, commas, semicolons (also with decimal
        commas) or blanks separate; lines with ``#`` or ``;`` are comments. Or an ENVI header, a .mat, .npy,
        .npz or HDF5 file with a vector, or an image that has wavelengths. Where no unit is given, see
        `to_nanometres`.

    Raises
    ------
    SceneNotFoundError, FileFormatError
        When there is no such file, or it holds no wavelengths that can be told.
    """
    try:
        # Reading a pipe or a device might never end.
        if not (stat.S_ISREG(path.stat().st_mode) or path.is_dir()):
            raise FileFormatError(f"{path} is a device or a pipe; name a file with wavelengths.")
        with path.open("rb") as file:
            head = file.read(HEAD_BYTES)
    except FileNotFoundError:
        raise SceneNotFoundError(f"There is no file {path}; check the path.") from None
    except (OSError, ValueError) as error:
        cause = getattr(error, "strerror", None) or error
        raise FileFormatError(f"{path} cannot be read ({cause}); name a file with wavelengths.") from None
    if identify(head) == "envi":
        found = _from_header(path, read_header(path))
    elif b"\0" in head and not head.startswith((b"\xff\xfe", b"\xfe\xff")):
        found = _read_arrays(path)
    else:
        check_length(path, _MOST_BYTES)
        found = _read_text(path)
    if found is None or not found.wavelengths_nm:
        raise FileFormatError(
            f"{path} holds no wavelengths that can be told; give one number a line, in nm or um, or a CSV "
            "file with a column 'wavelength_nm'."
        )
    missing = {number for number, centre in enumerate(found.wavelengths_nm) if centre <= 0}
    return found._replace(bad_bands=tuple(sorted({*found.bad_bands, *missing})))


def _from_header(path: Path, header: Header) -> BandTable | None:
    listed = header.numbers("wavelength", []) or header.words("wavelength") or header.words("band names")
    facts = facts_of_fields(header, len(listed))
    if not facts.wavelengths_nm:
        return None
    notes = [_origin(path, facts.wavelengths_nm), *(note for note in facts.notes if "wavelength" in note)]
    return BandTable(facts.wavelengths_nm, facts.fwhm_nm, facts.bad_bands, " ".join(notes))


def _read_arrays(path: Path) -> BandTable | None:
    kind = kind_of(path)
    facts = read_facts(path, kind)
    if facts.wavelengths_nm:
        note = _origin(path, facts.wavelengths_nm)
        return BandTable(facts.wavelengths_nm, facts.fwhm_nm, facts.bad_bands, note)
    if kind not in _VECTORS:
        return None
    vectors: dict[str, NDArray[Any]] = {}
    for info in list_arrays(path, kind):
        size = math.prod(info.shape)
        if info.numeric and info.shape and size == max(info.shape) and 1 < size <= _MOST_VALUES:
            read = read_array(path, ndim=len(info.shape), key=info.name, kind=kind)
            vectors[info.name] = read.ravel().astype(np.float64)
    for size in sorted({len(values) for values in vectors.values()}, reverse=True):
        centres, note = centres_from_vectors(vectors, size)
        if centres:
            return BandTable(centres, (), (), f"{_origin(path, centres)} {note}")
    found = [to_nanometres(values.tolist(), "", check_unit=True) for values in vectors.values()]
    plausible = [(centres, note) for centres, note in found if centres]
    if len(plausible) != 1:
        return None
    centres, note = plausible[0]
    return BandTable(centres, (), (), f"{_origin(path, centres)} {note}")


def _origin(path: Path, centres: Sequence[float], column: str = "") -> str:
    known = [centre for centre in centres if centre > 0]
    return (
        f"The wavelengths are those of {path.name}{column and f', column {column[:60]!r}'}: {len(centres)} "
        f"band{'s' * (len(centres) != 1)}, {min(known):g} to {max(known):g} nm."
    )


class _Table(NamedTuple):
    """Rows of cells, the names of the columns ([] if none), and what the comments say."""

    names: list[str]
    rows: list[list[str]]
    comments: str


def _read_text(path: Path) -> BandTable | None:
    text = decode_text(path.read_bytes())
    if re.search(r"^[ \t]*wave[ _]?lengths?\b[^\n=]*=\s*[\[{(]", text, re.IGNORECASE | re.MULTILINE):
        return _from_header(path, parse_header(path, text))
    table = _split(text)
    if not table.rows:
        return None
    columns = [list(column) for column in zip(*table.rows, strict=True)]
    numbers = {at: values for at, column in enumerate(columns) if (values := _numbers(column)) is not None}
    units = _UNIT.findall(table.comments) or next(filter(None, map(_all_units, columns)), [])
    unit = units[0] if len({unit_in_nanometres(one) for one in units}) == 1 else ""
    centre = _centre_column(table.names, numbers)
    if centre is None:
        return _from_words(path, columns)
    name = table.names[centre] if table.names else ""
    in_name = _UNIT.search(_plain(name)) or _OTHER_QUANTITY.search(_plain(name))
    values = numbers[centre]
    centres, note = to_nanometres(values, in_name[1] if in_name else unit, check_unit=True)
    if not centres:
        raise FileFormatError(f"{path} holds no wavelengths that can be told: {_clause(note)}.")
    factor = next(nm / value for nm, value in zip(centres, values, strict=True) if nm)
    widths = _widths(table.names, numbers, centre, factor)
    return BandTable(
        centres,
        widths,
        _bad_bands(table.names, columns, centre),
        f"{_origin(path, centres, name)} {note}".strip(),
    )


def _clause(note: str) -> str:
    return note[:1].lower() + note[1:].split(";")[0].rstrip(".")


def _all_units(column: Sequence[str]) -> list[str]:
    """Return the cells of a column that names the unit in every row."""
    return list(column) if all(_UNIT.fullmatch(cell) for cell in column) else []


def _split(text: str) -> _Table:
    """Split a text into rows of equally many cells."""
    lines, comments = [], []
    for line in text.split("\n"):
        plain = line.strip(" \ufeff\f")
        if plain.strip().startswith(("#", ";", "%", "//")):
            comments.append(plain.strip().lstrip("#;%/ "))
        elif plain.strip():
            plain = re.split(r"\s#", plain)[0].strip(" ")
            lines.append(plain.strip(" []{}(),") if plain[0] in "[{(" or plain[-1] == "," else plain)
    if not lines:
        return _Table([], [], "")
    body = lines[1:] or lines
    decimal_commas = _has_decimal_commas(lines)
    marks = ("\t", ";") if decimal_commas else ("\t", ";", ",")
    mark = next((mark for mark in marks if all(mark in line for line in body)), None)
    cells = [_cells(line, mark) for line in lines]
    if decimal_commas or (mark in ("\t", ";") and not any("." in cell for row in cells for cell in row)):
        cells = [[re.sub(r"(?<=\d),(?=\d)", ".", cell) for cell in row] for row in cells]
    return _shape(cells, comments, mark)


def _cells(line: str, mark: str | None) -> list[str]:
    if mark is None:
        return line.split()
    cells = [cell.strip().strip("\"'").strip() for cell in line.split(mark)]
    while len(cells) > 1 and not cells[-1]:
        cells.pop()
    return cells


def _has_decimal_commas(lines: Sequence[str]) -> bool:
    """Whether one number a line has a decimal comma: "450,31" is no band 450 with 31."""
    body = lines if re.fullmatch(r"[\d,\s]+", lines[0]) else lines[1:]
    parts = [re.fullmatch(r"(\d+),(\d+)", line) for line in body]
    pairs = [(int(part[1]), int(part[2])) for part in parts if part is not None]
    if not pairs or len(pairs) < len(body) or _is_counter([first for first, _ in pairs]):
        return False
    if len(body) < len(lines) and "," in lines[0]:  # names of two columns
        return False
    after = [second for _, second in pairs]
    if max(pairs)[0] < 20:  # micrometres
        return min(after) < 200
    return max(after) > 3 * max(1, min(after))


def _shape(cells: list[list[str]], comments: list[str], mark: str | None) -> _Table:
    """Find the names of the columns; turn a table that lies on its side; join a list that was wrapped."""
    comment, in_comment = " ".join(comments), _cells(comments[-1], mark) if comments else []
    first = [bool(_NUMBER.fullmatch(cell)) for cell in cells[0]]
    if (
        len(cells[0]) > 2
        and not first[0]
        and all(first[1:])
        and {len(row) for row in cells} == {len(cells[0])}
    ):
        # "wavelength, 400, 500, 600"
        return _Table(
            [row[0] for row in cells],
            [list(row) for row in zip(*(row[1:] for row in cells), strict=True)],
            comment,
        )
    if all(first):
        widest = max(map(len, cells))
        if len(cells) == 1 or ((widest > 4 or len(cells[-1]) < widest) and _is_wrapped(cells)):
            return _Table([], [[cell] for row in cells for cell in row], comment)
        names, rows = in_comment, cells
    elif (
        len(cells) > 1
        and first == [bool(_NUMBER.fullmatch(cell)) for cell in cells[1]]
        and (any(first) or not _has_numbers(cells))
    ):
        names, rows = in_comment, cells
    else:
        names, rows = cells[0], cells[1:]
        if mark is None and rows and len(names) != len(rows[0]):  # blanks in names
            names = [" ".join(names)] if len(rows[0]) == 1 else []
    width = max((len(row) for row in rows), default=0)
    rows = [row + [""] * (width - len(row)) for row in rows]
    return _Table(names if len(names) == width and any(map(str.strip, names)) else [], rows, comment)


def _is_wrapped(rows: list[list[str]]) -> bool:
    """Whether rows are one list that rises from row to row, and no table."""
    cells = [cell for row in rows for cell in row]
    if not all(re.search(r"\d", cell) and _NUMBER.fullmatch(cell) for cell in cells):
        return False
    return all(float(one) <= float(other) for one, other in itertools.pairwise(cells))


def _has_numbers(rows: list[list[str]]) -> bool:
    return any(_NUMBER.fullmatch(cell) for row in rows for cell in row)


def _numbers(column: Sequence[str]) -> list[float] | None:
    """Return the numbers of a column, NaN where a cell is empty; None if it is not one of numbers."""
    if not any(column) or not all(_NUMBER.fullmatch(cell) or not cell for cell in column):
        return None
    return [float(cell) if re.search(r"\d", cell) else math.nan for cell in column]


def _centre_column(names: Sequence[str], numbers: Mapping[int, Sequence[float]]) -> int | None:
    """Return the column of the wavelengths: by its name, else the first one that does not count the bands."""
    others = [at for at, values in numbers.items() if len(values) < 2 or not _is_counter(values)]
    if not names:
        return others[0] if others else None
    ranks = {at: _rank(names[at], numbers[at]) for at in numbers}
    named = [at for at in sorted(ranks, key=lambda at: ranks[at]) if ranks[at] < _UNNAMED]
    if named:
        return named[0]
    return others[0] if len(others) == 1 and not _NO_CENTRE.search(names[others[0]]) else None


_UNNAMED = 4


def _rank(name: str, values: Sequence[float]) -> int:
    """Return how well a name fits a column of centres, 0 for the best, `_UNNAMED` if not at all."""
    plain = _plain(name)
    if _NO_CENTRE.search(plain):
        return _UNNAMED
    if re.search(r"cent(er|re|ral)|\bcwl?\b", plain):
        return 0
    if re.search(r"wave *len|wellenl|onde?\b|lambda|λ", plain):
        return 1
    if centres_from_vectors({name: values}, len(values))[0]:
        return 2
    return 3 if _UNIT.search(plain) else _UNNAMED


def _plain(name: str) -> str:
    return re.sub(r"[_\s]+", " ", name).casefold()


def _is_counter(values: Sequence[float]) -> bool:
    return values[0] in (0, 1) and all(value == values[0] + at for at, value in enumerate(values))


def _widths(
    names: Sequence[str], numbers: Mapping[int, Sequence[float]], centre: int, factor: float
) -> tuple[float, ...]:
    """Return the widths in nm of the column that its name, or its values after the centres, show."""
    if names:
        at = next((at for at in numbers if _WIDTH.search(_plain(names[at]))), None)
        unit = None if at is None else _UNIT.search(_plain(names[at]))
        factor = (unit_in_nanometres(unit[1]) or factor) if unit else factor
    else:
        at = next((at for at in numbers if at > centre), None)
    if at is None:
        return ()
    widths = numbers[at]
    fine = all(
        0 < width < 0.2 * value for width, value in zip(widths, numbers[centre], strict=True) if value > 0
    )
    flags = all(width in (0, 1) for width in widths)
    if (not fine or flags) and not names:
        return ()
    return tuple(width * factor for width in widths) if all(width > 0 for width in widths) else ()


def _bad_bands(names: Sequence[str], columns: Sequence[Sequence[str]], centre: int) -> tuple[int, ...]:
    """Return the bands that a column of flags marks as bad."""
    for at, column in enumerate(columns):
        words = [cell.casefold().removesuffix(".0") for cell in column]
        if at == centre or not all(word in _YES | _NO for word in words):
            continue
        name = _plain(names[at]) if names else ""
        if _BAD.search(name) and not re.search("multiplier", name, re.IGNORECASE):
            return tuple(
                number
                for number, word in enumerate(words)
                if (word in _YES and word != "good") or word == "bad"
            )
        if _GOOD.search(name) or (not names and at > centre and set(words) == {"0", "1"}):
            return tuple(number for number, word in enumerate(words) if word in _NO)
    return ()


def _from_words(path: Path, columns: Sequence[Sequence[str]]) -> BandTable | None:
    """Return the wavelengths that stand in words, as in "Band 1: 450 nm"."""
    lines = [" ".join(row) for row in zip(*columns, strict=True)]
    for texts in (*columns, lines):
        centres, note = centres_from_names(texts)
        if centres:
            return BandTable(centres, (), (), f"{_origin(path, centres)} {note}")
    return None
