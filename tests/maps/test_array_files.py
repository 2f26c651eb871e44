"""Maps as .npy, .mat and PNG, read back by NumPy, SciPy and Pillow."""

import numpy as np
import pytest
from PIL import Image
from scipy.io import loadmat

from hsi.datasets.scene import to_rgb
from hsi.errors import ConfigError
from hsi.maps import array_files
from hsi.maps.array_files import write_mat, write_npy, write_png
from hsi.maps.map_product import KINDS, rejected_color

COLORS = ("#2fb344", "#e6332a", "#2f55e0")
MADE_WITH = {"model": "svm", "smoothing": "mean of 5 x 5 pixels", "scene": "Löhne-Süd, 東京"}


@pytest.mark.parametrize("kind", KINDS)
def test_read_back(write, tmp_path, kind):
    values = write(write_npy, tmp_path / "a", kind)
    again = np.load(tmp_path / "a")
    np.testing.assert_array_equal(again, values)
    assert again.dtype == values.dtype
    write(write_mat, tmp_path / "b", kind, metadata=MADE_WITH)
    held = loadmat(tmp_path / "b")
    np.testing.assert_array_equal(held[kind], values)
    assert held[kind].dtype == values.dtype
    assert [str(name[0]) for name in held["class_names"].ravel()] == ["Grass & herbs", "Soil", "Water"]
    assert {str(name[0]): str(text[0]) for name, text in held["metadata"]} == MADE_WITH


def test_a_map_too_large_for_a_mat_file_is_refused(write, tmp_path, monkeypatch):
    monkeypatch.setattr(array_files, "MAT_BYTES", 40 * 70 * 3 * 4)
    with pytest.raises(ConfigError, match=r"cannot hold proba.*write \.npy or \.tif"):
        write(write_mat, tmp_path / "a", "proba")
    write(write_mat, tmp_path / "a", "confidence")


def test_labels_have_the_scenes_colours(write, tmp_path):
    values = write(write_png, tmp_path / "a", "map")
    with Image.open(tmp_path / "a") as image:
        assert (image.format, image.mode, image.info.keys() & MADE_WITH.keys()) == ("PNG", "P", set())
        np.testing.assert_array_equal(np.asarray(image), values)
        rgb = np.asarray(image.convert("RGB"))
    palette = np.array([[0, 0, 0], [0x2F, 0xB3, 0x44], [0xE6, 0x33, 0x2A], [0x2F, 0x55, 0xE0]])
    np.testing.assert_array_equal(rgb, palette[values])


def test_rejected_pixels_have_a_colour_of_their_own(write, tmp_path):
    values = write(write_png, tmp_path / "a", "map", rejects=True)
    with Image.open(tmp_path / "a") as image:
        np.testing.assert_array_equal(np.asarray(image), values)
        rgb = np.asarray(image.convert("RGB"))
    assert (values == 0).any()
    assert (rgb[values == 0] == to_rgb((rejected_color(COLORS),))).all()
    assert (rgb[values == 255] == 0).all()
    for number, color in enumerate(COLORS, start=1):
        assert (rgb[values == number] == to_rgb((color,))).all()


@pytest.mark.parametrize("kind", ["map", "entropy"])
def test_what_the_map_was_made_with_is_in_text_chunks(write, tmp_path, kind):
    write(write_png, tmp_path / "a", kind, metadata=MADE_WITH)
    with Image.open(tmp_path / "a") as image:
        assert image.text == MADE_WITH


@pytest.mark.parametrize("kind", ["confidence", "margin", "entropy"])
def test_fractions_are_grey(write, tmp_path, kind):
    values = write(write_png, tmp_path / "a", kind)
    with Image.open(tmp_path / "a") as image:
        assert image.mode == "L"
        grey = np.asarray(image)
    assert grey[3, 4] == 0
    there = np.isfinite(values)
    assert np.abs(grey[there] / 255 - values[there]).max() <= 0.5001 / 255


def test_set_sizes_are_numbers(write, tmp_path):
    values = write(write_png, tmp_path / "a", "set_size")
    with Image.open(tmp_path / "a") as image:
        np.testing.assert_array_equal(np.asarray(image), values)
    assert values[3, 4] == 255


def test_what_a_png_cannot_hold(write, tmp_path):
    with pytest.raises(ConfigError, match="cannot hold the probability"):
        write(write_png, tmp_path / "a", "proba")
    with pytest.raises(ConfigError, match="255 colours for classes, not 256"):
        write(write_png, tmp_path / "a", "map", classes=256)
    with pytest.raises(ConfigError, match="254 colours for classes, not 255"):
        write(write_png, tmp_path / "a", "map", classes=255, rejects=True)
    values = write(write_png, tmp_path / "a", "map", classes=255)
    with Image.open(tmp_path / "a") as image:
        np.testing.assert_array_equal(np.asarray(image), values)
    write(write_png, tmp_path / "a", "confidence", classes=300)
