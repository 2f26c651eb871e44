"""Spectral libraries: ENVI's (``.sli`` and its header), texts, and folders of texts."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from hsi.datasets.formats.envi_header import read_header
from hsi.datasets.formats.recognise import HEAD_BYTES, envi_header, identify
from hsi.datasets.libraries.spectral_text import in_nanometres, make_spectrum, read_text_spectra
from hsi.datasets.libraries.spectrum import SpectralLibrary, Spectrum
from hsi.errors import FileFormatError, HsiError, SceneNotFoundError

MOST_FILES = 20_000  # of a folder; USGS splib07a has some thousand
MOST_VALUES = 1 << 26  # of a library: half a GiB


def read_spectral_library(path: str | Path) -> SpectralLibrary:
    """Read a spectral library: an ENVI library, a text with one or more spectra, or a folder of such texts.

    Texts are those of USGS splib (a title, then one value a line; the wavelengths in a file beside it),
    ECOSTRESS, ASTER and JHU (``Name: ...``, then two columns), and tables with a spectrum a column or a row.
    Wavelengths are brought to nanometres; reflectances given in percent become fractions, which is noted.

    Raises
    ------
    SceneNotFoundError
        When there is no such file.
    FileFormatError
        When it is no spectral library or is damaged; the message says which.
    """
    path = Path(path).expanduser()
    try:
        found = _read_folder(path) if path.is_dir() else _read_file(path)
    except HsiError:
        raise
    except Exception as error:  # damaged bytes make parsers raise almost any type
        cause = " ".join(str(error).split())[:160] or type(error).__name__
        raise FileFormatError(
            f"{path} is truncated or damaged ({cause}); fetch or write the library again."
        ) from None
    usable = tuple(one for one in found.spectra if np.isfinite(one.values).sum() > 1)
    if not usable:
        raise FileFormatError(f"{path} holds no spectrum of two points or more; name a spectral library.")
    lost = len(found.spectra) - len(usable)
    notes = list(dict.fromkeys(found.notes))
    if len(notes) > _MOST_NOTES:
        notes = [*notes[:_MOST_NOTES], f"{len(notes) - _MOST_NOTES} more notes on {path.name} are left out."]
    if lost:
        notes.append(f"{lost} spectra of {path.name} have no values; left out.")
    return SpectralLibrary(usable, found.files, tuple(notes))


_MOST_NOTES = 6


def _read_file(path: Path) -> SpectralLibrary:
    if not path.is_file():
        problem = "is a device or a pipe; name a file" if path.exists() else "is not there; check the path"
        raise SceneNotFoundError(f"The spectral library {path} {problem}.")
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    kind = identify(head)
    if kind == "an ASD spectrum":
        raise FileFormatError(
            f"{path} is a binary file of an ASD spectrometer; export it as text, and name that."
        )
    if envi_header(path) is not None:
        return _read_envi(path)
    if b"\0" in head or not head.strip():
        what = "an empty file" if not head.strip() else "no text"
        if kind and head.strip():
            what = kind if " " in kind else f"a {kind} file"
        raise FileFormatError(
            f"{path} is {what}, and a spectral library is an ENVI library (.sli beside its .hdr), a text, or "
            "a folder of texts."
        )
    notes: list[str] = []
    spectra, files = read_text_spectra(path, notes)
    return SpectralLibrary(tuple(spectra), tuple(files), tuple(notes))


# Files that lie among the spectra of USGS and ECOSTRESS and are none.
_NO_SPECTRA = ("wavelength", "bandpass", "errorbar", "ancillary", "readme")
_TEXTS = (".txt", ".csv", ".tsv", ".asc", ".ascii", ".dat", ".spc", ".tab")


def _read_folder(path: Path) -> SpectralLibrary:
    """Read the texts in a folder and in its own folders, one level deep."""
    texts = []
    for one in sorted([*path.glob("*"), *path.glob("*/*")]):
        name = one.name.casefold()
        if name.endswith(_TEXTS) and one.is_file() and not any(word in name for word in _NO_SPECTRA):
            texts.append(one)
    if len(texts) > MOST_FILES:
        raise FileFormatError(
            f"{path} holds {len(texts):,} texts, too many for a spectral library; choose some."
        )
    spectra: list[Spectrum] = []
    files: dict[Path, None] = {}
    notes: list[str] = []
    failed: list[str] = []
    values = 0
    for text in texts:
        try:
            found, used = read_text_spectra(text, notes)
        except FileFormatError as error:
            failed.append(f"{text.name} ({error})")
            continue
        values += sum(len(one.values) for one in found)
        _check_size(path, values)
        spectra += found
        files.update(dict.fromkeys(used))
    if not spectra:
        why = f": {failed[0]}" if failed else "; name an ENVI library, a text, or a folder of texts."
        raise FileFormatError(f"{path} is a folder without a spectrum that can be read{why}")
    if failed:
        notes.append(
            f"{len(failed)} texts of {path.name} hold no spectrum and are left out, first {failed[0]}"
        )
    return SpectralLibrary(tuple(spectra), tuple(files), tuple(notes))


def _check_size(path: Path, values: int) -> None:
    if values > MOST_VALUES:
        raise FileFormatError(
            f"{path} holds over {MOST_VALUES:,} values; choose the spectra that are needed."
        )


def _read_envi(path: Path) -> SpectralLibrary:
    """Read an ENVI spectral library: its samples are the bands, its lines the spectra."""
    found = envi_header(path)
    assert found is not None, "only called for files with a header"
    header = read_header(found)
    if not header.is_library:
        raise FileFormatError(
            f"{found} describes an image: its file type is not ENVI Spectral Library; name a library."
        )
    data = _envi_data(found) if path == found else path
    layout = header.layout()
    if data.stat().st_size < layout.length:
        raise FileFormatError(
            f"{data} is truncated: its header {found.name} asks for {layout.length:,} bytes, and it has "
            f"{data.stat().st_size:,}; fetch or write it again."
        )
    count, bands = layout.rows, layout.cols * layout.bands
    _check_size(data, count * bands)
    with data.open("rb") as file:
        file.seek(layout.offset)
        raw = np.frombuffer(file.read(layout.length - layout.offset), layout.dtype)
    values = raw.astype(np.float64).reshape(count, bands)
    notes = [*header.notes, *layout.notes]
    centres = header.numbers("wavelength", notes)
    if len(centres) != bands:
        raise FileFormatError(
            f"{found} lists {len(centres)} wavelengths for {bands} bands; a spectral library needs one each."
        )
    wavelengths, factor = in_nanometres(found, centres, header.text("wavelength units"), notes)
    widths = np.array(header.numbers("fwhm", notes)) * factor
    known = len(widths) == bands and bool((np.isfinite(widths) & (widths > 0)).all())
    for ignored in header.numbers("data ignore value", notes)[:1]:
        values[values == ignored] = np.nan
    for scale in header.numbers("reflectance scale factor", notes)[:1]:
        if 1 < scale < math.inf:
            values /= scale
            notes.append(f"The values of {data.name} are divided by its reflectance scale factor, {scale:g}.")
    names = header.words("spectra names")
    if len(names) != count:
        notes.append(f"{found.name} has {len(names)} names for {count} spectra; those without are numbered.")
    names = [*names[:count], *(f"spectrum {number + 1}" for number in range(len(names), count))]
    spectra = (
        make_spectrum(name, wavelengths, row, widths if known else None)
        for name, row in zip(names, values, strict=True)
    )
    return SpectralLibrary(tuple(spectra), (found, data), tuple(notes))


def _envi_data(header: Path) -> Path:
    stem = header.name[: -len(header.suffix)] if header.suffix.lower() == ".hdr" else header.name
    ends = ("", ".sli", ".slb", ".lib", ".img", ".dat", ".bin", ".raw")
    for name in (stem + end for low in ends for end in (low, low.upper())):
        if name != header.name and header.with_name(name).is_file():
            return header.with_name(name)
    raise FileFormatError(
        f"{header} is the header of a spectral library without its data: put the file {stem}.sli beside it."
    )
