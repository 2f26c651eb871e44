"""Maps as .npy, .mat, GeoTIFF and PNG, read back by NumPy, SciPy, GDAL (rasterio) and Pillow."""

import sys
import warnings
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image
from scipy.io import loadmat
from scipy.special import softmax

from hsi.errors import ConfigError
from hsi.inference import map_files
from hsi.inference.map_files import MapProduct, category_names, write_geotiff, write_mat, write_npy, write_png
from hsi.inference.tiles import Window


@pytest.mark.parametrize("kind", ["map", "proba", "confidence"])
def test_read_back(write, tmp_path, kind):
    values = write(write_npy, tmp_path / "a", kind)
    again = np.load(tmp_path / "a")
    np.testing.assert_array_equal(again, values)
    assert again.dtype == values.dtype
    write(write_mat, tmp_path / "b", kind)
    held = loadmat(tmp_path / "b")
    np.testing.assert_array_equal(held[kind], values)
    assert held[kind].dtype == values.dtype
    assert [str(name[0]) for name in held["class_names"].ravel()] == ["Grass & herbs", "Soil", "Water"]


def test_a_map_too_large_for_a_mat_file_is_refused(write, tmp_path, monkeypatch):
    monkeypatch.setattr(map_files, "MAT_BYTES", 40 * 70 * 3 * 4)
    with pytest.raises(ConfigError, match=r"cannot hold proba.*write \.npy or \.tif"):
        write(write_mat, tmp_path / "a", "proba")
    write(write_mat, tmp_path / "a", "confidence")


PLACE = {"crs": "EPSG:32616", "transform": (20.0, 0.0, 500000.0, 0.0, -20.0, 4480000.0)}
NAMES = ("Grass & herbs", "Soil", "Water")


@pytest.fixture
def rasterio():
    return pytest.importorskip("rasterio", reason="the extra geo is not installed")


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
        assert [file.tags()[f"CLASS_{n}"] for n in (1, 2, 3)] == list(NAMES)
    assert [path.name for path in tmp_path.iterdir()] == ["a.tif"]


def test_gdal_reads_the_category_names(write, tmp_path, rasterio):
    from rasterio.shutil import copy

    write(write_geotiff, tmp_path / "a.tif", "map", PLACE)
    product = MapProduct("map", 40, 70, NAMES, ("#000000",) * 3)
    (tmp_path / "a.tif.aux.xml").write_text(category_names(product), encoding="utf-8")
    copy(tmp_path / "a.tif", tmp_path / "a.vrt", driver="VRT")  # GDAL writes what it read into a text file
    band = ElementTree.parse(tmp_path / "a.vrt").find("VRTRasterBand")
    assert [one.text for one in band.find("CategoryNames")] == ["unlabelled", *NAMES]


def test_probabilities_have_a_band_a_class(write, tmp_path, rasterio):
    values = write(write_geotiff, tmp_path / "a.tif", "proba", PLACE)
    with rasterio.open(tmp_path / "a.tif") as file:
        assert (file.count, set(file.dtypes), file.descriptions) == (3, {"float32"}, NAMES)
        np.testing.assert_array_equal(np.moveaxis(file.read(), 0, 2), values)
        assert np.isnan(file.nodata)


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


def test_without_rasterio_it_says_how_to_get_it(write, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "rasterio", None)
    with pytest.raises(ConfigError, match=r"pip install 'hsi-toolkit\[geo\]'"):
        write(write_geotiff, tmp_path / "a.tif", "map")
    assert not list(tmp_path.iterdir())


def test_a_file_does_not_grow_by_being_written_in_pieces(tmp_path, rasterio):
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


LOGITS = np.random.default_rng(0).normal(0, 3, (4, 5, 3)).astype(np.float32)
MISSING = np.zeros((4, 5), bool)
MISSING[1, 2] = True


def product(kind, classes=3):
    names = tuple(f"n{number}" for number in range(classes))
    return MapProduct(kind, 4, 5, names, ("#112233",) * classes)


def test_values():
    labels = product("map").values(LOGITS, MISSING)
    assert labels.dtype == np.uint8
    assert labels[1, 2] == 0
    np.testing.assert_array_equal(labels[~MISSING], LOGITS.argmax(axis=2)[~MISSING] + 1)
    proba, confidence = (product(kind).values(LOGITS, MISSING) for kind in ("proba", "confidence"))
    expected = softmax(LOGITS.astype(np.float64), axis=2)
    expected[1, 2] = np.nan
    np.testing.assert_allclose(proba, expected, rtol=1e-5)
    np.testing.assert_allclose(confidence, expected.max(axis=2), rtol=1e-5)
    assert proba.dtype == confidence.dtype == np.float32


def test_a_class_with_logit_minus_infinity_has_probability_zero():
    logits = np.array([[[0.0, -np.inf, -1.0]]], np.float32)
    proba = product("proba").values(logits, np.zeros((1, 1), bool))
    np.testing.assert_allclose(
        proba[0, 0], [1 / (1 + np.exp(-1)), 0, np.exp(-1) / (1 + np.exp(-1))], rtol=1e-6
    )


def test_shapes_and_types():
    assert product("proba").shape == (4, 5, 3)
    assert product("map").shape == product("confidence").shape == (4, 5)
    assert product("map", 255).dtype == np.uint8
    assert product("map", 256).dtype == np.uint16


def test_labels_have_the_scenes_colours(write, tmp_path):
    values = write(write_png, tmp_path / "a", "map")
    with Image.open(tmp_path / "a") as image:
        assert (image.format, image.mode) == ("PNG", "P")
        np.testing.assert_array_equal(np.asarray(image), values)
        rgb = np.asarray(image.convert("RGB"))
    palette = np.array([[0, 0, 0], [0x2F, 0xB3, 0x44], [0xE6, 0x33, 0x2A], [0x2F, 0x55, 0xE0]])
    np.testing.assert_array_equal(rgb, palette[values])


def test_confidence_is_grey(write, tmp_path):
    values = write(write_png, tmp_path / "a", "confidence")
    with Image.open(tmp_path / "a") as image:
        assert image.mode == "L"
        grey = np.asarray(image)
    assert grey[3, 4] == 0
    there = np.isfinite(values)
    assert np.abs(grey[there] / 255 - values[there]).max() <= 0.5001 / 255


def test_what_a_png_cannot_hold(write, tmp_path):
    with pytest.raises(ConfigError, match="cannot hold the probability"):
        write(write_png, tmp_path / "a", "proba")
    with pytest.raises(ConfigError, match="255 colours for classes, not 256"):
        write(write_png, tmp_path / "a", "map", classes=256)
    values = write(write_png, tmp_path / "a", "map", classes=255)
    with Image.open(tmp_path / "a") as image:
        np.testing.assert_array_equal(np.asarray(image), values)
