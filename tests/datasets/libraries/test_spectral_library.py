"""Spectral libraries as ENVI, USGS, ECOSTRESS and people write them."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
import spectral
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from spectral.io import envi

from hsi.datasets.libraries.spectral_library import read_spectral_library
from hsi.errors import FileFormatError, HsiError, SceneNotFoundError

CENTRES = np.array([400.0, 500.0, 600.0, 700.0, 800.0])
VALUES = np.random.default_rng(1).uniform(0.1, 0.9, (3, 5))


def write_envi(path, values=VALUES, names=("corn", "bare soil", "corn"), unit="Nanometers", **more):
    """Write a library by the `spectral` package: ``path.sli`` and its header."""
    header = {"spectra names": list(names), "wavelength": list(CENTRES), "wavelength units": unit, **more}
    envi.SpectralLibrary(np.asarray(values, np.float32), header).save(str(path))
    return path.with_suffix(".hdr")


@pytest.mark.parametrize("named", [".hdr", ".sli"])
def test_envi(tmp_path, named):
    write_envi(tmp_path / "lib")
    found = read_spectral_library(tmp_path / f"lib{named}")
    assert found.names == ("corn", "bare soil", "corn")
    assert [file.name for file in found.files] == ["lib.hdr", "lib.sli"]
    for spectrum, row in zip(found.spectra, VALUES, strict=True):
        np.testing.assert_allclose(spectrum.values, row, rtol=1e-6)
        np.testing.assert_array_equal(spectrum.wavelengths_nm, CENTRES)
    assert found.notes == ()


def test_envi_in_micrometres_falling_big_endian_integers_with_a_scale_and_no_data(tmp_path):
    stored = np.round(VALUES[:, ::-1] * 10_000).astype(">i2")
    stored[1, 0] = -99
    (tmp_path / "lib.sli").write_bytes(b"head" + stored.tobytes())
    centres = ", ".join(f"{c / 1000}" for c in CENTRES[::-1])
    (tmp_path / "lib.hdr").write_text(
        "ENVI\nsamples = 5\nlines = 3\nbands = 1\nheader offset = 4\ndata type = 2\ninterleave = bsq\n"
        f"byte order = 1\nfile type = ENVI Spectral Library\nwavelength = {{{centres}}}\n"
        "wavelength units = Micrometers\nfwhm = {0.05, 0.04, 0.03, 0.02, 0.01}\ndata ignore value = -99\n"
        "reflectance scale factor = 10000\nspectra names = {a, b}\n"
    )
    found = read_spectral_library(tmp_path / "lib.hdr")
    assert found.names == ("a", "b", "spectrum 3")
    expected = np.round(VALUES, 4)
    expected[1, 4] = np.nan
    np.testing.assert_allclose([one.values for one in found.spectra], expected, atol=1e-9)
    np.testing.assert_allclose(found.spectra[0].wavelengths_nm, CENTRES)
    np.testing.assert_allclose(found.spectra[0].fwhm_nm, [10, 20, 30, 40, 50])
    assert any("10000" in note for note in found.notes)
    assert any("2 names for 3 spectra" in note for note in found.notes)


def test_what_is_wrong_with_an_envi_library_is_said(tmp_path):
    header = write_envi(tmp_path / "lib")
    data, text = tmp_path / "lib.sli", header.read_text()
    whole = data.read_bytes()
    data.write_bytes(whole[:-3])
    with pytest.raises(FileFormatError, match="truncated"):
        read_spectral_library(header)
    data.unlink()
    with pytest.raises(FileFormatError, match=r"put the file lib\.sli beside it"):
        read_spectral_library(header)
    data.write_bytes(whole)
    header.write_text(text.replace("ENVI Spectral Library", "ENVI Standard"))
    with pytest.raises(FileFormatError, match="describes an image"):
        read_spectral_library(header)
    header.write_text(text.replace("samples = 5", "samples = 4"))
    with pytest.raises(FileFormatError, match="5 wavelengths for 4 bands"):
        read_spectral_library(header)
    header.write_text(text.replace("lines = 3", "lines = 300000000000"))
    with pytest.raises(FileFormatError, match="truncated"):
        read_spectral_library(header)
    header.write_text(text.replace("Nanometers", "Hertz"))
    with pytest.raises(FileFormatError, match="Hertz"):
        read_spectral_library(header)


ECOSTRESS = """Name: Construction Asphalt
Type: manmade
Class: Road
Description: Black asphalt: worn, with
Measurement: Directional (10 Degree) Hemispherical Reflectance
First Column: X
Second Column: Y
X Units: Wavelength (micrometers)
Y Units: Reflectance (percentage)
First X Value: 2.5
Last X Value: 0.4
Number of X Values: {count}
Additional Information: none

{rows}
"""


def ecostress(path, count=4, units="Wavelength (micrometers)", xs=(2.5, 1.5, 0.8, 0.4)):
    rows = "\n".join(f"  {x:.4f}\t {y:.4f}" for x, y in zip(xs, (50, 40, 30, 20), strict=True))
    text = ECOSTRESS.format(count=count, rows=rows).replace("Wavelength (micrometers)", units)
    path.write_text(text, encoding="latin-1")
    return path


def test_ecostress(tmp_path):
    found = read_spectral_library(ecostress(tmp_path / "manmade.road.spectrum.txt"))
    (one,) = found.spectra
    assert one.name == "Construction Asphalt"
    np.testing.assert_allclose(one.wavelengths_nm, [400, 800, 1500, 2500])
    np.testing.assert_allclose(one.values, [0.2, 0.3, 0.4, 0.5])
    assert found.notes == ("Reflectances that the library gives in percent are taken as fractions.",)


def test_ecostress_by_wave_number_and_with_a_wrong_count(tmp_path):
    path = ecostress(tmp_path / "x.txt", 7, "Wavenumber (cm-1)", (4000, 5000, 10_000, 20_000))
    found = read_spectral_library(path)
    np.testing.assert_allclose(found.spectra[0].wavelengths_nm, [500, 1000, 2000, 2500])
    np.testing.assert_allclose(found.spectra[0].values, [0.2, 0.3, 0.4, 0.5])
    assert any("holds 4 points where its header says 7" in note for note in found.notes)


def splib(folder, chapter="ChapterM_Minerals"):
    """Write a small USGS splib07a: wavelengths above, two spectra with deleted points below."""
    (folder / chapter).mkdir(parents=True)
    for name, centres in {
        "Wavelengths_ASD_0.35-2.5_microns_4_ch": [0.4, 0.5, 0.6, 0.7],
        "Wavelengths_BECK_Beckman_0.2-3.0_microns_4_ch": [0.2, 1.0, 2.0, 3.0],
        "Bandpass_(FWHM)_ASD_0.35-2.5_microns_4_ch": [0.01, 0.01, 0.01, 0.01],
    }.items():
        lines = [f" splib07a Record=1: {name}", *(f" {centre:.6e}" for centre in centres)]
        (folder / f"splib07a_{name}.txt").write_text("\r\n".join(lines) + "\r\n")
    for name, meter in (("Alunite_GDS83_Na63", "ASDFRa"), ("Calcite_HS48", "BECKa")):
        lines = [f" splib07a Record=12: {name.replace('_', ' ')}        {meter} AREF"]
        lines += ["  1.1e-01", "  2.2e-01", " -1.2300000e+034", "  4.4e-01"]
        (folder / chapter / f"splib07a_{name}_{meter}_AREF.txt").write_text("\n".join(lines) + "\n")
    return folder


def test_usgs_splib_finds_the_wavelengths_of_its_spectrometer(tmp_path):
    folder = splib(tmp_path / "ASCIIdata")
    one = read_spectral_library(folder / "ChapterM_Minerals/splib07a_Alunite_GDS83_Na63_ASDFRa_AREF.txt")
    assert one.names == ("Alunite GDS83 Na63 ASDFRa AREF",)
    np.testing.assert_allclose(one.spectra[0].wavelengths_nm, [400, 500, 600, 700])
    np.testing.assert_array_equal(one.spectra[0].values, [0.11, 0.22, np.nan, 0.44])
    assert len(one.files) == 2
    found = read_spectral_library(folder)
    assert found.names == ("Alunite GDS83 Na63 ASDFRa AREF", "Calcite HS48 BECKa AREF")
    np.testing.assert_allclose(found.spectra[1].wavelengths_nm, [200, 1000, 2000, 3000])


def test_usgs_splib_without_wavelengths_says_what_to_put_there(tmp_path):
    path = tmp_path / "deep" / "lone.txt"
    path.parent.mkdir()
    path.write_text("splib07a Record=3: Calcite\n0.1\n0.2\n0.3\n")
    with pytest.raises(FileFormatError, match="3 values without wavelengths, and no file of wavelengths"):
        read_spectral_library(path)


TABLES = {
    "columns.csv": "wavelength (nm),Corn,Bare soil\n400,0.1,0.2\n500,0.3,0.4\n600,,0.6\n",
    "tabs.tsv": "Wavelength\tCorn\tBare soil\n0.4\t0.1\t0.2\n0.5\t0.3\t0.4\n0.6\tNaN\t0.6\n",
    "semicolons.csv": "nm;Corn;Bare soil\n400;0,1;0,2\n500;0,3;0,4\n600;;0,6\n",
    "spaces.txt": "# field work of May\n\nnm Corn Bare_soil\n400 0.1 0.2\n500 0.3 0.4\n600 -9999 0.6\n",
    "percent.csv": "wl (nm),Corn (%),Bare soil (%)\n400,10,20\n500,30,40\n600,,60\n",
    "rows.csv": "class,400,500,600\nCorn,0.1,0.3,\nBare soil,0.2,0.4,0.6\n",
    "rows_with_ids.csv": 'id,label,X400nm,X500nm,X600nm\n1,Corn,.1,.3,NA\n2,"Bare soil",.2,.4,.6\n',
    "rows_in_um.csv": "name;wl_0.4um;wl_0.5um;wl_0.6um\nCorn;0.1;0.3;\nBare soil;0.2;0.4;0.6\n",
    "first_row.csv": "wavelength,600,500,400\nCorn,,0.3,0.1\nBare soil,0.6,0.4,0.2\n",
    "indexed.csv": ",wavelength,Corn,Bare soil\n0,400,0.1,0.2\n1,500,0.3,0.4\n2,600,,0.6\n",
    "bom.csv": "\ufeffwavelength_nm,Corn,Bare soil\r\n400,0.1,0.2\r\n500,0.3,0.4\r\n600,,0.6\r\n",
}


@pytest.mark.parametrize("name", TABLES)
def test_tables(tmp_path, name):
    (tmp_path / name).write_text(TABLES[name], encoding="utf-8", newline="")
    found = read_spectral_library(tmp_path / name)
    names = [one.replace("_", " ") for one in found.names]
    assert names == ["Corn", "Bare soil"]
    for one, expected in zip(found.spectra, ([0.1, 0.3, np.nan], [0.2, 0.4, 0.6]), strict=True):
        np.testing.assert_allclose(one.wavelengths_nm, [400, 500, 600])
        np.testing.assert_allclose(one.values, expected)


@pytest.mark.parametrize(
    "text",
    [
        "400 0.1\n500 0.3\n600 0.5\n",
        "400,0.1\n500,0.3\n600,0.5\n",
        "3\n400 0.1\n500 0.3\n600 0.5\n",
        "Instrument=X\nWavelength(nm)\tRadiance(W)\tReflectance\n400\t9\t0.1\n500\t9\t0.3\n600\t9\t0.5\n",
        "measured in May\nwavelength reflectance standard deviation\n(microns)\n"
        "0.4 0.1 0.01\n0.5 0.3 0.01\n0.6 0.5 0.01\n",
    ],
)
def test_a_single_spectrum_has_the_name_of_its_file(tmp_path, text):
    (tmp_path / "Corn.txt").write_text(text)
    found = read_spectral_library(tmp_path / "Corn.txt")
    assert found.names == ("Corn",)
    np.testing.assert_allclose(found.spectra[0].wavelengths_nm, [400, 500, 600])
    np.testing.assert_allclose(found.spectra[0].values, [0.1, 0.3, 0.5])


def test_numbers_in_the_names_of_spectra_are_no_wavelengths(tmp_path):
    (tmp_path / "plots.csv").write_text("wavelength,plot 12,wl 15,20\n400,0.1,0.2,0.3\n500,0.4,0.5,0.6\n")
    found = read_spectral_library(tmp_path / "plots.csv")
    assert found.names == ("plot 12", "wl 15", "20")
    np.testing.assert_allclose(found.spectra[1].wavelengths_nm, [400, 500])


def test_a_folder_of_texts(tmp_path):
    (tmp_path / "Corn.txt").write_text("400 0.1\n500 0.3\n600 0.5\n")
    ecostress(tmp_path / "road.spectrum.txt")
    (tmp_path / "road.ancillary.txt").write_text("nothing\n")
    (tmp_path / "notes.txt").write_text("to be measured again\n")
    (tmp_path / "picture.png").write_bytes(b"\x89PNG")
    found = read_spectral_library(tmp_path)
    assert found.names == ("Corn", "Construction Asphalt")
    assert sorted(file.name for file in found.files) == ["Corn.txt", "road.spectrum.txt"]
    assert any("1 texts" in note and "notes.txt" in note for note in found.notes)


def test_the_files_are_hashed_those_of_a_large_folder_together(tmp_path):
    header = write_envi(tmp_path / "lib")
    told = read_spectral_library(header).sources()
    assert told["lib.hdr"] == hashlib.sha256(header.read_bytes()).hexdigest()
    assert set(told) == {"lib.hdr", "lib.sli"}
    folder = tmp_path / "rocks"
    folder.mkdir()
    for number in range(5):
        (folder / f"{number}.txt").write_text(f"400 0.{number}\n500 0.3\n")
    lines = [
        f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.name}\n" for file in sorted(folder.iterdir())
    ]
    expected = hashlib.sha256("".join(lines).encode()).hexdigest()
    assert read_spectral_library(folder).sources() == {"rocks (5 files)": expected}


def test_a_folder_with_many_oddities_is_no_flood_of_notes(tmp_path):
    for number in range(20):
        ecostress(tmp_path / f"{number}.txt", count=7)
    notes = read_spectral_library(tmp_path).notes
    assert len(notes) == 7
    assert notes[-1] == f"15 more notes on {tmp_path.name} are left out."


def test_values_at_one_wavelength_are_averaged(tmp_path):
    (tmp_path / "a.csv").write_text("nm,corn\n500,0.2\n400,0.1\n500,0.4\n0,9\n")
    (one,) = read_spectral_library(tmp_path / "a.csv").spectra
    np.testing.assert_allclose(one.wavelengths_nm, [400, 500])
    np.testing.assert_allclose(one.values, [0.1, 0.3])


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "an empty file"),
        (b"ASD\0" + bytes(300), "ASD spectrometer; export it as text"),
        (b"/*** Spectra Vista SIG Data ***/\nname= x\n", "SVC spectrometer"),
        (b"hello\nworld\n", "no rows of numbers"),
        (b"\x89HDF\r\n\x1a\n" + bytes(90), "a spectral library is an ENVI library"),
        (b"400 0.1\n500 x\n600 0.3\n", "differs from those above it"),
        (b"1 0.1\n2 0.2\n3 0.3\n", "cannot be used as a spectral library"),
        (b"nm,corn\n400,\n500,\n", "no spectrum of two points"),
        (b"class,400,500,600\ncorn,0.1,x,0.3\n", "text where values are expected, in spectrum 1"),
    ],
)
def test_other_files_are_refused_by_what_they_are(tmp_path, content, said):
    (tmp_path / "file.txt").write_bytes(content)
    with pytest.raises(FileFormatError, match=said):
        read_spectral_library(tmp_path / "file.txt")


def test_missing_files_and_empty_folders(tmp_path):
    with pytest.raises(SceneNotFoundError, match="check the path"):
        read_spectral_library(tmp_path / "none.sli")
    with pytest.raises(FileFormatError, match="folder without a spectrum"):
        read_spectral_library(tmp_path)


def test_the_values_are_those_that_the_spectral_package_reads(tmp_path):
    header = write_envi(tmp_path / "lib")
    theirs = spectral.open_image(str(header))
    ours = read_spectral_library(header)
    np.testing.assert_array_equal([one.values for one in ours.spectra], theirs.spectra)
    assert list(ours.names) == theirs.names


_WORDS = st.sampled_from(
    [*list("0123456789.-+eEdDnmua,;\t \n\r#=%{}\x00²"), "400", "500nm", "corn", "class", "wave", "X Units: "]
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(_WORDS, max_size=40).map("".join) | st.text(max_size=80))
def test_any_text_is_read_or_refused(tmp_path, text):
    path = tmp_path / "any.txt"
    path.write_bytes(text.encode("utf-8", "replace"))
    try:
        found = read_spectral_library(path)
    except HsiError:
        return
    for one in found.spectra:
        assert (np.diff(one.wavelengths_nm) > 0).all()
        assert not np.isinf(one.values).any()


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 400), st.binary(min_size=1, max_size=6))
def test_a_damaged_envi_header_is_read_or_refused(tmp_path, at, bytes_):
    header = write_envi(tmp_path / "lib")
    whole = bytearray(header.read_bytes())
    whole[at : at + len(bytes_)] = bytes_
    header.write_bytes(bytes(whole))
    try:
        read_spectral_library(header)
    except HsiError:
        pass
    finally:
        header.unlink()
        (tmp_path / "lib.sli").unlink()
