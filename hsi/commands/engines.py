"""What ``--engine`` names: where runs and tiles are worked on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from hsi.errors import ConfigError, unknown

if TYPE_CHECKING:
    from hsi.runs.scene_source import SceneSource
    from hsi.runs.whole_scene import Classify
    from hsi.sweep.engine import Engine

ENGINES = ("local", "ray")


def check_engine(name: str) -> None:
    """Refuse an engine that there is not.

    Raises
    ------
    ConfigError
        For another name.
    """
    if name not in ENGINES:
        raise ConfigError(unknown("engine", name, ENGINES))


@contextmanager
def runs_on(name: str) -> Iterator[Engine]:
    """Yield the engine of a sweep; nothing may be printed on standard output meanwhile."""
    if name == "local":
        from hsi.sweep.engine import Engine

        yield Engine()
        return
    from hsi.cluster.connect import connected
    from hsi.cluster.runs import RayEngine
    from hsi.commands import screen

    with connected() as machines:
        yield RayEngine(machines, screen.note)


@contextmanager
def tiles_on(name: str, source: SceneSource) -> Iterator[Classify]:
    """Yield what classifies the tiles of a scene; nothing may be printed on standard output meanwhile."""
    if name == "local":
        from hsi.runs.folder import Run

        yield Run.classify
        return
    from hsi.cluster.connect import connected
    from hsi.cluster.tiles import RayTiles
    from hsi.commands import screen

    with connected() as machines:
        yield RayTiles(source, machines, screen.note)
