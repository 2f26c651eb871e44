"""Finding the files of a benchmark scene on disk, in any folder layout and letter case."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from hsi.datasets.catalogue.entries import SceneEntry, SceneFile, normalise_name
from hsi.errors import SceneNotFoundError
from hsi.io.files import cache_folder

# Formats that a copy of a scene's file may have, by priority.
_SUFFIXES = (".mat", ".npy", ".npz", ".h5", ".hdf5")
_DEPTH = 4
_MOST_FOLDERS = 5000


@dataclass(frozen=True)
class SceneFiles:
    """Where the cube and the labels of a scene are; the same path twice where one file holds both."""

    cube: Path
    labels: Path


def user_path(text: str | Path) -> Path:
    """Return a path with ``~`` expanded; it need not exist.

    Raises
    ------
    SceneNotFoundError
        For what cannot be a path: too long, with a zero byte, or in the home of an unknown user.
    """
    try:
        path = Path(text).expanduser()
        path.exists()  # raises for an impossible name
    except (OSError, ValueError, RuntimeError) as error:
        why = (error.strerror if isinstance(error, OSError) else None) or error
        raise SceneNotFoundError(f"There is no file {str(text)[:100]!r} ({why}); check the path.") from None
    if "\0" in str(path):
        raise SceneNotFoundError(f"There is no file {str(path)[:100]!r}; check the path.")
    return path


def data_roots(data_root: str | Path | None = None) -> list[Path]:
    """Return the folders to search: `data_root` alone if given, else ``HSI_DATA`` (if set) and the cache."""
    if data_root is not None:
        return [Path(data_root).expanduser()]
    named = os.environ.get("HSI_DATA")
    return [Path(named).expanduser(), cache_folder()] if named else [cache_folder()]


def find_scene_files(entry: SceneEntry, data_root: str | Path | None = None) -> SceneFiles | None:
    """Return the files of a scene, or None where one is missing.

    A root is searched four folders deep. Names are compared without letter case and separators, and names
    that other projects use count too. Of several copies, a cube with labels beside it wins, then the copy
    nearest to the root.

    Parameters
    ----------
    data_root
        See `data_roots`.
    """
    if entry.cube is None or entry.labels is None:
        return None
    for root in data_roots(data_root):
        found = _find(entry.cube, entry.labels, root)
        if found is not None:
            return found
    return None


def find_file(name: str | Path, data_root: str | Path | None = None) -> Path | None:
    """Return the file called `name` under a data root, or None.

    Letter case does not count. A name with folders (``masks/a.npz``) must match with them. Of several copies
    the one nearest to the root wins.

    Parameters
    ----------
    name
        A relative path.
    data_root
        See `data_roots`.
    """
    wanted = tuple(part.casefold() for part in Path(name).parts)
    for root in data_roots(data_root):
        for path in _walk(root):
            inside = path.relative_to(root).parts[-len(wanted) :]
            if tuple(part.casefold() for part in inside) == wanted:
                return path
    return None


def is_on_disk(entry: SceneEntry, data_root: str | Path | None = None) -> bool:
    """Whether `entry` can be loaded without a download."""
    if entry.description is not None:
        return entry.description.is_file()
    return entry.make is not None or find_scene_files(entry, data_root) is not None


def _find(cube: SceneFile, labels: SceneFile, root: Path) -> SceneFiles | None:
    wanted = {_stem(name) for file in (cube, labels) for name in (file.file, *file.other_names)}
    found: dict[str, list[Path]] = {name: [] for name in wanted}
    for path in _walk(root):
        if _stem(path.name) in wanted and path.suffix.lower() in _SUFFIXES:
            found[_stem(path.name)].append(path)
    # Where one file may hold both, a separate label file takes precedence.
    label_names = (labels.file, *labels.other_names)
    if cube.file == labels.file:
        label_names = (*labels.other_names, labels.file)
    maps = [path for name in label_names for path in _ranked(found[_stem(name)], root)]
    cubes = [path for name in (cube.file, *cube.other_names) for path in _ranked(found[_stem(name)], root)]
    for cube_path in cubes:
        for path in maps:
            if path.parent == cube_path.parent:
                return SceneFiles(cube_path, path)
    if not cubes or not maps:
        return None
    shared = {path: len(os.path.commonpath([path, cubes[0]])) for path in maps}
    return SceneFiles(cubes[0], max(maps, key=lambda path: shared[path]))


def _stem(name: str) -> str:
    return normalise_name(Path(name).stem)


def _ranked(paths: list[Path], root: Path) -> list[Path]:
    def rank(path: Path) -> tuple[int, int, str]:
        return len(path.relative_to(root).parts), _SUFFIXES.index(path.suffix.lower()), str(path)

    return sorted(paths, key=rank)


def _walk(root: Path) -> Iterator[Path]:
    """Yield the files under `root`, shallow folders first; hidden and unreadable ones are skipped."""
    level, seen = [root], 0
    for _ in range(_DEPTH + 1):
        deeper: list[Path] = []
        for folder in level:
            seen += 1
            if seen > _MOST_FOLDERS:
                return
            try:
                with os.scandir(folder) as items:
                    listed = sorted(items, key=lambda item: item.name)
            except OSError:
                continue
            for item in listed:
                if item.name.startswith("."):
                    continue
                if item.is_dir():
                    deeper.append(Path(item.path))
                else:
                    yield Path(item.path)
        level = deeper
