"""The table of scenes: the benchmarks, the demo, and scenes registered by other packages.

To add a benchmark scene, add a TOML file to ``scenes/``; no code is needed.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from hsi.datasets.scene import Scene
from hsi.errors import InputError, SceneNotFoundError, unknown
from hsi.io.text import read_toml

# Order in tables: the three scenes of the papers first.
_BENCHMARKS = ("in", "up", "ksc", "sa", "pc", "bo", "hu13")


@dataclass(frozen=True)
class SceneFile:
    """One file of a benchmark scene.

    Attributes
    ----------
    file, other_names
        Its usual name, and names that other projects give it.
    keys
        Names of the array in known copies of the file, the usual one first.
    merge
        Names of label maps that make up the whole only together (training and test pixels in one file).
    sha256, sha256_verified
        The published hash ("" if none is known), and whether it was computed from the file itself.
    size
        Bytes, or None where not known.
    urls
        Mirrors, in the order in which they are tried.
    """

    file: str
    keys: tuple[str, ...]
    merge: tuple[str, ...] = ()
    other_names: tuple[str, ...] = ()
    sha256: str = ""
    sha256_verified: bool = False
    size: int | None = None
    urls: tuple[str, ...] = ()


@dataclass(frozen=True)
class SceneEntry:
    """One row of the table of scenes.

    Attributes
    ----------
    name, title, aliases
        Short name, full name, other short names; all names are matched in any letter case.
    sensor, shape, dtype
        Sensor; (rows, cols, bands) or None; element type in the file ("" where not known).
    class_names, class_counts, colors
        Class 1 first; labelled pixels of each class in the label file; "#rrggbb".
    names_verified, counts_verified
        Whether sources agree on the names; whether the counts were counted in the file (else: from the
        literature).
    rgb_bands
        Bands for a red, green, blue picture, counted from 0.
    wavelengths_nm
        Band centres, where a source is known.
    source, terms, by_hand, pitfall
        Page of the data, terms of use as far as known, how to obtain it without a mirror, a well-known trap.
    wrapped_negatives
        True where small negative values of the cube were stored in an unsigned type.
    synthetic
        True for a generated scene.
    cube, labels
        The files of a benchmark scene; None for the demo and for registered scenes.
    make
        Makes the scene without files; None for a benchmark scene and for a description.
    description
        The ``scene.toml`` of a registered scene.
    """

    name: str
    title: str = ""
    aliases: tuple[str, ...] = ()
    sensor: str = ""
    shape: tuple[int, int, int] | None = None
    dtype: str = ""
    class_names: tuple[str, ...] = ()
    class_counts: tuple[int, ...] = ()
    colors: tuple[str, ...] = ()
    names_verified: bool = True
    counts_verified: bool = False
    rgb_bands: tuple[int, ...] = ()
    wavelengths_nm: tuple[float, ...] = ()
    source: str = ""
    terms: str = ""
    by_hand: str = ""
    pitfall: str = ""
    wrapped_negatives: bool = False
    synthetic: bool = False
    cube: SceneFile | None = None
    labels: SceneFile | None = None
    make: Callable[[], Scene] | None = field(default=None, repr=False)
    description: Path | None = None

    @property
    def files(self) -> tuple[SceneFile, ...]:
        """The files to fetch: cube and labels, or the one file that holds both."""
        if self.cube is None or self.labels is None:
            return ()
        return (self.cube,) if self.cube.file == self.labels.file else (self.cube, self.labels)


_entries: dict[str, SceneEntry] = {}
_filled = False


def normalise_name(name: str) -> str:
    """Return a name without letter case and separators: 'Indian_Pines' and 'indian pines' are the same."""
    return re.sub(r"[\s_\-]", "", name).casefold()


def _as_tuples(table: dict[str, Any]) -> dict[str, Any]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in table.items()}


def _benchmark(path: Path) -> SceneEntry:
    """Return the entry written in one catalogue file."""
    table = read_toml(path)
    classes = table.pop("classes")
    table["cube"] = SceneFile(**_as_tuples(table["cube"]))
    table["labels"] = SceneFile(**_as_tuples(table["labels"]))
    table["class_names"], table["class_counts"], table["colors"] = zip(*classes, strict=True)
    return SceneEntry(**_as_tuples(table))


def _demo() -> Scene:
    from hsi.datasets.demo import make_demo_scene

    return make_demo_scene()


def _add(entry: SceneEntry) -> None:
    taken = {
        normalise_name(word): known.name
        for known in _entries.values()
        for word in (known.name, *known.aliases)
    }
    for word in (entry.name, *entry.aliases):
        if not normalise_name(word):
            raise InputError("A scene needs a name with at least one letter or digit; give it one.")
        if taken.get(normalise_name(word), entry.name) != entry.name or entry.name in _entries:
            raise InputError(f"A scene called '{word}' is registered already; choose another name.")
    _entries[entry.name] = entry


def _fill() -> None:
    """Read the catalogue and import what the entry point group ``hsi.scenes`` names, once."""
    global _filled
    if _filled:
        return
    _filled = True
    folder = Path(__file__).with_name("scenes")
    for stem in (*_BENCHMARKS, *sorted({path.stem for path in folder.glob("*.toml")} - set(_BENCHMARKS))):
        _add(_benchmark(folder / f"{stem}.toml"))
    _add(SceneEntry("demo", title="Demo (synthetic)", sensor="simulated", synthetic=True, make=_demo))
    for point in entry_points(group="hsi.scenes"):
        point.load()


def register_scene(
    name: str,
    source: str | Path | Callable[[], Scene],
    *,
    title: str = "",
    aliases: tuple[str, ...] = (),
    synthetic: bool = False,
) -> SceneEntry:
    """Add a scene of one's own to the table, so that its short name works wherever ``IN`` does.

    A package can do so on import: name the module that calls this in the entry point group ``hsi.scenes``.

    Parameters
    ----------
    name, title, aliases
        Short name, full name, other short names; any letter case.
    source
        The path of a ``scene.toml``, or a function without arguments that returns a Scene.
    synthetic
        True for a generated scene; it is shown as such.

    Raises
    ------
    InputError
        When the name or an alias is taken already.
    """
    _fill()
    make = source if callable(source) else None
    description = None if callable(source) else Path(source)
    entry = SceneEntry(
        name, title or name, tuple(aliases), synthetic=synthetic, make=make, description=description
    )
    _add(entry)
    return entry


def list_scenes() -> list[SceneEntry]:
    """Return all scenes: the benchmarks, the demo, then registered ones in the order they were added."""
    _fill()
    return list(_entries.values())


def find_entry(name: str) -> SceneEntry | None:
    """Return the entry of a scene by name or alias, any letter case, or None."""
    _fill()
    key = normalise_name(name) if isinstance(name, str) else None  # a configuration may hold anything
    for entry in _entries.values():
        if key in {normalise_name(word) for word in (entry.name, *entry.aliases)}:
            return entry
    return None


def scene_entry(name: str) -> SceneEntry:
    """Return the entry of a scene by name or alias, any letter case.

    Raises
    ------
    SceneNotFoundError
        When there is no such scene; the message names the nearest one.
    """
    entry = find_entry(name)
    if entry is None:
        raise SceneNotFoundError(unknown("scene", str(name), _entries))
    return entry
