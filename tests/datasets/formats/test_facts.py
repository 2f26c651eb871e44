from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hsi.datasets.formats.facts import FileFacts, centres_from_names, centres_from_vectors, to_nanometres


@pytest.mark.parametrize(
    ("value", "unit"),
    [(850.0, "nm"), (850.0, "Nanometers"), (0.85, "Micrometers"), (0.85, "um"), (0.85, "µm"),
     (8500, "Angstroms"), (0.00085, "Millimeters"), (8.5e-7, "Meters"), (850.0, ""), (0.85, "Unknown"),
     (850.0, "nm."), (850.0, " [NM] "), (850.0, "nanometres"), (0.85, "Micrometre"),
     (0.85, "\N{GREEK SMALL LETTER MU}m"), (0.85, "Âµm"), (0.85, "\ufffdm"), (0.85, "(microns)"),
     (850.0, "Index")],
)  # fmt: skip
def test_units(value: float, unit: str) -> None:
    (got,), note = to_nanometres([value], unit)
    assert got == pytest.approx(850)
    assert bool(note) == (unit in ("", "Unknown", "Index"))


@pytest.mark.parametrize(
    ("values", "unit", "words"),
    [
        ([1, 2, 3], "Index", "no wavelength"),
        ([4000.0], "Wavenumber", "no wavelength"),
        ([1.0, 2.0, 3.0], "", "none can be told"),
        ([0.5, 900.0], "", "none can be told"),
        ([400.0, float("nan")], "nm", "not all positive"),
        ([0.0, 400.0], "nm", "not all positive"),
    ],
)
def test_what_is_no_wavelength_gives_none_and_says_so(values: list[float], unit: str, words: str) -> None:
    got, note = to_nanometres(values, unit)
    assert got == ()
    assert words in note


def test_nothing_gives_nothing() -> None:
    assert to_nanometres([], "nm") == ((), "")


@given(st.lists(st.floats(200, 20_000), min_size=1, max_size=5))
def test_nanometres_and_micrometres_agree(values: list[float]) -> None:
    fine, _ = to_nanometres(values, "nm")
    coarse, _ = to_nanometres([value / 1e3 for value in values], "um")
    assert fine == pytest.approx(coarse)
    assert to_nanometres(values, "")[0] == tuple(values)


def test_bands_without_a_centre_are_kept_as_bad() -> None:
    centres, note = to_nanometres([400, 0, float("nan"), 700, -1, 900, 950], "nm")
    assert centres == (400, 0, 0, 700, 0, 900, 950)
    assert "bands 1, 2, 4 (counted from 0)" in note
    _, unclear = to_nanometres([400, 0, 700, 900], "")
    assert "counts as bad; the file gives no unit" in unclear
    assert ". " not in unclear  # one sentence
    assert FileFacts(wavelengths_nm=centres, bad_bands=(6,)).bad_bands == (1, 2, 4, 6)
    assert FileFacts(wavelengths_nm=(1.0, 2.0), bad_bands=(1,)).bad_bands == (1,)


@pytest.mark.parametrize(
    ("values", "unit", "factor"), [([400.0, 2500.0], "um", 1), ([400.0], "m", 1), ([0.4, 2.5], "nm", 1000)]
)
def test_a_unit_that_cannot_be_is_not_believed(values: list[float], unit: str, factor: float) -> None:
    got, note = to_nanometres(values, unit, check_unit=True)
    assert got == pytest.approx([value * factor for value in values])
    assert f"'{unit}', which cannot be" in note


NAMES = [
    (["band 1 (400)", "band 2 (500.5)"], (400, 500.5)),
    (["b1_450nm", "b2_0.5um"], (450, 500)),
    (["Band 12: 0.705 um"], (705,)),
    (["Band 001: 376.44 Nanometers", "Band 002: 381 Nanometers"], (376.44, 381)),
    (["450.3", "455"], (450.3, 455)),
    (["w450", "w460"], (450, 460)),
    (["X450.3.Nanometers", "X460.3.Nanometers"], (450.3, 460.3)),
    (["X450.3", "X460.3"], (450.3, 460.3)),
    (["B1 (0.45-0.52 µm)", "B2 (0.52-0.60 µm)"], (485, 560)),
    (["b1-450nm", "b2-460nm"], (450, 460)),
    (["450,5 nm", "460,5 nm"], (450.5, 460.5)),
    (["Warp (Band 1:a.img) (0.45)", "Warp (Band 2:a.img) (0.55)"], (450, 550)),
    (["B02 490", "B03 560", "B8 842", "B8A 865"], (490, 560, 842, 865)),
    (["b1_450", "b2_460"], (450, 460)),
    (["1: 0.45", "2: 0.46"], (450, 460)),
    ([str(nm) for nm in range(350, 2501)], tuple(range(350, 2501))),
    (["2500 nm", "400 nm"], (2500, 400)),
]


@pytest.mark.parametrize(("names", "expected"), NAMES, ids=lambda value: str(value)[:30])
def test_centres_in_the_names_of_bands(names: list[str], expected: tuple[float, ...]) -> None:
    got, note = centres_from_names(names)
    assert got == pytest.approx(expected)
    assert names[0] in note
    assert (got, note) == centres_from_names(tuple(names))


@pytest.mark.parametrize(
    "names",
    [
        [],
        [""],
        ["", ""],
        ["red", "green"],
        [f"Band {number}" for number in range(1, 7)],
        [f"Band {number}" for number in range(300, 340)],
        [str(number) for number in range(1, 300)],
        [str(number) for number in range(300, 340)],
        ["band 1 (1)", "band 2 (2)"],
        ["NDVI 2015", "NDVI 2017", "NDVI 2020"],
        ["Resize (Band 1:ang20150420.img)", "Resize (Band 2:ang20150420.img)"],
        ["PC 1", "PC 2"],
        ["400 nm", "red"],
        ["band 1 (400)", "band 2"],
        ["500 a", "400 b", "600 c", "450 d", "700 e"],
        ["5 nm", "6 nm"],
        ["band 450"],
        ["1" * 5000, "2" * 5000],
    ],
    ids=lambda value: str(value)[:30],
)
def test_names_that_tell_no_centres(names: list[str]) -> None:
    assert centres_from_names(names) == ((), "")


@given(st.lists(st.text(max_size=30), max_size=6))
def test_any_names_are_harmless(names: list[str]) -> None:
    got, note = centres_from_names(names)
    assert len(got) in (0, len(names))
    assert bool(got) == bool(note)


@given(st.lists(st.floats(300, 15_000), min_size=2, max_size=20, unique=True))
def test_names_with_a_unit_are_read_as_written(values: list[float]) -> None:
    got, _ = centres_from_names([f"channel {number}: {value:.3f} nm" for number, value in enumerate(values)])
    assert got == pytest.approx(values, abs=1e-3)


@pytest.mark.parametrize(
    "name",
    ["wavelength", "Wavelengths", "wl", "lambda", "bands_nm", "centers", "wave", "hsi.info.wavelength",
     "WavelengthNM", "metadata/band_centers_nm", "Reflectance/Metadata/Spectral_Data/Wavelength",
     "wavelength (nm)"],
)  # fmt: skip
def test_an_array_of_wavelengths_by_its_name(name: str) -> None:
    vectors = {"fwhm": [410.0, 420, 430], "x": [400, 500, 600], name: [401.0, 502, 603], "lat": [1, 2, 3]}
    got, note = centres_from_vectors(vectors, 3)
    assert got == (401, 502, 603)
    assert name in note
    assert centres_from_vectors(vectors, 4) == ((), "")


@pytest.mark.parametrize(
    "vectors",
    [{}, {"wavelength": [1, 2, 3]}, {"fwhm": [400, 500, 600]}, {"wavelength": ["a", "b", "c"]},
     {"y": [400, 500, 600]},
     {"wavelength_index": [300, 301, 302]}, {"lambda": [1e-3, 1e-2, 1e-1]}],
)  # fmt: skip
def test_arrays_that_are_no_wavelengths(vectors: dict[str, list[float]]) -> None:
    assert centres_from_vectors(vectors, 3) == ((), "")
