"""Whether another machine sees the same run and the same scene under the same names."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import numpy as np

from hsi.datasets.cube import Cube
from hsi.datasets.cube_view import CubeView
from hsi.datasets.geotiff_cube import GeoTiffCube
from hsi.datasets.scene import Scene
from hsi.runs.checkpoint import BEST
from hsi.runs.folder import Run

FILES = ("config.toml", "preprocess.npz", "split.npz", f"checkpoint/{BEST}")
SAMPLES = 64
"""So many, spread over the scene, are looked at: our decision. A strip is larger than what can be read."""
PIECE = 4096
"""Bytes of a sample of a packed file."""


def fingerprint(run: Run, scene: Scene) -> str:
    """Return a hash of what a map is made from: files of the run, and a sample of the scene's values."""
    digest = hashlib.sha256()
    for name in FILES:
        digest.update((run.path / name).read_bytes())
    cube = scene.cube
    digest.update(f"{cube.shape} {cube.dtype} {scene.wavelengths_nm}".encode())
    for sample in _samples(cube):
        digest.update(sample)
    return digest.hexdigest()


def _samples(cube: Cube) -> Iterator[bytes]:
    """Yield the values of some pixels; of a packed file some of its bytes, as pixels take long to unpack."""
    whole = cube
    while isinstance(cube, CubeView):
        cube = cube.base
    if isinstance(cube, GeoTiffCube):
        length = cube.path.stat().st_size
        yield str(length).encode()
        with cube.path.open("rb") as file:
            for start in np.linspace(0, length, SAMPLES, endpoint=False).astype(np.int64):
                file.seek(int(start))
                yield file.read(PIECE)
        return
    for pixel in np.linspace(0, whole.shape[0] * whole.shape[1] - 1, SAMPLES).astype(np.int64):
        row, col = divmod(int(pixel), whole.shape[1])
        yield np.ascontiguousarray(whole[row, col]).tobytes()
