"""Maps as PNG: labels in the scene's colours, confidence in grey."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hsi.datasets.palette import UNLABELLED, to_rgb
from hsi.errors import ConfigError
from hsi.mapping.cells import Window
from hsi.mapping.layer import Layer, Write

MOST_COLORS = 256


@contextmanager
def write_png(path: Path, layer: Layer) -> Iterator[Write]:
    """Write 8 bits a pixel, which are held in memory.

    Labels are the numbers of a palette, 0 black; confidence is 0 (black, also where there is no data) to 255
    (certain).

    Raises
    ------
    ConfigError
        For probabilities, or more classes than a palette has colours beside black.
    """
    from PIL import Image

    if layer.kind == "proba":
        raise ConfigError(
            "A PNG cannot hold the probability of each class; write .tif, .npy or .mat instead."
        )
    if layer.kind == "map" and len(layer.class_names) >= MOST_COLORS:
        raise ConfigError(
            f"A PNG has {MOST_COLORS - 1} colours for classes, not {len(layer.class_names)}; write .tif, "
            ".npy or .mat instead."
        )
    array = np.zeros((layer.rows, layer.cols), np.uint8)

    def write(window: Window, values: NDArray[Any]) -> None:
        if layer.kind == "confidence":
            values = np.rint(255 * np.nan_to_num(values, nan=0.0))
        array[window.top : window.bottom, window.left : window.right] = values

    yield write
    image = Image.fromarray(array)
    if layer.kind == "map":
        image.putpalette(to_rgb((UNLABELLED, *layer.colors)).tobytes())
    image.save(path, format="PNG")
