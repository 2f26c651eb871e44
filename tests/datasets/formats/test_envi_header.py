"""Headers as people and programs write them, against what was written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hsi.datasets.formats.envi import envi_facts, envi_files, facts_of_header
from hsi.datasets.formats.envi_header import read_header
from hsi.datasets.formats.readers import list_arrays, read_array, read_facts
from hsi.errors import FileFormatError, HsiError

CUBE = np.arange(2 * 3 * 4, dtype="<u2").reshape(2, 3, 4) * 300 + 7
SIZE = "samples = 3\nlines = 2\nbands = 4\n"
TYPE = "data type = 12\ninterleave = bip\nbyte order = 0\n"
NM = (400.0, 500.0, 600.0, 700.0)

Make = Callable[..., Path]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """A function ``(text of a header, encoding) -> path`` that writes the cube beside it."""

    def write(text: str | bytes, encoding: str = "utf-8", name: str = "a.hdr", data: str = "a.img") -> Path:
        (tmp_path / data).write_bytes(CUBE.tobytes())
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode(encoding))
        return path

    return write


@pytest.mark.parametrize(
    "text",
    [
        "ENVI\n" + SIZE + TYPE,
        "ENVI   \n\n" + SIZE + TYPE,
        "\ufeffENVI\n" + SIZE + TYPE,
        "envi\n" + SIZE + TYPE,
        ("ENVI\n" + SIZE + TYPE).replace("\n", "\r\n"),
        ("ENVI\n" + SIZE + TYPE).replace("\n", "\r"),
        ("ENVI\n" + SIZE + TYPE).replace(" = ", "="),
        ("ENVI\n" + SIZE + TYPE).replace(" = ", "\t=   "),
        "ENVI\n" + (SIZE + TYPE).upper(),
        "ENVI\n" + SIZE + "Data_Type = 12\nInterleave = 'BIP'\nbyte order = little\n",
        "ENVI\n" + SIZE + 'data type = uint16\ninterleave = "Bip"\nbyteorder = 0\n',
        "ENVI\n; a comment with lines = 9\n" + SIZE + "# another\n" + TYPE + "; bands = 8",
        "ENVI\ncolumns = 3\nrows = 2\nnumber of bands = 4\n" + TYPE,
        "ENVI\nsamples = {3}\nlines = 2 ; rows\nbands = 4.0\nheader offset = 0\n" + TYPE,
        "ENVI\ndescription = {\n  lines = 77\n  nested {braces}\n }\n" + SIZE + TYPE,
        "ENVI\ndescription = { not { balanced }\n" + SIZE + TYPE,
        "ENVI\ndescription =\n{ on the\n next line }\n" + SIZE + TYPE,
        "ENVI\nlines = 2\nlines = 2\nsamples = 3\nbands = 4\nmajor frame offsets = {0, 0}\n" + TYPE,
        "ENVI\nband names = {\n" + SIZE.replace("=", "is") + "}\n" + SIZE + TYPE,
    ],
)  # fmt: skip
def test_the_same_image_in_other_words(make: Make, text: str) -> None:
    path = make(text)
    np.testing.assert_array_equal(read_array(path, ndim=3), CUBE)
    assert read_facts(path).notes == ()


@pytest.mark.parametrize("name", ["a.hdr", "a.HDR", "a.img.hdr", "a.Hdr"])
def test_names_of_the_header(make: Make, name: str) -> None:
    path = make("ENVI\n" + SIZE + TYPE, name=name)
    assert envi_files(path) == (path, path.with_name("a.img"))
    np.testing.assert_array_equal(read_array(path, ndim=3), CUBE)


@pytest.mark.parametrize(
    "lists",
    [
        "wavelength = {400, 500, 600, 700}\nwavelength units = nm",
        "wavelength = {\n 400,\n 500,\n\n 600,\n 700,\n}\nwavelength units = Nanometers",
        "wavelengths = {400, 500, 600, 700}\nwavelength unit = nm.",
        "Wavelength = [ 400, 500, 600, 700 ]\nWavelength_Units = (nm)",
        "wavelength = [\n400,\n500, 600,\n700\n]\nwavelength units = nm",
        "wavelength = ( 0.4, 0.5, 0.6, 0.7 )\nwavelength units = Micrometers",
        "wavelength = {400 500 600 700}\nwavelength units = nm",
        "wavelength = {400; 500; 600; 700}\nwavelength units = nm",
        "wavelength = {400,0; 500,0; 600,0; 700,0}\nwavelength units = nm",
        "wavelength = 400, 500,\n 600, 700\nwavelength units = nm",
        "wavelength (nm) = {400, 500, 600, 700}",
        "wavelength = {0.4, 0.5, 0.6, 0.7}\nwavelength units = µm",
        "wavelength = {4e2, 5.0E+02, 6e2, 7e2}\nwavelength units = nm",
        "center wavelengths = {400, 500, 600, 700}\nwavelength units = nm",
        "wavelength = {{400, 500}, {600, 700}}\nwavelength units = nm",
        "wavelength = {\n{400},\n{500},\n{600},\n{700}\n}\nwavelength units = nm",
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252"])
def test_wavelengths_in_other_words(make: Make, lists: str, encoding: str) -> None:
    facts = read_facts(make("ENVI\n" + SIZE + TYPE + lists, encoding))
    assert facts.wavelengths_nm == pytest.approx(NM)
    assert facts.notes == ()


@pytest.mark.parametrize(
    ("lists", "words"),
    [
        ("wavelength = {400, 500, 600, 700}", "no unit"),
        ("wavelength = {400, 500, 600, 700}\nwavelength units = Micrometers", "cannot be"),
        ("wavelength = {0.4, 0.5, 0.6, 0.7}\nwavelength units = nm", "cannot be"),
        ("wavelength = {400, 500, 600, 700}\nwavelength units = Unknown", "no unit"),
        ("wavelength = {400 nm, 500 nm, 600 nm, 700 nm}", "list 'wavelength'"),
        ("band names = {b1 (400), b2 (500), b3 (600), b4 (700)}", "names of the bands"),
        ("band names = {400 nm, 500 nm, 0.6 um, 0.7 um}\nwavelength units = nm", "names of the bands"),
        ("wavelength = {1, 2}\nwavelength = {400, 500, 600, 700}\nwavelength units = nm", "more than once"),
    ],
)
def test_wavelengths_with_a_note(make: Make, lists: str, words: str) -> None:
    facts = read_facts(make("ENVI\n" + SIZE + TYPE + lists))
    assert facts.wavelengths_nm == pytest.approx(NM)
    assert words in " ".join(facts.notes)


@pytest.mark.parametrize(
    "lists",
    [
        "band names = {Band 1, Band 2, Band 3, Band 4}",
        "wavelength = {1, 2, 3, 4}",
        "wavelength = {1, 2, 3, 4}\nwavelength units = Index",
        "wavelength = {here, there, and, where}",
        "wavelength = {25000, 20000, 16666, 14285}\nwavelength units = Wavenumber",
        "wavelength = {}",
    ],
)
def test_what_is_no_wavelength(make: Make, lists: str) -> None:
    assert read_facts(make("ENVI\n" + SIZE + TYPE + lists)).wavelengths_nm == ()


def test_a_band_without_a_wavelength_is_bad(make: Make) -> None:
    lists = "wavelength = {400, 0, 600, 700}\nwavelength units = nm\nfwhm = {9, 0, 8, 7}\nbbl = {1, 1, 1, 0}"
    facts = read_facts(make("ENVI\n" + SIZE + TYPE + lists))
    assert facts.wavelengths_nm == (400, 0, 600, 700)
    assert facts.fwhm_nm == (9, 0, 8, 7)
    assert facts.bad_bands == (1, 3)
    assert "band 1 (counted from 0)" in facts.notes[0]


def test_lists_of_more_bands_than_the_file_has(make: Make) -> None:
    lists = (
        "wavelength = {400, 450, 500, 600, 650, 700}\nwavelength units = nm\n"
        "bad bands multiplier = {1, 0, 1, 1, 0, 1}\nfwhm = {1, 2, 3, 4, 5, 6}"
    )
    facts = read_facts(make("ENVI\n" + SIZE + TYPE + lists))
    assert (facts.wavelengths_nm, facts.fwhm_nm, facts.bad_bands) == (NM, (1, 3, 4, 6), ())
    assert "6 bands, of which 4 are good" in facts.notes[0]


def test_marks_of_all_bands_are_left_out(make: Make) -> None:
    facts = read_facts(make("ENVI\n" + SIZE + TYPE + "bbl = {0, 0, 0, 0}"))
    assert facts.bad_bands == ()
    assert "all bands as bad" in facts.notes[0]


@pytest.mark.parametrize(
    ("value", "time"),
    [
        ("2010-04-29T17:30:05Z", "2010-04-29T17:30:05Z"),
        ("{2010-04-29T17:30:05.5}", "2010-04-29T17:30:05.500000Z"),
        ("2010-04-29T17:30:05+02:00", "2010-04-29T15:30:05Z"),
        ("DATE(yyyy-mm-dd): 2017-03-14", "2017-03-14"),
        ("2010-13-29", ""),
        ("yesterday", ""),
    ],
)
def test_the_time_of_the_image(make: Make, value: str, time: str) -> None:
    assert read_facts(make("ENVI\n" + SIZE + TYPE + f"acquisition time = {value}\n")).acquired == time


@pytest.mark.parametrize(
    ("lost", "replacement", "words"),
    [
        ("lines = 2", "", "without 'lines'"),
        ("samples = 3", "", "without 'samples'"),
        ("bands = 4", "", "without 'bands'"),
        ("bands = 4", "bands = four", "'bands = four'"),
        ("bands = 4", "bands = 4.5", "'bands = 4.5'"),
        ("bands = 4", "bands = 0", "'bands = 0'"),
        ("lines = 2", "lines = -2", "'lines = -2'"),
        ("lines = 2", "lines = 9999999999999999999999", "'lines = 9"),
        ("data type = 12", "", "without 'data type'"),
        ("data type = 12", "data type = 7", "'data type = 7'"),
        ("data type = 12", "data type = 6", "complex64"),
        ("data type = 12", "data type = 9", "complex128"),
        ("interleave = bip", "", "without 'interleave'"),
        ("interleave = bip", "interleave = tiled", "'interleave = tiled'"),
        ("byte order = 0", "byte order = middle", "'byte order = middle'"),
        ("byte order = 0", "header offset = -1", "'header offset = -1'"),
        ("byte order = 0", "byte order = 0\nmajor frame offsets = {4, 0}", "'major frame offsets'"),
        ("byte order = 0", "byte order = 0\nfile type = ENVI Spectral Library", "spectral library"),
        ("byte order = 0", "byte order = 0\nwavelength = {400, 500", "never closed"),
    ],
)
def test_what_cannot_be_read_is_named(make: Make, lost: str, replacement: str, words: str) -> None:
    text = "ENVI\n" + SIZE + TYPE
    assert lost in text
    path = make(text.replace(lost, replacement))
    with pytest.raises(FileFormatError) as caught:
        list_arrays(path)
    assert words in str(caught.value)
    assert "a.hdr" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("code", "dtype"), [(13, "u4"), (14, "i8"), (15, "u8"), (1, "u1"), (3, "i4"), (5, "f8")]
)
def test_types(make: Make, code: int, dtype: str) -> None:
    path = make("ENVI\n" + SIZE + TYPE.replace("12", str(code)))
    values = CUBE.astype(dtype)
    path.with_name("a.img").write_bytes(values.astype(values.dtype.newbyteorder("<")).tobytes())
    read = read_array(path, ndim=3)
    assert read.dtype == values.dtype
    np.testing.assert_array_equal(read, values)


def test_a_missing_byte_order_and_interleave(make: Make) -> None:
    text = "ENVI\n" + SIZE + "data type = 12\n"
    path = make(text, data="a.bip")
    np.testing.assert_array_equal(read_array(path, ndim=3), CUBE)
    words = " ".join(read_facts(path).notes)
    assert "little-endian" in words
    assert "bip" in words


def test_a_header_beside_another_file(make: Make) -> None:
    text = "ENVI\nwavelength = {400, 500, 600, 700}\nwavelength units = nm\nbbl = {1, 1, 0, 1}\n"
    path = make(text, data="a.tif")
    for one in (path, path.with_name("a.tif")):
        facts = facts_of_header(one, 4)
        assert facts is not None
        assert (facts.wavelengths_nm, facts.bad_bands) == (NM, (2,))
        said = ("The wavelengths and bad bands of a.tif are those of a.hdr beside it.",)
        assert facts.notes == (() if one == path else said)
    fewer = facts_of_header(path, 3)
    assert fewer is not None
    assert fewer.wavelengths_nm == NM[:2] + NM[3:]  # the good ones
    other = facts_of_header(path, 5)
    assert other is not None
    assert (other.wavelengths_nm, other.bad_bands) == ((), ())
    assert "4 values of 'wavelength' for 5 bands" in " ".join(other.notes)
    assert facts_of_header(path.with_name("b.tif"), 4) is None
    with pytest.raises(FileFormatError, match=r"belongs to a\.tif beside it"):
        envi_files(path)


WORDS = st.sampled_from(
    [
        *("ENVI", "samples", "lines", "bands", "wavelength", "bbl", "fwhm", "map info", "class lookup", "nm"),
        *("class names", "data ignore value", "byte order", "interleave", "data type", "header offset", "µ"),
        *(
            "band names",
            "=",
            " = ",
            "{",
            "}",
            "[",
            "]",
            "(",
            ",",
            ";",
            "\n",
            "\r",
            "\t",
            "nan",
            "inf",
            "1e999",
        ),
        *(
            "-1",
            "0",
            "4",
            "12",
            "2",
            "3",
            "400",
            "0.5",
            "UTM",
            "32",
            "North",
            "rotation=",
            "wavelength units",
        ),
        *("bip", "acquisition time", "2010-04-29", '"', "'", "coordinate system string", "PROJCS["),
        *("projection info", "Albers"),
    ]
)


@settings(max_examples=150, deadline=None)
@given(pieces=st.lists(WORDS, max_size=60))
def test_garbled_headers_raise_typed_errors_only(
    tmp_path_factory: pytest.TempPathFactory, pieces: list[str]
) -> None:
    folder = tmp_path_factory.mktemp("garbled")
    path = folder / "a.hdr"
    (folder / "a.img").write_bytes(CUBE.tobytes())
    for text in ("".join(pieces), SIZE + TYPE + "".join(pieces)):
        path.write_bytes(b"ENVI\n" + text.encode("cp1252"))
        try:
            facts = envi_facts(path)
        except HsiError:
            continue
        assert len(facts.wavelengths_nm) in (0, 4)
        assert all(0 <= band < 4 for band in facts.bad_bands)


@settings(max_examples=100, deadline=None)
@given(
    values=st.dictionaries(
        st.from_regex(r"[a-z]{3,9} of [a-z]{3,9}", fullmatch=True),
        st.lists(st.floats(allow_nan=False, allow_infinity=False, width=32), min_size=1, max_size=9),
        max_size=6,
    )
)
def test_lists_are_read_as_written(
    tmp_path_factory: pytest.TempPathFactory, values: dict[str, list[float]]
) -> None:
    path = tmp_path_factory.mktemp("lists") / "a.hdr"
    lines = (f"{key} = {{{', '.join(map(repr, numbers))}}}" for key, numbers in values.items())
    path.write_text("ENVI\n" + "\n".join(lines))
    header = read_header(path)
    notes: list[str] = []
    assert {key: list(header.numbers(key, notes)) for key in header.fields} == values
    assert notes == []
