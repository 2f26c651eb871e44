"""A layer that is written window by window."""

import numpy as np
import pytest

from hsi.inference.map_files import MapProduct
from hsi.inference.tiles import Window

NAMES, COLORS = ("Grass & herbs", "Soil", "Water"), ("#2fb344", "#e6332a", "#2f55e0")
PLACE = {"crs": "EPSG:32616", "transform": (20.0, 0.0, 500000.0, 0.0, -20.0, 4480000.0)}


@pytest.fixture
def write():
    """``write(writer, path, kind, georeference=None, classes=3)`` -> the values that were written."""

    def do(writer, path, kind, georeference=None, classes=3):
        names = NAMES[:classes] if classes <= 3 else tuple(f"n{n}" for n in range(classes))
        colors = COLORS[:classes] if classes <= 3 else ("#010203",) * classes
        layer = MapProduct(kind, 40, 70, names, colors, georeference)
        random = np.random.default_rng(0)
        values = random.random(layer.shape).astype(np.float32)
        if kind == "map":
            values = random.integers(0, classes + 1, layer.shape).astype(layer.dtype)
        else:
            values[3, 4] = np.nan
        with writer(path, layer) as give:
            for window in (Window(32, 40, 0, 70), Window(0, 32, 32, 70), Window(0, 32, 0, 32)):
                give(window, values[window.top : window.bottom, window.left : window.right])
        return values

    return do
