"""Maps as GeoTIFF, read back by GDAL (rasterio)."""

import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

from hsi.datasets.cube import Window
from hsi.errors import ConfigError
from hsi.maps.geotiff import write_geotiff
from hsi.maps.map_product import MapProduct, rejected_color

PLACE = {"crs": "EPSG:32616", "transform": (20.0, 0.0, 500000.0, 0.0, -20.0, 4480000.0)}
NAMES = ("Grass & herbs", "Soil", "Water")


def test_labels_with_georeference_colours_and_names(write, tmp_path, rasterio):
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
        assert file.descriptions == ("class",)
        assert [file.tags()[f"CLASS_{n}"] for n in (1, 2, 3)] == list(NAMES)
    assert [path.name for path in tmp_path.iterdir()] == ["a.tif"]


def test_rejected_pixels_are_data(write, tmp_path, rasterio):
    values = write(write_geotiff, tmp_path / "a.tif", "map", PLACE, rejects=True)
    with rasterio.open(tmp_path / "a.tif") as file:
        assert file.nodata == 255
        np.testing.assert_array_equal(file.read(1), values)
        np.testing.assert_array_equal(file.read_masks(1) == 0, values == 255)
        own = rejected_color(("#2fb344", "#e6332a", "#2f55e0"))
        assert "#{:02x}{:02x}{:02x}".format(*file.colormap(1)[0][:3]) == own


def test_what_the_map_was_made_with_is_in_the_tags(write, tmp_path, rasterio):
    said = {"model": "svm", "smoothing": "mean, 5 x 5 = 25 pixels", "scene": 'Löhne <&> "東京"'}
    for kind in ("map", "proba", "margin"):
        write(write_geotiff, tmp_path / "a.tif", kind, PLACE, metadata=said)
        with rasterio.open(tmp_path / "a.tif") as file:
            assert file.tags().items() >= said.items()


@pytest.mark.parametrize("kind", ["map", "set_size", "proba", "confidence", "entropy"])
def test_it_is_cloud_optimized_with_overviews(write, tmp_path, rasterio, kind):
    values = write(write_geotiff, tmp_path / "a.tif", kind, PLACE, rows=700, cols=1300)
    with rasterio.open(tmp_path / "a.tif") as file:
        assert file.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        assert file.tags(ns="IMAGE_STRUCTURE")["COMPRESSION"] == "DEFLATE"
        assert set(file.block_shapes) == {(512, 512)}
        assert file.overviews(1) == [2, 4]
        np.testing.assert_array_equal(np.moveaxis(file.read(), 0, -1).reshape(values.shape), values)
    with rasterio.open(tmp_path / "a.tif", overview_level=0) as half:
        assert half.shape == (350, 650)
        small = np.moveaxis(half.read(), 0, -1)
        assert half.block_shapes[0] == (512, 512)
    fours = values.reshape(350, 2, 650, 2, -1).swapaxes(1, 2).reshape(350, 650, 4, -1)
    if values.dtype.kind == "u":  # the most frequent value, one of the most frequent where several are
        counts = (fours[:, :, :, None] == fours[:, :, None]).sum(axis=2)
        chosen = (fours == small[:, :, None]) & (counts == counts.max(axis=2, keepdims=True))
        known = (fours != fours.dtype.type(values[3, 4])).all(axis=(2, 3))
        assert chosen.any(axis=2)[known].all()
    else:
        np.testing.assert_allclose(small, np.nanmean(fours, axis=2), rtol=1e-5)


def test_probabilities_have_a_band_a_class(write, tmp_path, rasterio):
    values = write(write_geotiff, tmp_path / "a.tif", "proba", PLACE)
    with rasterio.open(tmp_path / "a.tif") as file:
        assert (file.count, set(file.dtypes), file.descriptions) == (3, {"float32"}, NAMES)
        np.testing.assert_array_equal(np.moveaxis(file.read(), 0, 2), values)
        assert np.isnan(file.nodata)


def test_blocks_of_many_bands_are_smaller(write, tmp_path, rasterio):
    values = write(write_geotiff, tmp_path / "a.tif", "proba", PLACE, classes=40)
    with rasterio.open(tmp_path / "a.tif") as file:
        np.testing.assert_array_equal(np.moveaxis(file.read(), 0, 2), values)
        assert file.block_shapes[0] == (256, 256)


def test_many_classes_and_no_georeference(write, tmp_path, rasterio):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        values = write(write_geotiff, tmp_path / "a.tif", "map", classes=300)
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
        file = rasterio.open(tmp_path / "a.tif")
    with file:
        assert (file.dtypes, file.crs) == (("uint16",), None)
        np.testing.assert_array_equal(file.read(1), values)


def test_an_unknown_coordinate_system_is_refused(write, tmp_path, rasterio):
    with pytest.raises(ConfigError, match="coordinate system cannot be understood"):
        write(write_geotiff, tmp_path / "a.tif", "map", {**PLACE, "crs": "over there"})


def test_a_file_without_what_was_written_is_an_error(tmp_path, rasterio):
    product = MapProduct("map", 4, 5, NAMES, ("#000000",) * 3, None)

    def write_twice():
        with write_geotiff(tmp_path / "a.tif", product) as write:
            write(Window(0, 4, 0, 5), np.full((4, 5), 1, np.uint8))
            write(Window(0, 2, 0, 5), np.full((2, 5), 2, np.uint8))  # as if the disk had not taken the first

    with pytest.raises(OSError, match=r"a\.tif"):
        write_twice()
    assert not list(tmp_path.iterdir())


def test_a_copy_that_differs_is_an_error(write, tmp_path, rasterio, monkeypatch):
    copy = rasterio.shutil.copy

    def copy_and_damage(source, target, **options):
        copy(source, target, **options)
        with (
            warnings.catch_warnings(action="ignore"),
            rasterio.open(target, "r+", IGNORE_COG_LAYOUT_BREAK="YES") as file,
        ):
            file.write(file.read(1)[::-1], 1)

    monkeypatch.setattr(rasterio.shutil, "copy", copy_and_damage)
    with pytest.raises(OSError, match=r"a\.tif"):
        write(write_geotiff, tmp_path / "a.tif", "map", PLACE)


def test_nothing_but_the_map_stays_after_an_interruption(write, tmp_path, rasterio):
    product = MapProduct("map", 4, 5, NAMES, ("#000000",) * 3, None)

    def interrupted():
        with write_geotiff(tmp_path / "a.tif", product) as write:
            write(Window(0, 2, 0, 5), np.full((2, 5), 1, np.uint8))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert not list(tmp_path.iterdir())


def test_without_rasterio_it_says_how_to_get_it(write, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "rasterio", None)
    with pytest.raises(ConfigError, match=r"pip install 'hsi-toolkit\[geo\]'"):
        write(write_geotiff, tmp_path / "a.tif", "map")
    assert not list(tmp_path.iterdir())


def test_a_file_does_not_grow_by_being_written_in_pieces(tmp_path: Path, rasterio):
    values = np.random.default_rng(0).random((96, 160, 3)).astype(np.float32)
    product = MapProduct("proba", 96, 160, NAMES, ("#000000",) * 3)
    for name, width in (("whole", 160), ("pieces", 32)):
        with write_geotiff(tmp_path / f"{name}.tif", product) as write:
            for top in range(0, 96, 32):
                for left in range(0, 160, width):
                    window = Window(top, top + 32, left, left + width)
                    write(window, values[top : top + 32, left : left + width])
    whole, pieces = ((tmp_path / f"{name}.tif").stat().st_size for name in ("whole", "pieces"))
    assert pieces == whole
