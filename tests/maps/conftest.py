"""A layer that is written window by window."""

import numpy as np
import pytest

from hsi.datasets.cube import Window
from hsi.maps.map_product import MapProduct

NAMES, COLORS = ("Grass & herbs", "Soil", "Water"), ("#2fb344", "#e6332a", "#2f55e0")


@pytest.fixture
def write():
    """``write(writer, path, kind, georeference=None, classes=3, **fields)`` -> the values written."""

    def do(writer, path, kind, georeference=None, classes=3, rows=40, cols=70, **fields):
        names = NAMES[:classes] if classes <= 3 else tuple(f"n{n}" for n in range(classes))
        colors = COLORS[:classes] if classes <= 3 else ("#010203",) * classes
        layer = MapProduct(kind, rows, cols, names, colors, georeference, **fields)
        random = np.random.default_rng(0)
        if layer.dtype.kind == "u":
            values = random.integers(0, classes + 1, layer.shape).astype(layer.dtype)
        else:
            values = random.random(layer.shape).astype(np.float32)
        values[3, 4] = layer.no_data
        with writer(path, layer) as give:
            for window in (Window(32, rows, 0, cols), Window(0, 32, 32, cols), Window(0, 32, 0, 32)):
                give(window, values[window.top : window.bottom, window.left : window.right])
        return values

    return do


@pytest.fixture
def rasterio():
    return pytest.importorskip("rasterio", reason="the extra geo is not installed")
