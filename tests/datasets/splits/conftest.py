from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy.io import loadmat


@pytest.fixture
def real_labels(real_data: Path) -> Callable[[str], np.ndarray]:
    """Return the row-major label map of a published scene, by its file's name without ``_gt.mat``."""

    def load(name: str) -> np.ndarray:
        arrays = loadmat(real_data / "labels" / f"{name}_gt.mat")
        labels = next(array for key, array in arrays.items() if key.lower() == f"{name}_gt".lower())
        return np.ascontiguousarray(labels, np.int64)

    return load
