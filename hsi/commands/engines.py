"""What ``--engine`` names: where runs and tiles are worked on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
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
def tiles_on(name: str, source: SceneSource, tune: bool) -> Iterator[Classify]:
    """Yield what classifies the tiles of a scene, after a measurement or without.

    Nothing may be printed on standard output meanwhile.
    """
    from hsi.mapping.predict import BATCH

    at_once = None if tune else BATCH
    if name == "local":
        from hsi.runs.folder import Run

        yield partial(Run.classify, at_once=at_once)
        return
    from hsi.cluster.connect import connected
    from hsi.cluster.tiles import RayTiles
    from hsi.commands import screen

    with connected() as machines:
        yield RayTiles(source, machines, screen.note, at_once=at_once)
