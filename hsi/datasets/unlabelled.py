"""A scene to be mapped: labels are welcome but not needed, and the cube may be larger than memory."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from hsi.datasets.catalogue import find_entry
from hsi.datasets.cube_checks import check_cube
from hsi.datasets.geotiff_cube import GeoTiffCube
from hsi.datasets.load import load_scene
from hsi.datasets.locate import user_path
from hsi.datasets.own_files import without_labels
from hsi.datasets.readers import open_cube
from hsi.datasets.scene import Scene


def load_unlabelled(
    dataset: str | Path, *, cube_key: str | None = None, data_root: str | Path | None = None
) -> Scene:
    """Load a scene with whatever labels it has; a cube file by itself has none.

    A ``.npy``, ENVI or GeoTIFF cube is not read: only what is used of it comes into memory. Where the file
    gives a value for no data, pixels that have it are NaN.

    Parameters
    ----------
    dataset
        A short name, a ``scene.toml`` or its folder, as `hsi.load_scene`; or a file with a cube (rows, cols,
        bands).
    cube_key, data_root
        As `hsi.load_scene`.

    Raises
    ------
    SceneNotFoundError, FileFormatError, SceneError, ConfigError
        As `hsi.load_scene`.
    """
    path = user_path(dataset)
    named = isinstance(dataset, str) and find_entry(dataset) is not None
    if named or path.is_dir() or path.suffix.lower() == ".toml" or not path.exists():
        return load_scene(dataset, cube_key=cube_key, data_root=data_root)
    cube = open_cube(path, cube_key)
    check_cube(cube, f"The cube in {path}")
    scene = without_labels(cube, path)
    return replace(scene, notes=(*scene.notes, *cube.notes)) if isinstance(cube, GeoTiffCube) else scene
