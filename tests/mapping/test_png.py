"""Maps as PNG, read by Pillow."""

import numpy as np
import pytest
from PIL import Image

from hsi.errors import ConfigError
from hsi.mapping.png import write_png


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
