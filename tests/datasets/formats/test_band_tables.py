"""Files of wavelengths against what was written."""

from __future__ import annotations

import os
from pathlib import Path

import h5py
import numpy as np
import pytest
import scipy.io
from hypothesis import given, settings
from hypothesis import strategies as st

from hsi.datasets.formats.band_tables import read_wavelengths
from hsi.errors import FileFormatError, HsiError, SceneNotFoundError

NM = (400.5, 500.0, 600.25)
LISTS = [
    "400.5\n500\n600.25\n",
    "\n400.5\n\n500\n600.25",
    "400.5\r\n500\r\n600.25\r\n",
    "400.5\r500\r600.25",
    "400.5, 500, 600.25",
    "400.5 500\n600.25",
    "400.5,\n500,\n600.25,\n",
    "[400.5, 500, 600.25]",
    "0.4005\n0.5\n0.60025",
    "# a comment\n400.5  # the first\n; another\n500\n600.25",
    "Wavelength\n400.5\n500\n600.25",
    "Wavelength (um)\n0.4005\n0.5\n0.60025",
    "# wavelengths in micrometers\n0.4005\n0.5\n0.60025",
    "400,5\n500,0\n600,25",
    "0,4005\n0,5\n0,60025",
    "Wellenlänge\n400,5\n500,0\n600,25",
    "Nr;Wellenlänge [µm]\n1;0,4005\n2;0,5\n3;0,60025",
    "band;position (um);from (um)\n1;0.4005;0.4\n2;0.5;0.49\n3;0.60025;0.59",
    "band,what\n1,400.5\n2,500\n3,600.25",
    "lower (nm),upper (nm),lambda\n395,405,400.5\n495,505,500\n595,605,600.25",
    "400.5 nm\n500 nm\n600.25 nm",
    "0.4005µm\n0.5µm\n0.60025µm",
    "Band 1: 400.5 nm\nBand 2: 500 nm\nBand 3: 600.25 nm",
    "1 400.5\n2 500\n3 600.25",
    "0\t400.5\n1\t500\n2\t600.25",
    "1,400.5\n2,500\n3,600.25",
    "1;400,5\n2;500\n3;600,25",
    "band,wavelength\n1,400.5\n2,500\n3,600.25",
    "id,name,Center Wavelength (nm)\n1,b1,400.5\n2,b2,500\n3,b3,600.25",
    '"Band","CW"\n"1","400.5"\n"2","500"\n"3","600.25"',
    "band\tmin_nm\tmax_nm\tcenter_nm\n1\t395\t405\t400.5\n2\t495\t505\t500\n3\t595\t605\t600.25",
    "wavelength,unit\n0.4005,um\n0.5,um\n0.60025,um",
    "wavelength,400.5,500,600.25",
    "wavelength = {400.5, 500,\n 600.25}\nwavelength units = nm",
    "ENVI\nwavelength = {400.5, 500, 600.25}\nwavelength units = nm\n",
    "ENVI\nbands = 3\nband names = {b1 400.5 nm, b2 500 nm, b3 600.25 nm}\n",
]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252"])
@pytest.mark.parametrize("text", LISTS)
def test_texts(tmp_path: Path, text: str, encoding: str) -> None:
    path = tmp_path / "waves.txt"
    path.write_bytes(text.encode(encoding))
    read = read_wavelengths(path)
    assert read.wavelengths_nm == pytest.approx(NM)
    assert (read.fwhm_nm, read.bad_bands) == ((), ())
    assert "waves.txt" in read.note
    assert "\n" not in read.note


def test_utf16_as_a_spreadsheet_writes_it(tmp_path: Path) -> None:
    path = tmp_path / "waves.txt"
    path.write_bytes("nm\n400.5\n500\n600.25\n".encode("utf-16"))
    assert read_wavelengths(path).wavelengths_nm == NM


@pytest.mark.parametrize(
    "text",
    [
        "band,wavelength_nm,fwhm,bbl\n1,400.5,10,1\n2,500,11,0\n3,600.25,12,1",
        "Band;Wavelength (um);FWHM (nm);good\n1;0,4005;10;1\n2;0,5;11;0\n3;0,60025;12;1",
        "name\tcentre\tbandwidth\tbad\na\t400.5\t10\tno\nb\t500\t11\tyes\nc\t600.25\t12\tno",
        "1,400.5,10,1\n2,500,11,0\n3,600.25,12,1",
        "400.5 10 1\n500 11 0\n600.25 12 1",
        "wavelength,400.5,500,600.25\nfwhm,10,11,12\nbbl,1,0,1",
        "# nm fwhm good\n400.5 10 good\n500 11 bad\n600.25 12 good",
        "ENVI\nwavelength = {400.5, 500, 600.25}\nwavelength units = nm\nfwhm = {10, 11, 12}\nbbl={1,0,1}",
    ],
)
def test_widths_and_bad_bands(tmp_path: Path, text: str) -> None:
    path = tmp_path / "waves.csv"
    path.write_text(text)
    read = read_wavelengths(path)
    assert read.wavelengths_nm == pytest.approx(NM)
    assert read.fwhm_nm == pytest.approx((10, 11, 12))
    assert read.bad_bands == (1,)


def test_a_band_without_a_wavelength_is_bad(tmp_path: Path) -> None:
    path = tmp_path / "waves.csv"
    path.write_text("nm,good\n400,1\n0,1\n,1\n600,1\n700,0\n800,1")
    read = read_wavelengths(path)
    assert read.wavelengths_nm == (400, 0, 0, 600, 700, 800)
    assert read.bad_bands == (1, 2, 4)


def test_vectors(tmp_path: Path) -> None:
    values = np.array(NM)
    scipy.io.savemat(tmp_path / "a.mat", {"wl": values, "gt": np.zeros((3, 3)), "fwhm": values / 50})
    scipy.io.savemat(tmp_path / "b.mat", {"q": values[:, None]})
    np.save(tmp_path / "a.npy", values / 1000)
    np.savez(tmp_path / "a.npz", wavelengths=values, other=np.arange(3))
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["metadata/wavelength"] = values
        file["cube"] = np.zeros((2, 2, 3))
    for name in ("a.mat", "b.mat", "a.npy", "a.npz", "a.h5"):
        read = read_wavelengths(tmp_path / name)
        assert read.wavelengths_nm == pytest.approx(NM), name
        assert name in read.note


@pytest.mark.parametrize(
    "content",
    [b"", b"hello\nworld\n", b"1\n2\n3\n4\n", b"0.5\n900\n", b"\x89PNG\r\n\x1a\n\0\0", b"a,b\n1,2\n3,4\n",
     b"wavelength\n", b"center (GHz)\n400\n500\n",
         b"wavenumber (cm-1)\n4000\n5000\n",
         b"wavelength = {400, 500", b"\0" * 100,
     b'{"type": "FeatureCollection", "features": []}', b"PK\x03\x04\0\0"],
)  # fmt: skip
def test_what_holds_no_wavelengths_is_refused_in_one_sentence(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "waves.txt"
    path.write_bytes(content)
    with pytest.raises(FileFormatError) as caught:
        read_wavelengths(path)
    assert "waves.txt" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_and_a_folder(tmp_path: Path) -> None:
    with pytest.raises(SceneNotFoundError, match="no file"):
        read_wavelengths(tmp_path / "none.csv")
    with pytest.raises(FileFormatError, match="cannot be read"):
        read_wavelengths(tmp_path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "waves.txt")
    with pytest.raises(FileFormatError, match="pipe"):
        read_wavelengths(tmp_path / "waves.txt")


PIECES = st.sampled_from(
    ["400", "500.5", "0.6", "1", "2", "0", "-1", "nan", "1e999", ",", ";", "\t", " ", "\n", "\r\n", "#",
     "nm", "um", "fwhm", "wavelength", "band", "good", "bad", "bbl",
     "center", '"', "(", ")", "[", "{", "=", "-", "µ"]
)  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(pieces=st.lists(PIECES, max_size=40))
def test_garbled_tables_raise_typed_errors_only(
    tmp_path_factory: pytest.TempPathFactory, pieces: list[str]
) -> None:
    path = tmp_path_factory.mktemp("garbled") / "waves.txt"
    path.write_text("".join(pieces), encoding="utf-8", newline="")
    try:
        read = read_wavelengths(path)
    except HsiError:
        return
    count = len(read.wavelengths_nm)
    assert count > 0
    assert len(read.fwhm_nm) in (0, count)
    assert all(0 <= band < count for band in read.bad_bands)
    assert all(0 <= centre < np.inf for centre in read.wavelengths_nm)


@settings(max_examples=60, deadline=None)
@given(
    values=st.lists(st.floats(350, 2500), min_size=2, max_size=30, unique=True),
    mark=st.sampled_from([",", ";", "\t", " "]),
    named=st.booleans(),
)
def test_tables_are_read_as_written(
    tmp_path_factory: pytest.TempPathFactory, values: list[float], mark: str, named: bool
) -> None:
    path = tmp_path_factory.mktemp("tables") / "waves.txt"
    lines = [f"{number}{mark}{value!r}{mark}{value / 100!r}" for number, value in enumerate(values, 1)]
    path.write_text("\n".join([f"band{mark}nm{mark}fwhm"] * named + lines))
    read = read_wavelengths(path)
    assert read.wavelengths_nm == tuple(values)
    assert read.fwhm_nm == tuple(value / 100 for value in values)
