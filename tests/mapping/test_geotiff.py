"""Maps as GeoTIFF, opened with GDAL (by rasterio)."""

import sys
import warnings
from xml.etree import ElementTree

import numpy as np
import pytest

from hsi.errors import ConfigError
from hsi.mapping.cells import Window
from hsi.mapping.geotiff import category_names, write_geotiff
from hsi.mapping.layer import Layer

PLACE = {"crs": "EPSG:32616", "transform": (20.0, 0.0, 500000.0, 0.0, -20.0, 4480000.0)}
NAMES = ("Grass & herbs", "Soil", "Water")


@pytest.fixture
def rasterio():
    return pytest.importorskip("rasterio", reason="the extra geo is not installed")


def test_labels_with_place_colours_and_names(write, tmp_path, rasterio):
    values = write(write_geotiff, tmp_path / "a.tif", "map", PLACE)
    with rasterio.open(tmp_path / "a.tif") as file:
        np.testing.assert_array_equal(file.read(1), values)
        assert file.dtypes == ("uint8",)
        assert file.crs == rasterio.CRS.from_epsg(32616)
        assert tuple(file.transform)[:6] == PLACE["transform"]
        assert file.xy(0, 0) == (500010.0, 4479990.0)  # the centre of the first pixel
        colors = file.colormap(1)
        assert [colors[n][:3] for n in range(4)] == [
            (0, 0, 0),
            (0x2F, 0xB3, 0x44),
            (0xE6, 0x33, 0x2A),
            (0x2F, 0x55, 0xE0),
        ]
        assert file.nodata == 0
        assert [file.tags()[f"CLASS_{n}"] for n in (1, 2, 3)] == list(NAMES)
    assert [path.name for path in tmp_path.iterdir()] == ["a.tif"]


def test_gdal_reads_the_category_names(write, tmp_path, rasterio):
    from rasterio.shutil import copy

    write(write_geotiff, tmp_path / "a.tif", "map", PLACE)
    layer = Layer("map", 40, 70, NAMES, ("#000000",) * 3)
    (tmp_path / "a.tif.aux.xml").write_text(category_names(layer), encoding="utf-8")
    copy(tmp_path / "a.tif", tmp_path / "a.vrt", driver="VRT")  # GDAL writes what it read into a text file
    band = ElementTree.parse(tmp_path / "a.vrt").find("VRTRasterBand")
    assert [one.text for one in band.find("CategoryNames")] == ["unlabelled", *NAMES]


def test_probabilities_have_a_band_a_class(write, tmp_path, rasterio):
    values = write(write_geotiff, tmp_path / "a.tif", "proba", PLACE)
    with rasterio.open(tmp_path / "a.tif") as file:
        assert (file.count, set(file.dtypes), file.descriptions) == (3, {"float32"}, NAMES)
        np.testing.assert_array_equal(np.moveaxis(file.read(), 0, 2), values)
        assert np.isnan(file.nodata)


def test_many_classes_and_no_place(write, tmp_path, rasterio):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        values = write(write_geotiff, tmp_path / "a.tif", "map", classes=300)
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
        file = rasterio.open(tmp_path / "a.tif")
    with file:
        assert (file.dtypes, file.crs) == (("uint16",), None)
        np.testing.assert_array_equal(file.read(1), values)


def test_a_coordinate_system_that_is_none(write, tmp_path, rasterio):
    with pytest.raises(ConfigError, match="coordinate system cannot be understood"):
        write(write_geotiff, tmp_path / "a.tif", "map", {**PLACE, "crs": "over there"})


def test_a_file_that_holds_something_else_is_an_error(tmp_path, rasterio):
    layer = Layer("map", 4, 5, NAMES, ("#000000",) * 3, None)

    def write_twice():
        with write_geotiff(tmp_path / "a.tif", layer) as write:
            write(Window(0, 4, 0, 5), np.full((4, 5), 1, np.uint8))
            write(Window(0, 2, 0, 5), np.full((2, 5), 2, np.uint8))  # as if the disk had not taken the first

    with pytest.raises(OSError, match=r"a\.tif"):
        write_twice()


def test_without_rasterio_it_says_how_to_get_it(write, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "rasterio", None)
    with pytest.raises(ConfigError, match=r"pip install 'hsi\[geo\]'"):
        write(write_geotiff, tmp_path / "a.tif", "map")
    assert not list(tmp_path.iterdir())


def test_a_file_does_not_grow_by_being_written_in_pieces(tmp_path, rasterio):
    values = np.random.default_rng(0).random((96, 160, 3)).astype(np.float32)
    layer = Layer("proba", 96, 160, NAMES, ("#000000",) * 3)
    for name, width in (("whole", 160), ("pieces", 32)):
        with write_geotiff(tmp_path / f"{name}.tif", layer) as write:
            for top in range(0, 96, 32):
                for left in range(0, 160, width):
                    window = Window(top, top + 32, left, left + width)
                    write(window, values[top : top + 32, left : left + width])
    whole, pieces = ((tmp_path / f"{name}.tif").stat().st_size for name in ("whole", "pieces"))
    assert pieces == whole
