"""Options that several verbs share, and the engines; options of a training come from `hsi.config.OPTIONS`."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from msgspec import NODEFAULT

from hsi.config import GROUPS, OPTIONS, PRESETS, PROTOCOLS, Option
from hsi.errors import ConfigError, unknown

if TYPE_CHECKING:
    from hsi.inference.scene_map import Classify, SceneSource
    from hsi.sweep.execute import Engine


def option(panel: str, help: str, *flags: str) -> Any:
    """Return an option that has no default of its own, shown in a panel of the help."""
    return typer.Option(*flags, help=help, show_default=False, rich_help_panel=panel)


def _annotation(known: Option) -> Any:
    """Return the command-line parameter of an option of a training."""
    default = _default(known)
    details: dict[str, Any] = {"rich_help_panel": known.group, "show_default": False}
    details["help"] = f"{known.help} Default: {default}." if default else known.help
    if known.choices:
        details |= {"metavar": "|".join(known.choices), "autocompletion": lambda: list(known.choices)}
    if known.name == "batch":
        details |= {"metavar": "N|auto", "parser": _batch}
        return Annotated[Any, typer.Option(*known.flags, **details)]
    kind = list[str] if known.kind is dict else known.kind
    return Annotated[kind | None, typer.Option(*known.flags, **details)]


def _default(known: Option) -> str:
    """Return the default for the help text; empty where there is none."""
    if any(known.name in options for options in (*PROTOCOLS.values(), *PRESETS.values())):
        return "by protocol"
    if known.name == "protocol":
        return "by scene"
    if any(known.default is nothing for nothing in (None, NODEFAULT, False)):
        return ""
    return "on" if known.default is True else str(known.default)


def _batch(text: str) -> int | str:
    if text.isdecimal() or text == "auto":
        return text if text == "auto" else int(text)
    raise typer.BadParameter(f"give a whole number of patches, or auto; got '{text}'.")


def config_options(*names: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Add options of a training to a verb, which gets them as a dictionary in its first argument.

    Parameters
    ----------
    names
        Of `hsi.config.OPTIONS`; default: all that the command line offers.
    """
    chosen = [OPTIONS[name] for name in names or OPTIONS if OPTIONS[name].cli]
    chosen.sort(key=lambda known: GROUPS.index(known.group))

    def decorate(verb: Callable[..., None]) -> Callable[..., None]:
        def command(**given: Any) -> None:
            options = {known.name: given.pop(known.name) for known in chosen}
            if "model_options" in options:
                options["model_options"] = parse_settings(options["model_options"] or [])
            verb(options, **given)

        own = list(inspect.signature(verb, eval_str=True).parameters.values())[1:]
        made = [
            inspect.Parameter(known.name, _KEYWORD, default=None, annotation=_annotation(known))
            for known in chosen
        ]
        parameters = [*made, *(parameter.replace(kind=_KEYWORD) for parameter in own)]
        command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        command.__name__, command.__doc__ = verb.__name__, verb.__doc__
        return command

    return decorate


_KEYWORD = inspect.Parameter.KEYWORD_ONLY

CubeKey = _annotation(OPTIONS["cube_key"])
LabelsKey = _annotation(OPTIONS["labels_key"])
Device = _annotation(OPTIONS["device"])
DataRoot = Annotated[Path | None, option("Scene", "Folder with scene files; else HSI_DATA.")]
EngineOption = Annotated[
    str,
    typer.Option(
        help="Where the work is done: local, or ray: on the machines of the Ray cluster that RAY_ADDRESS "
        "names (hsi-toolkit\\[cluster]).",
        rich_help_panel="Run",
    ),
]
Json = Annotated[
    bool, typer.Option("--json", help="Print one JSON object and nothing else.", rich_help_panel="Run")
]


def parse_settings(settings: list[str]) -> dict[str, Any] | None:
    """Turn ``["levels=[2,2,1]", "axes=hw"]`` into a table; values are TOML, or text where they are not."""
    from hsi.io.text import parse_toml

    table: dict[str, Any] = {}
    for setting in settings:
        key, equals, text = setting.partition("=")
        if not equals or not key.strip():
            raise ConfigError(f"--option wants KEY=VALUE, such as levels=2; got '{setting}'.")
        try:
            table[key.strip()] = parse_toml(f"value = {text}")["value"]
        except ValueError:
            table[key.strip()] = text.strip()
    return table or None


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
        from hsi.sweep.execute import Engine

        yield Engine()
        return
    from hsi.cluster.connect import connected
    from hsi.cluster.remote_runs import RayEngine
    from hsi.commands import screen

    with connected() as machines:
        yield RayEngine(machines, screen.note)


@contextmanager
def tiles_on(name: str, source: SceneSource, tune: bool) -> Iterator[Classify]:
    """Yield what classifies the tiles of a scene, after a measurement or without.

    Nothing may be printed on standard output meanwhile.
    """
    from hsi.inference.predict import BATCH

    batch_size = None if tune else BATCH
    if name == "local":
        from hsi.inference.run import Run

        yield partial(Run.classify, batch_size=batch_size)
        return
    from hsi.cluster.connect import connected
    from hsi.cluster.remote_tiles import RayTiles
    from hsi.commands import screen

    with connected() as machines:
        yield RayTiles(source, machines, screen.note, batch_size=batch_size)
