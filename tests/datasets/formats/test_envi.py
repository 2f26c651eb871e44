"""ENVI images against the arrays they were written from, and against GDAL's reading of the same header."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio
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


@pytest.mark.parametrize(
    "info",
    [
        "{UTM, 1, 1, 500000, 5000000, 2, 2, 32, North, WGS-84, units=Meters}",
        "{UTM, 2.5, 3, 612345.5, 7000000, 3, 4, 33, South, WGS-84, units=Meters}",
        "{UTM, 1.5, 1.5, 500000, 5000000, 3, 3, 11, North, WGS-84, units=Meters, rotation=30}",
        "{Geographic Lat/Lon, 1, 1, 10.5, 47.25, 0.001, 0.002, WGS-84, units=Degrees}",
    ],
)
def test_the_georeference_equals_gdals(tmp_path: Path, write_envi: Write, info: str) -> None:
    header = write_envi(tmp_path / "a.x", np.ones((4, 5, 3), np.uint8), map_info=info)
    place = envi_facts(header).georeference
    assert place is not None
    with rasterio.open(header.with_suffix(".img")) as oracle:
        np.testing.assert_allclose(place["transform"], list(oracle.transform)[:6], rtol=1e-9, atol=1e-9)
        assert rasterio.crs.CRS.from_user_input(place["crs"]) == oracle.crs


def test_a_coordinate_system_as_text(tmp_path: Path, write_envi: Write) -> None:
    wkt = rasterio.crs.CRS.from_epsg(25832).to_wkt()
    info = "{ETRS, 1, 1, 500000, 5000000, 2, 2}"
    cube = np.ones((2, 2, 2), np.uint8)
    header = write_envi(tmp_path / "a.x", cube, map_info=info, coordinate_system_string="{" + wkt + "}")
    place = envi_facts(header).georeference
    assert place is not None
    assert rasterio.crs.CRS.from_user_input(place["crs"]) == rasterio.crs.CRS.from_epsg(25832)
    unknown = envi_facts(write_envi(tmp_path / "b.x", cube, map_info=info))
    assert unknown.georeference is not None
    assert unknown.georeference["crs"] == ""
    assert "'ETRS'" in unknown.notes[0]


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
    with pytest.raises(FileFormatError, match="holds no array that is 3-D"):
        read_array(header, ndim=3)


def test_singular_georeferences_and_crs_that_are_addresses(tmp_path: Path, write_envi: Write) -> None:
    cube = np.arange(60, dtype=np.uint16).reshape(5, 4, 3)
    flat = "{UTM, 1, 1, 500000, 4480000, 0, 0, 16, North, WGS-84}"
    assert envi_facts(write_envi(tmp_path / "a", cube, map_info=flat)).georeference is None
    info = flat.replace(" 0, 0,", " 20, 20,")
    system = "{http://127.0.0.1/x}"
    facts = envi_facts(write_envi(tmp_path / "b", cube, map_info=info, coordinate_system_string=system))
    assert facts.georeference is not None
    assert facts.georeference["crs"] == "EPSG:32616"
