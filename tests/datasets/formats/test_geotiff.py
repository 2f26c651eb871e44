"""GeoTIFF files that rasterio wrote, against the arrays and facts that went in."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio
from hypothesis import given, settings
from hypothesis import strategies as st

from hsi.datasets.formats.geotiff import geotiff_facts
from hsi.datasets.formats.readers import list_arrays, read_array, read_facts
from hsi.errors import FileFormatError

RANDOM = np.random.default_rng(0)
UTM = {"crs": "EPSG:32632", "transform": [2.0, 0.0, 500000.0, 0.0, -2.0, 5000000.0]}
Write = Callable[..., Path]


@settings(max_examples=20, deadline=None)
@given(
    shape=st.tuples(st.integers(2, 20), st.integers(2, 20), st.integers(2, 4)),
    dtype=st.sampled_from(["uint8", "uint16", "int16", "int32", "float32", "float64"]),
    options=st.sampled_from(
        [{}, {"compress": "deflate"}, {"interleave": "pixel"},
         {"tiled": True, "blockxsize": 16, "blockysize": 16}, {"ENDIANNESS": "BIG"}, {"BIGTIFF": "YES"}]
    ),
)  # fmt: skip
def test_every_layout_gives_the_array(
    tmp_path_factory: pytest.TempPathFactory,
    write_geotiff: Write,
    shape: tuple[int, ...],
    dtype: str,
    options: dict,
) -> None:
    cube = RANDOM.integers(0, 200, shape).astype(dtype)
    path = write_geotiff(tmp_path_factory.mktemp("tif") / "a.tif", cube, UTM, **options)
    read = read_array(path, ndim=3)
    assert read.dtype == cube.dtype
    np.testing.assert_array_equal(read, cube)


def test_one_band_is_a_label_map(tmp_path: Path, write_geotiff: Write) -> None:
    labels = RANDOM.integers(0, 5, (7, 9)).astype(np.uint8)
    path = write_geotiff(tmp_path / "gt.tif", labels)
    np.testing.assert_array_equal(read_array(path, ndim=2), labels)
    with pytest.raises(FileFormatError, match="no array that is 3-D"):
        read_array(path, ndim=3)


def test_place_no_data_and_what_is_not_there(tmp_path: Path, write_geotiff: Write) -> None:
    cube = np.ones((3, 4, 2), np.float32)
    facts = geotiff_facts(write_geotiff(tmp_path / "a.tif", cube, UTM, nodata=-9999))
    assert facts.georeference == UTM
    assert facts.no_data == -9999
    plain = geotiff_facts(write_geotiff(tmp_path / "b.tif", cube))
    assert (plain.georeference, plain.no_data, plain.wavelengths_nm, plain.class_names) == (
        None,
        None,
        (),
        {},
    )
    own = rasterio.crs.CRS.from_proj4("+proj=laea +lat_0=51.3 +lon_0=9.1 +datum=WGS84")
    place = {"crs": own, "transform": [3.0, 1.0, 100.0, 1.0, -3.0, 200.0]}
    georeference = geotiff_facts(write_geotiff(tmp_path / "c.tif", cube, place)).georeference
    assert georeference is not None
    assert rasterio.crs.CRS.from_user_input(georeference["crs"]) == own
    assert georeference["transform"] == place["transform"]


@pytest.mark.parametrize("where", ["bands", "imagery", "file", "words", "nowhere"])
def test_wavelengths(tmp_path: Path, write_geotiff: Write, where: str) -> None:
    centres = [450.5, 550.0, 2150.25]
    path = write_geotiff(tmp_path / "a.tif", np.ones((3, 4, 3), np.uint16))
    with rasterio.open(path, "r+") as file:
        if where == "file":
            file.update_tags(wavelength="{0.4505, 0.55, 2.15025}", wavelength_units="Micrometers")
        for band, centre in enumerate(centres, start=1):
            if where == "bands":
                file.update_tags(band, Wavelength=str(centre), wavelength_units="Nanometers")
            elif where == "imagery":
                file.update_tags(band, ns="IMAGERY", CENTRAL_WAVELENGTH_UM=str(centre / 1e3))
            elif where == "words":
                file.set_band_description(band, f"Band {band} ({centre} Nanometers)")
            elif where == "nowhere":
                file.set_band_description(band, f"B{band}")
    expected = [] if where == "nowhere" else centres
    np.testing.assert_allclose(geotiff_facts(path).wavelengths_nm, expected)


def test_classes_of_a_label_image(tmp_path: Path, write_geotiff: Write) -> None:
    path = write_geotiff(tmp_path / "gt.tif", np.array([[0, 1], [2, 3]], np.uint8))
    with rasterio.open(path, "r+") as file:
        file.write_colormap(1, {0: (0, 0, 0, 255), 1: (255, 0, 16, 255), 2: (0, 9, 0, 255)})
    (tmp_path / "gt.tif.aux.xml").write_text(
        '<PAMDataset><PAMRasterBand band="1"><CategoryNames><Category>none</Category>'
        "<Category>Corn &amp; rye</Category><Category>Woods</Category><Category></Category>"
        "</CategoryNames></PAMRasterBand></PAMDataset>"
    )
    facts = read_facts(path)
    assert facts.class_names == {1: "Corn & rye", 2: "Woods"}
    assert facts.colors == {1: "#ff0010", 2: "#000900"}
    (tmp_path / "gt.tif.aux.xml").write_text("<PAMDataset>")
    assert read_facts(path).class_names == {}


def test_damaged_and_complex_files(tmp_path: Path, write_geotiff: Write) -> None:
    path = write_geotiff(tmp_path / "a.tif", RANDOM.normal(size=(40, 40, 3)))
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(FileFormatError, match="truncated or damaged") as caught:
        read_array(path, ndim=3)
    assert "\n" not in str(caught.value)
    odd = write_geotiff(tmp_path / "b.tif", np.ones((3, 4, 2), np.complex64))
    assert not list_arrays(odd)[0].numeric
    with pytest.raises(FileFormatError, match="no array that is 3-D"):
        read_array(odd, ndim=3)


def test_without_rasterio_the_message_says_how_to_install_it(
    tmp_path: Path, write_geotiff: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_geotiff(tmp_path / "a.tif", np.ones((3, 4, 2), np.uint8))
    monkeypatch.setitem(sys.modules, "rasterio", None)
    with pytest.raises(FileFormatError, match=r"pip install 'hsi-toolkit\[geo\]'"):
        read_array(path, ndim=3)


def test_names_beside_an_image_cannot_unpack(tmp_path: Path, write_geotiff: Write) -> None:
    path = write_geotiff(tmp_path / "a.tif", np.eye(4, dtype=np.uint8))
    start, end = '<PAMDataset><PAMRasterBand band="1"><CategoryNames><Category/>', "</CategoryNames>"
    whole = f"{start}<Category>{{}}</Category>{end}</PAMRasterBand></PAMDataset>"
    beside = tmp_path / "a.tif.aux.xml"
    beside.write_text(whole.format("Grass"))
    assert geotiff_facts(path).class_names == {1: "Grass"}
    beside.write_text('<!DOCTYPE x [<!ENTITY a "Grass">]>' + whole.format("&a;"))
    assert geotiff_facts(path).class_names == {}
