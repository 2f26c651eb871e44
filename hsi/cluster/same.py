"""Whether another machine sees the same run and the same scene under the same names."""

from __future__ import annotations

import hashlib

import numpy as np

from hsi.datasets.scene import Scene
from hsi.runs.checkpoint import BEST
from hsi.runs.folder import Run

FILES = ("config.toml", "preprocess.npz", "split.npz", f"checkpoint/{BEST}")
PIXELS = 64
"""So many, spread over the scene, are looked at: our decision. A strip is larger than what can be read."""


def fingerprint(run: Run, scene: Scene) -> str:
    """Return a hash of what a map is made from: files of the run, and a sample of the scene's values."""
    digest = hashlib.sha256()
    for name in FILES:
        digest.update((run.path / name).read_bytes())
    cube = scene.cube
    digest.update(f"{cube.shape} {cube.dtype} {scene.wavelengths_nm}".encode())
    for pixel in np.linspace(0, scene.rows * scene.cols - 1, PIXELS).astype(np.int64):
        row, col = divmod(int(pixel), scene.cols)
        digest.update(np.ascontiguousarray(cube[row, col]).tobytes())
    return digest.hexdigest()
