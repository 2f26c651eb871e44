"""ENVI images against the arrays they were written from."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from spectral.io import envi as spectral_envi

from hsi.datasets.formats.envi import envi_facts, envi_files
from hsi.datasets.formats.readers import files_of, list_arrays, read_array, read_facts
from hsi.errors import FileFormatError, SceneError

RANDOM = np.random.default_rng(0)
TYPES = ["uint8", "int16", "int32", "float32", "float64", "uint16", "uint32"]
UTM = {"crs": "EPSG:32632", "transform": [2.0, 0.0, 500000.0, 0.0, -2.0, 5000000.0]}
MAP_INFO = "{UTM, 1, 1, 500000, 5000000, 2, 2, 32, North, WGS-84, units=Meters}"

Write = Callable[..., Path]


@settings(max_examples=40, deadline=None)
@given(
    shape=st.tuples(st.integers(2, 5), st.integers(2, 5), st.integers(2, 4)),
    dtype=st.sampled_from(TYPES),
    interleave=st.sampled_from(["bsq", "bil", "bip"]),
    swapped=st.booleans(),
    offset=st.sampled_from([0, 7]),
    ending=st.sampled_from([".img", ".dat", ".bsq", ""]),
)
def test_every_layout_gives_the_array(
    tmp_path_factory: pytest.TempPathFactory,
    write_envi: Write,
    shape: tuple[int, int, int],
    dtype: str,
    interleave: str,
    swapped: bool,
    offset: int,
    ending: str,
) -> None:
    folder = tmp_path_factory.mktemp("envi")
    cube = RANDOM.integers(0, 200, shape).astype(dtype)
    header = write_envi(folder / "a.x", cube, interleave, swapped=swapped, offset=offset, ending=ending)
    for path in (header, header.with_suffix(ending)):
        read = read_array(path, ndim=3)
        assert read.dtype == cube.dtype
        np.testing.assert_array_equal(read, cube)
        assert files_of(path) == (header, header.with_suffix(ending))


def test_files_of_the_spectral_library(tmp_path: Path) -> None:
    cube = RANDOM.normal(size=(4, 3, 5)).astype(np.float32)
    for interleave in ("bsq", "bil", "bip"):
        spectral_envi.save_image(str(tmp_path / f"{interleave}.hdr"), cube, interleave=interleave)
        np.testing.assert_array_equal(read_array(tmp_path / f"{interleave}.hdr", ndim=3), cube)
    labels = np.array([[0, 1], [2, 1]], np.uint8)
    names, colors = ["Unclassified", "Corn", "Woods"], [[0, 0, 0], [255, 0, 0], [0, 128, 9]]
    spectral_envi.save_classification(
        str(tmp_path / "gt.hdr"), labels, class_names=names, class_colors=colors
    )
    np.testing.assert_array_equal(read_array(tmp_path / "gt.hdr", ndim=2), labels)
    facts = read_facts(tmp_path / "gt.hdr")
    assert facts.class_names == {1: "Corn", 2: "Woods"}
    assert facts.colors == {1: "#ff0000", 2: "#008009"}


def test_the_data_is_mapped_not_read(tmp_path: Path, write_envi: Write) -> None:
    cube = RANDOM.integers(0, 9, (3, 4, 5)).astype(np.int16)
    read = read_array(write_envi(tmp_path / "a.x", cube, "bil"), ndim=3)
    owner = read
    while owner.base is not None and not isinstance(owner, np.memmap):
        owner = owner.base
    assert isinstance(owner, np.memmap)
    assert not read.flags.writeable


def test_what_a_header_says(tmp_path: Path, write_envi: Write) -> None:
    header = write_envi(
        tmp_path / "a.x",
        np.ones((2, 3, 4), np.uint16),
        wavelength=[0.4, 0.5, 0.6, 2.5],
        Wavelength_Units="Micrometers",
        fwhm=[0.01, 0.01, 0.02, 0.02],
        bbl=[1, 0, 1, "0"],
        data_ignore_value="-9999",
        sensor_type="AVIRIS",
        map_info=MAP_INFO,
    )
    facts = envi_facts(header)
    np.testing.assert_allclose(facts.wavelengths_nm, [400, 500, 600, 2500])
    np.testing.assert_allclose(facts.fwhm_nm, [10, 10, 20, 20])
    assert facts.bad_bands == (1, 3)
    assert facts.no_data == -9999
    assert facts.sensor == "AVIRIS"
    assert facts.georeference == UTM
    assert facts.notes == ()


def test_lists_that_do_not_fit_are_noted_and_left_out(tmp_path: Path, write_envi: Write) -> None:
    header = write_envi(
        tmp_path / "a.x",
        np.ones((2, 3, 4), np.uint16),
        wavelength=[400, 500],
        wavelength_units="nm",
        bbl=["yes", "no", "no", "no"],
        class_lookup=[1, 2],
        map_info="{Arbitrary, here, 1, 0, 0, 1, 1}",
    )
    facts = envi_facts(header)
    assert (facts.wavelengths_nm, facts.bad_bands, facts.colors, facts.georeference) == ((), (), {}, None)
    words = " ".join(facts.notes)
    for expected in ("2 values of 'wavelength' for 4 bands", "'bbl' in", "'class lookup'", "'map info'"):
        assert expected in words


def test_broken_files_are_named_in_one_sentence(tmp_path: Path, write_envi: Write) -> None:
    header = write_envi(tmp_path / "a.x", np.ones((4, 5, 3), np.uint16))
    whole = header.read_text()
    data = header.with_suffix(".img")
    data.write_bytes(data.read_bytes()[:-1])
    with pytest.raises(FileFormatError, match=r"truncated.*asks for 120 bytes, and it has 119"):
        read_array(header, ndim=3)
    for wrong in (
        whole.replace("interleave = bsq\n", ""),
        whole.replace("lines = 4", "lines = four"),
        whole.replace("lines = 4", "lines = -4"),
        whole.replace("data type = 12", "data type = 99"),
        whole + "wavelength = {1, 2\n",
    ):
        header.write_text(wrong)
        with pytest.raises(SceneError) as caught:
            list_arrays(header)
        assert "a.hdr" in str(caught.value)
        assert "\n" not in str(caught.value)
    data.unlink()
    header.write_text(whole)
    with pytest.raises(FileFormatError, match=r"header without its data: put the file a, a\.img"):
        envi_files(header)


def test_complex_values_are_refused(tmp_path: Path, write_envi: Write) -> None:
    header = write_envi(tmp_path / "a.x", np.ones((4, 5, 4), np.float32))
    header.write_text(
        header.read_text().replace("data type = 4", "data type = 6").replace("bands = 4", "bands = 2")
    )
    with pytest.raises(FileFormatError, match="complex numbers"):
        read_array(header, ndim=3)


def test_the_one_file_of_fitting_size_is_the_data(tmp_path: Path, write_envi: Write) -> None:
    cube = RANDOM.integers(0, 9, (3, 4, 5)).astype(np.int16)
    header = write_envi(tmp_path / "a.x", cube, ending=".pix")
    (tmp_path / "a.txt").write_text("made in spring")
    (tmp_path / "a.img.aux.xml").write_text("<PAMDataset/>")
    assert envi_files(header) == (header, tmp_path / "a.pix")
    np.testing.assert_array_equal(read_array(header, ndim=3), cube)
    assert "taken from a.pix" in envi_facts(header).notes[0]
    assert envi_facts(tmp_path / "a.pix").notes == ()
    write_envi(tmp_path / "other.x", cube)  # has a header of its own
    (tmp_path / "a.pix").rename(tmp_path / "moved.bin2")
    assert envi_files(header)[1] == tmp_path / "moved.bin2"
    (tmp_path / "second.bin2").write_bytes((tmp_path / "moved.bin2").read_bytes())
    with pytest.raises(FileFormatError, match="header without its data"):
        envi_files(header)


def test_of_two_usual_names_the_fitting_size_decides(tmp_path: Path, write_envi: Write) -> None:
    cube = RANDOM.integers(0, 9, (3, 4, 5)).astype(np.int16)
    header = write_envi(tmp_path / "a.x", cube, ending=".raw")
    (tmp_path / "a.dat").write_bytes(b"another program's")
    assert envi_files(header)[1] == tmp_path / "a.raw"


def test_data_that_is_longer_gives_a_note(tmp_path: Path, write_envi: Write) -> None:
    cube = RANDOM.integers(0, 9, (3, 4, 5)).astype(np.int16)
    header = write_envi(tmp_path / "a.x", cube)
    with header.with_suffix(".img").open("ab") as file:
        file.write(bytes(1000))
    np.testing.assert_array_equal(read_array(header, ndim=3), cube)
    (note,) = envi_facts(header).notes
    assert "1,120 bytes" in note
    assert "asks for 120" in note


def test_a_length_that_is_that_of_another_type_is_told(tmp_path: Path, write_envi: Write) -> None:
    header = write_envi(tmp_path / "a.x", RANDOM.normal(size=(3, 4, 5)).astype(np.float32), offset=7)
    text = header.read_text()
    header.write_text(text.replace("data type = 4", "data type = 12"))
    assert "fits values of 4 bytes (data type 4," in envi_facts(header).notes[0]
    header.write_text(text.replace("data type = 4", "data type = 5"))
    with pytest.raises(FileFormatError, match=r"truncated.*values of 4 bytes \(data type 4,"):
        read_array(header, ndim=3)


@pytest.mark.parametrize("interleave", ["bsq", "bil", "bip"])
@pytest.mark.parametrize("offset", [0, 5])
def test_packed_data_is_unpacked(tmp_path: Path, write_envi: Write, interleave: str, offset: int) -> None:
    cube = RANDOM.integers(0, 9000, (6, 7, 5)).astype(np.int16)
    header = write_envi(
        tmp_path / "a.x", cube, interleave, offset=offset, swapped=offset > 0, file_compression="1"
    )
    data = header.with_suffix(".img")
    plain = data.read_bytes()
    data.write_bytes(gzip.compress(plain))
    for path in (header, data):
        np.testing.assert_array_equal(read_array(path, ndim=3), cube)
        assert envi_facts(path).notes == ()
    data.write_bytes(gzip.compress(plain[:100]) + gzip.compress(plain[100:]))  # as pigz and bgzip write
    np.testing.assert_array_equal(read_array(header, ndim=3), cube)
    data.write_bytes(gzip.compress(plain + bytes(9)))
    assert f"{len(plain) + 9:,} bytes" in envi_facts(header).notes[0]
    data.write_bytes(gzip.compress(plain[:-1]))
    with pytest.raises(FileFormatError, match=r"truncated.*unpacked it has"):
        read_array(header, ndim=3)
    data.write_bytes(gzip.compress(plain)[:-30])
    with pytest.raises(FileFormatError, match=r"a\.img"):
        read_array(header, ndim=3)
    data.write_bytes(b"PK" + gzip.compress(plain))
    with pytest.raises(FileFormatError, match="packed in a way that is not read"):
        read_array(header, ndim=3)


def test_values_that_start_like_gzip_are_values(tmp_path: Path, write_envi: Write) -> None:
    cube = RANDOM.integers(0, 9, (3, 4, 5)).astype(np.uint8)
    cube[0, :3, 0] = (0x1F, 0x8B, 8)
    np.testing.assert_array_equal(read_array(write_envi(tmp_path / "a.x", cube), ndim=3), cube)


def test_a_claim_beyond_what_is_packed_is_refused(tmp_path: Path, write_envi: Write) -> None:
    header = write_envi(tmp_path / "a.x", np.ones((3, 4, 5), np.uint8))
    header.write_text(header.read_text().replace("lines = 3", "lines = 300000000"))
    header.with_suffix(".img").write_bytes(gzip.compress(bytes(60)))
    with pytest.raises(FileFormatError, match="damaged"):
        read_array(header, ndim=3)
