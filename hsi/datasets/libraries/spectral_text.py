"""Spectra as text: ECOSTRESS, ASTER and JHU; USGS splib; tables with a spectrum a column, or a row."""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hsi.datasets.formats.facts import to_nanometres, unit_in_nanometres
from hsi.datasets.libraries.spectrum import Spectrum
from hsi.errors import FileFormatError
from hsi.io.size_limits import check_length
from hsi.io.text import decode_text

Floats = NDArray[np.float64]

MOST_TEXT_BYTES = 32 << 20  # of one text; a spectrum has some ten thousand
_MOST_HEADER = 200  # lines
_LEAST = -900.0  # deleted points are -1.23e34 in USGS splib, -9999 or -999 elsewhere


def read_text_spectra(path: Path, notes: list[str]) -> tuple[list[Spectrum], list[Path]]:
    """Return the spectra of a text, and the files that they were read from; add to `notes` what was assumed.

    Raises
    ------
    FileFormatError
        When no spectrum can be read from it.
    """
    lines = _lines(path)
    if any(line.startswith("/***") for line in lines[:3]):
        raise FileFormatError(f"{path} is a file of an SVC spectrometer; export it as two columns of text.")
    if any(re.match(r"\s*x\s*units\s*:", line, re.IGNORECASE) for line in lines[:_MOST_HEADER]):
        return [_read_described(path, lines, notes)], [path]
    table = _table(lines)
    if not table.rows:
        raise FileFormatError(f"{path} is no text with spectra: it has no rows of numbers.")
    if table.wavelength_columns:
        return _read_rows(path, table, notes), [path]
    if max(map(len, table.rows)) == 1:
        return _read_splib(path, lines, notes)
    return _read_columns(path, table, notes), [path]


def make_spectrum(name: str, wavelengths: Floats, values: Floats, fwhm: Floats | None = None) -> Spectrum:
    """Return a spectrum in order of wavelength; values at one wavelength are averaged.

    Points at no wavelength are left out; deleted ones, infinite or far below zero, become NaN.
    """
    with np.errstate(invalid="ignore"):
        placed = np.isfinite(wavelengths) & (wavelengths > 0) & (wavelengths < 1e6)
        clean = np.where(np.isfinite(values) & (values > _LEAST) & (values < 1e12), values, np.nan)
    centres, group = np.unique(wavelengths[placed], return_inverse=True)
    known = np.isfinite(clean[placed])
    count = np.bincount(group[known], minlength=len(centres))
    total = np.bincount(group[known], weights=clean[placed][known], minlength=len(centres))
    means = np.full(len(centres), np.nan)
    np.divide(total, count, out=means, where=count > 0)
    widths = None
    if fwhm is not None:
        first = np.unique(wavelengths[placed], return_index=True)[1]
        widths = fwhm[placed][first]
    return Spectrum(" ".join(name.split())[:200] or "spectrum", centres, means, widths)


def in_nanometres(
    path: Path, values: Sequence[float] | Floats, unit: str, notes: list[str]
) -> tuple[Floats, float]:
    """Return wavelengths in nanometres (NaN for those that cannot be), and nanometres a unit.

    Raises
    ------
    FileFormatError
        When the unit cannot be told.
    """
    given = [float(value) for value in values]
    found, note = to_nanometres(given, unit)
    if not found:
        raise FileFormatError(f"{path} cannot be used as a spectral library: {note or 'it is empty.'}")
    notes += [f"{path.name}: {note}"] * bool(note)
    centres = np.array([one if one > 0 else math.nan for one in found])
    factors = centres / np.array(given)
    return centres, float(np.nanmedian(factors))


def _lines(path: Path) -> list[str]:
    check_length(path, MOST_TEXT_BYTES)
    return [line.rstrip() for line in decode_text(path.read_bytes()).splitlines()]


def _number(word: str) -> float | None:
    """Return a number, NaN for an empty cell, None for other text."""
    word = word.strip().strip("\"'")
    if not word or word.casefold() in ("nan", "na", "n/a", "null", "none"):
        return math.nan
    if not re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)([eEdD][+-]?\d+)?|[+-]?inf", word):
        return None
    return float(word.replace("D", "e").replace("d", "e"))


# ECOSTRESS, ASTER, JHU


def _read_described(path: Path, lines: Sequence[str], notes: list[str]) -> Spectrum:
    """Read ``Key: value`` lines, then two columns."""
    fields: dict[str, str] = {}
    rows: list[tuple[float, float]] = []
    for line in lines:
        words = line.replace(",", " ").split()
        x, y = (_number(word) for word in words[:2]) if len(words) > 1 else (None, None)
        if x is not None and y is not None:
            rows.append((x, y))
        elif not rows and ":" in line:
            key, _, value = line.partition(":")
            fields.setdefault(" ".join(key.casefold().split()), " ".join(value.split()))
    if not rows:
        raise FileFormatError(f"{path} has the header of a spectrum, but no rows of wavelength and value.")
    centres, values = np.array(rows).T
    told = re.search(r"\d{1,9}", fields.get("number of x values", ""))
    if told and int(told[0]) != len(rows):
        notes.append(f"{path.name} holds {len(rows)} points where its header says {int(told[0])}.")
    x_units, y_units = fields.get("x units", ""), fields.get("y units", "")
    if re.search(r"wave\s*number|cm\s*\^?-1", x_units, re.IGNORECASE):
        centres = 1e7 / np.where(centres > 0, centres, np.nan)
    else:
        centres, _ = in_nanometres(path, centres, _unit_in(x_units), notes)
    if re.search(r"percent|%", y_units, re.IGNORECASE):
        values = values / 100
        notes.append("Reflectances that the library gives in percent are taken as fractions.")
    if y_units and "reflect" not in y_units.casefold():
        notes.append(f"{path.name} holds {y_units[:60]}, not reflectance.")
    return make_spectrum(fields.get("name") or path.stem, centres, values)


def _unit_in(text: str) -> str:
    """Return the first word that names a unit of length, such as that of "Wavelength (micrometers)"."""
    words = re.split(r"[\s()\[\]{}_,;:/]+", text)
    return next((word for word in words if word and unit_in_nanometres(word)), "")


# USGS splib


def _read_splib(path: Path, lines: Sequence[str], notes: list[str]) -> tuple[list[Spectrum], list[Path]]:
    """Read a title and one value a line; the wavelengths lie beside it, or in the folder above."""
    title, values = _single_column(lines)
    found: dict[Path, tuple[str, Floats]] = {}
    for folder in (path.absolute().parent, path.absolute().parent.parent):
        for other, beside in _wavelength_files(folder, folder.stat().st_mtime_ns).items():
            if other.name != path.name and len(beside[1]) == len(values):
                found[other] = beside
        if found:
            break
    if len(found) > 1:  # as many channels: the spectrometer that the spectrum's own name has, too
        spectrometers = [word for word in ("ASD", "BECK", "NIC", "AVIRIS") if word in path.stem.upper()]
        named = {one for one in found if any(word in one.stem.upper() for word in spectrometers)}
        found = {one: beside for one, beside in found.items() if one in named} or found
    if len({beside[1].tobytes() for beside in found.values()}) != 1:
        problem = "several files of wavelengths fit" if found else "no file of wavelengths lies beside it"
        raise FileFormatError(
            f"{path} holds {len(values)} values without wavelengths, and {problem}: put that of its "
            "spectrometer there, with 'Wavelengths' in its name and one value a line."
        )
    source, (source_title, wavelengths) = next(iter(found.items()))
    unit = "micrometers" if "micron" in (source.name + source_title).casefold() else ""
    centres, _ = in_nanometres(source, wavelengths, unit, notes)
    title = re.sub(r"^.*?\brecord\s*=\s*\d+\s*:", "", title, flags=re.IGNORECASE)
    return [make_spectrum(title.strip() or path.stem, centres, values)], [path, source]


@lru_cache(maxsize=4)  # a folder of thousands of spectra asks for the same two folders each time
def _wavelength_files(folder: Path, changed_ns: int) -> dict[Path, tuple[str, Floats]]:
    """Return title and values of each file of wavelengths in a folder, as it was at a time."""
    named = (one for one in sorted(folder.iterdir()) if "wavelength" in one.name.casefold())
    return {one: _single_column(_lines(one)) for one in named if one.is_file()}


def _single_column(lines: Sequence[str]) -> tuple[str, Floats]:
    """Return the first line that is no number, and the numbers of the others."""
    numbers = [_number(line) for line in lines]
    title = next((line for line, number in zip(lines, numbers, strict=True) if number is None), "")
    values = [
        number for line, number in zip(lines, numbers, strict=True) if number is not None and line.strip()
    ]
    return title, np.array(values, np.float64)


# Tables


@dataclass(frozen=True)
class _Table:
    """Cells of a text: those of the last line before the values, and the rows of values.

    `wavelength_columns` is filled where each row is a spectrum: column -> wavelength, as in the header.
    """

    above: str
    header: list[str]
    rows: list[list[str]]
    wavelength_columns: dict[int, float]


def _table(lines: Sequence[str]) -> _Table:
    comments = [line for line in lines if line.lstrip().startswith(("#", "%", "//"))]
    kept = [line for line in lines if line.strip() and line not in set(comments)]
    mark = _delimiter(kept)
    rows = [_split(line, mark) for line in kept]
    if mark != "," and not any("." in cell for row in rows[-5:] for cell in row):
        rows = [[re.sub(r"^([+-]?\d*),(\d+)", r"\1.\2", cell) for cell in row] for row in rows]
    for at, row in enumerate(rows[:5]):
        columns = _wavelength_columns(row, rows[at + 1 : at + 2])
        if columns:
            return _Table(" ".join([*comments, *kept[:at]]), row, rows[at + 1 :], columns)
    first = next((at for at in range(len(rows)) if _starts_values(rows[at : at + 2])), None)
    if first is None:
        return _Table("", [], [], {})
    header = rows[first - 1] if first else []
    if len(header) != len(rows[first]):
        commented = _split(comments[-1].lstrip("#%/ "), mark) if comments else []
        header = commented if not header and len(commented) == len(rows[first]) else []
    return _Table(" ".join([*comments, *kept[:first]]), header, rows[first:], {})


def _starts_values(rows: Sequence[Sequence[str]]) -> bool:
    """Whether the first of two rows holds numbers alone, as many as the second; a count of rows does not."""
    return len(rows[0]) == len(rows[-1]) and all(_number(cell) is not None for cell in rows[0])


def _delimiter(lines: Sequence[str]) -> str | None:
    """Return what separates the cells of the last lines: tab, ``;`` or ``,``, else None for spaces."""
    last = lines[-20:]
    for mark in ("\t", ";", ","):
        if last and all(mark in line for line in last):
            return mark
    return None


def _split(line: str, mark: str | None) -> list[str]:
    """Split at a mark that does not stand between quotes."""
    if mark is None:
        return line.split()
    cells = next(csv.reader([line], delimiter=mark)) if '"' in line else line.split(mark)
    return [cell.strip() for cell in cells]


_WAVELENGTH = re.compile(
    r"(?:(?:x|wl|wvl|wave(?:length)?|lambda|nm|r|rho|refl?|reflectance)[\s_.]*)?(\d+(?:\.\d+)?)[\s_]*"
    r"(nm|um|µm|microns?)?",
    re.IGNORECASE,
)
_X_NAME = re.compile(r"wave|lambda|^wl$|^wvl|^nm$|^um$|^µm$|micron|nanomet|micromet|^x$", re.IGNORECASE)
_CLASS_NAME = re.compile(r"class|label|name|species|material|type|category|spectr|sample|^id$", re.IGNORECASE)


def _wavelength_columns(row: Sequence[str], below: Sequence[Sequence[str]]) -> dict[int, float]:
    """Return the wavelengths in a header whose rows are spectra; empty for another line.

    They rise or fall, are more than the other cells, and beside them is a cell that is no number: the class.
    A column called wavelength with a number `below` it holds the wavelengths itself.
    """
    if not below or any(
        _X_NAME.search(name) and _number(cell) for name, cell in zip(row, below[0], strict=False)
    ):
        return {}
    found = {
        at: float(match[1]) for at, cell in enumerate(row) if (match := _WAVELENGTH.fullmatch(cell.strip()))
    }
    steps = np.diff(list(found.values()))
    if len(found) < 2 or 2 * len(found) < len(row) or len(found) == len(row):
        return {}
    if not ((steps > 0).all() or (steps < 0).all()) or max(found.values()) < 0.2:
        return {}
    if max(found.values()) == len(found) and min(found.values()) == 1:
        return {}  # names such as class1, class2, ...
    return found


def _read_rows(path: Path, table: _Table, notes: list[str]) -> list[Spectrum]:
    """Read a spectrum a row, named by the column of classes, or the first that holds text."""
    columns = table.wavelength_columns
    others = [at for at in range(len(table.header)) if at not in columns]
    named = [at for at in others if re.fullmatch(r"class(_?name)?|label", table.header[at], re.IGNORECASE)]
    named += [at for at in others if _CLASS_NAME.search(table.header[at])]
    texts = [
        at for at in others if any(len(row) > at and _number(row[at]) is None for row in table.rows[:50])
    ]
    column = next((at for at in named if at in texts), (texts or named or others)[0])
    unit = next((_unit_in(table.header[at].replace(" ", "")[-6:]) for at in columns), "")
    unit = unit or _unit_in(" ".join([table.above, *(table.header[at] for at in others)]))
    match = _WAVELENGTH.fullmatch(table.header[next(iter(columns))].strip())
    centres, _ = in_nanometres(path, list(columns.values()), (match and match[2]) or unit, notes)
    spectra = []
    for number, row in enumerate(table.rows, start=1):
        cells = [_number(row[at]) if at < len(row) else math.nan for at in columns]
        if any(cell is None for cell in cells):
            raise FileFormatError(
                f"{path} has text where values are expected, in spectrum {number}; mend it."
            )
        name = row[column] if column < len(row) and row[column] else f"spectrum {number}"
        spectra.append(make_spectrum(name, centres, np.array(cells, np.float64)))
    return spectra


_GENERIC = re.compile(
    r"(absolute\s*)?(refl\w*|reflectance.*|radiance.*|value\w*|y|intensity|mean|data|percent.*|%|std.*|"
    r"standard.*|error.*|sd|transm.*|ref|target|white\s*ref.*|dn)",
    re.IGNORECASE,
)


def _read_columns(path: Path, table: _Table, notes: list[str]) -> list[Spectrum]:
    """Read wavelengths in the first column (or the one called so), and a spectrum in each other column."""
    width = len(table.rows[0])
    cells = np.full((len(table.rows), width), np.nan)
    for number, row in enumerate(table.rows):
        parsed = [_number(cell) for cell in row]
        if len(row) > width or any(value is None for value in parsed):
            raise FileFormatError(
                f"{path} has a row of values that differs from those above it ('{' '.join(row)[:60]}'); mend "
                "it, or name a spectral library."
            )
        cells[number, : len(row)] = [math.nan if value is None else value for value in parsed]
    header = table.header or [""] * width
    x = next((at for at, cell in enumerate(header) if _X_NAME.search(cell)), 0)
    unit = _unit_in(header[x]) or _unit_in(table.above)
    centres, _ = in_nanometres(path, cells[:, x], unit, notes)
    names = {at: cell for at, cell in enumerate(header) if at != x and (cell or not any(header))}
    generic = not table.header or all(_GENERIC.fullmatch(cell.strip()) for cell in names.values())
    if not table.header and width > 2 and not re.search("standard|deviation|error", table.above, re.I):
        names = {at: f"{path.stem} {at}" for at in names}
        notes.append(f"{path.name} names none of its {width - 1} spectra; they are numbered.")
    elif generic:  # one spectrum, with its error or the radiance beside it
        column = next((at for at, cell in names.items() if "refl" in cell.casefold()), min(names))
        names = {column: path.stem}
    spectra = []
    for at, name in names.items():
        values = cells[:, at]
        if re.search(r"%|percent", header[at], re.IGNORECASE):
            values = values / 100
            notes.append("Reflectances that the library gives in percent are taken as fractions.")
        name = re.sub(r"\s*[(\[]\s*(%|percent\w*|refl\w*)\s*[)\]]$", "", name, flags=re.IGNORECASE)
        spectra.append(make_spectrum(name or f"spectrum {at}", centres, values))
    return spectra
