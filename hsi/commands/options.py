"""Options that several verbs share, and the engines; options of a training come from `hsi.config.OPTIONS`."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from textwrap import fill, wrap
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from hsi.config import GROUPS, OPTIONS, PRESETS, PROTOCOLS, Option
from hsi.errors import ConfigError, RunError, unknown

if TYPE_CHECKING:
    from rich.text import Text

    from hsi.inference.ensemble import Classify
    from hsi.inference.scene_map import SceneSource
    from hsi.sweep.execute import Engine


MOST_USED = ("model", "dataset", "protocol", "preset", "seed")
"""Options of a training that stand on top of its help, since a first run needs no others."""


def option(panel: str, help: str, *flags: str, metavar: str | None = None) -> Any:
    """Return an option that has no default of its own, shown in a panel of the help."""
    return typer.Option(*flags, help=help, metavar=metavar, show_default=False, rich_help_panel=panel)


def choice(choices: Iterable[str], help: str, panel: str | None = None) -> Any:
    """Return an option that takes one of some words; the help and the shell's completion list them."""
    words = list(choices)
    completion: Any = {"metavar": "|".join(words), "autocompletion": lambda: words}
    return typer.Option(help=help, rich_help_panel=panel, **completion)


def _annotation(known: Option, required: str = "Required.") -> Any:
    """Return the command-line parameter of an option of a training."""
    default = required if known.name in ("model", "dataset") else _default(known)
    panel = "Most used" if known.name in MOST_USED else known.group
    details: dict[str, Any] = {"rich_help_panel": panel, "show_default": False}
    details["help"] = f"{known.help} {default}".strip()
    details["metavar"] = _METAVARS.get(known.name) or "|".join(known.choices) or _KINDS.get(known.kind)
    if known.choices:
        details["autocompletion"] = lambda: list(known.choices)
    if known.name == "batch":
        return Annotated[Any, typer.Option(*known.flags, parser=_batch, **details)]
    kind = list[str] if known.kind in (dict, list) else known.kind
    return Annotated[kind | None, typer.Option(*known.flags, **details)]


_KINDS = {int: "N", float: "X", str: "TEXT"}
_METAVARS = {
    "model": "NAME", "dataset": "SCENE", "labels": "FILE", "cube_key": "NAME", "labels_key": "NAME",
    "split_mask": "NAME", "train_mask": "FILE[:KEY]", "test_mask": "FILE[:KEY]", "split": "FILE",
    "bands": "LIST", "batch": "N|auto", "model_options": "KEY=VALUE", "patch": "P", "test_scene": "SCENE",
    "library": "FILE",
}  # fmt: skip


def _default(known: Option) -> str:
    """Return the default for the help text, by protocol and preset where they differ; empty without one."""
    if known.name == "protocol":
        return "Default: paper for a benchmark scene, else disjoint."
    if known.name == "preset":
        return "Default: demo for the scene demo, else none."
    if known.name == "scheme":
        return "Default: as --protocol; mask for a scene.toml with test_labels."
    by_protocol = {name: options.get(known.name, known.default) for name, options in PROTOCOLS.items()}
    by_preset = {name: options[known.name] for name, options in PRESETS.items() if known.name in options}
    defaults = {name: _word(value) for name, value in by_protocol.items() if _word(value)}
    words = set(defaults.values())
    if len(words) == 1:
        defaults = {"": words.pop()}
        by_preset = {name: value for name, value in by_preset.items() if _word(value) != defaults[""]}
    names: dict[str, list[str]] = {}
    for name, word in [*defaults.items(), *((name, _word(value)) for name, value in by_preset.items())]:
        names.setdefault(word, []).append(name)
    shown = [f"{word} ({', '.join(those)})" if any(those) else word for word, those in names.items()]
    return f"Default: {', '.join(shown)}." if shown else ""


def _word(value: object) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, str | int | float):
        return f"{value:g}" if isinstance(value, float) else str(value)
    return ""


def _batch(text: str) -> int | str:
    if text.isdecimal() or text == "auto":
        return text if text == "auto" else int(text)
    raise typer.BadParameter(f"give a whole number of patches, or auto; got '{text}'.")


def config_options(
    *names: str, required: str = "Required."
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Add options of a training to a verb, which gets them as a dictionary in its first argument.

    Parameters
    ----------
    names
        Of `hsi.config.OPTIONS`; default: all that the command line offers.
    required
        What the help says of those that have no default.
    """
    chosen = [OPTIONS[name] for name in names or OPTIONS if OPTIONS[name].cli]
    chosen.sort(key=_place)

    def decorate(verb: Callable[..., None]) -> Callable[..., None]:
        def command(**given: Any) -> None:
            options = {known.name: given.pop(known.name) for known in chosen}
            if "model_options" in options:
                options["model_options"] = parse_settings(options["model_options"] or [])
            for known in chosen:  # of one or several, as they are written in a TOML file
                if known.kind is list:
                    values = options[known.name] or [None]
                    options[known.name] = values if len(values) > 1 else values[0]
            verb(options, **given)

        own = list(inspect.signature(verb, eval_str=True).parameters.values())[1:]
        made = [
            inspect.Parameter(known.name, _KEYWORD, default=None, annotation=_annotation(known, required))
            for known in chosen
        ]
        parameters = [*made, *(parameter.replace(kind=_KEYWORD) for parameter in own)]
        command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        command.__name__, command.__doc__ = verb.__name__, verb.__doc__
        return command

    return decorate


def _place(known: Option) -> tuple[int, int]:
    """Return where the help shows an option: those that most people need first, then by group."""
    if known.name in MOST_USED:
        return -1, MOST_USED.index(known.name)
    return GROUPS.index(known.group), 0


_KEYWORD = inspect.Parameter.KEYWORD_ONLY

CubeKey = _annotation(OPTIONS["cube_key"])
LabelsKey = _annotation(OPTIONS["labels_key"])
Device = _annotation(OPTIONS["device"])
Smooth = Annotated[
    str | None,
    choice(
        OPTIONS["smooth"].choices,
        "Smooth the map, within regions. Default: as the run was trained with; what that has not fitted is "
        "fitted on its validation pixels.",
        "Map",
    ),
]
Coverage = Annotated[
    float | None,
    option(
        "Map",
        "Prediction sets that hold the true class at this rate on validation land, such as 0.9.",
        metavar="SHARE",
    ),
]
Reject = Annotated[
    float | None,
    option(
        "Map",
        "Leave out, as not recognised, pixels that look least like training ones: as many as would be this "
        "share of validation land, such as 0.05.",
        metavar="SHARE",
    ),
]
DataRoot = Annotated[
    Path | None, option("Scene", "Folder with scene files. Default: what HSI_DATA names.", metavar="DIR")
]
ENGINES = ("local", "ray")
EngineOption = Annotated[
    str,
    choice(
        ENGINES,
        "Where the work is done: on this machine, or on the Ray cluster that RAY_ADDRESS names (needs "
        "hsi-toolkit[cluster]).",
        "Run",
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


def newest_run() -> Path:
    """Return the run in ``./runs``, or in a folder there, that was finished last, and say which it is.

    Raises
    ------
    RunError
        When there is none.
    """
    from hsi.commands import screen

    finished = [
        metrics
        for pattern in ("*/metrics.json", "*/*/metrics.json")
        for metrics in Path("runs").glob(pattern)
        if (metrics.parent / "config.toml").is_file()
    ]
    if not finished:
        raise RunError(
            "There is no finished run in ./runs; name a run folder, or train one first: "
            "hsi train --model wcnet --dataset demo"
        )
    newest = max(finished, key=lambda metrics: (metrics.stat().st_mtime_ns, str(metrics))).parent
    screen.note(f"This is the newest run, {newest}.")
    return newest


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


class _Help:
    """The help page of a verb, for 80 columns and more: nothing is cut, and no example is broken.

    Texts are shown as they are written, brackets too. What stands after a line with only a backspace
    character, as in the docstrings of the verbs, is a list of commands.
    """

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Print the page: usage, what the verb does, examples, then arguments and options by panel."""
        from rich.console import Console
        from rich.text import Text

        command: Any = self
        console = Console(highlight=False, markup=False, emoji=False)
        width = min(console.width, _WIDEST)

        def show(text: str | Text) -> None:
            console.print(text, soft_wrap=True)

        arguments = [one for one in command.params if one.param_type_name == "argument" and not one.hidden]
        words = [metavar_of(one) + ("..." if one.nargs != 1 else "") for one in arguments]
        words = [word if one.required else f"[{word}]" for one, word in zip(arguments, words, strict=True)]
        verbs = getattr(command, "commands", {})
        words += ["[OPTIONS]", *(["VERB ..."] if verbs else [])]
        show(Text.assemble(("Usage: ", "bold"), f"{ctx.command_path} {' '.join(words)}"))
        for paragraph in re.split(r"\n\s*\n", inspect.cleandoc(command.help or "")):
            if paragraph.startswith("\b"):
                lines = inspect.cleandoc(paragraph.lstrip("\b").lstrip("\n")).splitlines()
                show("")
                for line in lines:
                    show(Text(f"  {line}", "cyan"))
            elif paragraph:
                show("\n" + fill(" ".join(paragraph.split()), width, break_on_hyphens=False))
        panels: dict[str, list[tuple[str, str, str]]] = {name: [] for name in _PANELS}
        for name, verb in verbs.items():
            panels["Verbs"].append((name, "", (verb.help or "").strip().partition("\n")[0]))
        for one in arguments:
            panels["Arguments"].append((metavar_of(one), "", _sentences(one)))
        last: list[tuple[str, str, str]] = []
        for one in command.get_params(ctx):
            if one.param_type_name == "option" and not one.hidden:
                flags = ", ".join(sorted(one.opts, key=len) if "--help" in one.opts else one.opts)
                flags += "".join(f" / {flag}" for flag in one.secondary_opts)
                row = flags, "" if one.is_flag else metavar_of(one), _sentences(one)
                panel = panels[getattr(one, "rich_help_panel", None) or "Options"]
                (last if "--help" in one.opts else panel).append(row)
        panels = {name: rows for name, rows in panels.items() if rows}
        panels.setdefault(next(reversed(panels), "Options") if not verbs else "Options", []).extend(last)
        names = [len(f"{flags} {taken}") + 4 for rows in panels.values() for flags, taken, _ in rows]
        left = max(size for size in names if size <= _LEFT)
        for name, rows in panels.items():
            show(Text(f"\n{name}", "bold"))
            for row in rows:
                for text in _row(*row, left, width):
                    show(text)


_PANELS = ("Verbs", "Arguments", "Most used", "Options", "Labels", *GROUPS)
_LEFT = 30  # columns at most of an option's name and what it takes, beside the text
_WIDEST = 110  # columns; longer lines are hard to read


def metavar_of(parameter: Any) -> str:
    """Return the word that stands for the value of an option or argument in the help."""
    return parameter.metavar or str(parameter.name).upper()


def _sentences(parameter: Any) -> str:
    """Return the help text of a parameter, with the default where the text does not say it."""
    help, default = " ".join((parameter.help or "").split()), parameter.default
    if parameter.required and parameter.param_type_name == "option":
        return f"{help} Required."
    if default is None or callable(default) or not parameter.show_default or default in ((), [], False):
        return help
    return f"{help} Default: {_word(default) or default}."


def _row(flags: str, taken: str, help: str, left: int, width: int) -> Iterator[Text]:
    """Yield the lines of one option; where its name is long, the text begins on the next line."""
    from rich.text import Text

    name = Text.assemble("  ", (flags, "cyan"), " " if taken else "", (taken, "yellow"))
    lines = wrap(help, width - left, break_on_hyphens=False, break_long_words=False)
    if len(name) + 2 > left or not lines:
        yield name
    else:
        name.pad_right(left - len(name))
        yield name + lines.pop(0)
    for line in lines:
        yield Text(" " * left + line)


class Verb(_Help, TyperCommand):
    """A verb with such a help page."""

    def invoke(self, ctx: Any) -> Any:
        """Run the verb; what is said of files meanwhile names options that only ``hsi scene new`` has so."""
        from hsi.commands.screen import OPTIONS_ELSEWHERE

        OPTIONS_ELSEWHERE.clear()
        describe = getattr(ctx.find_root().command, "commands", {}).get("scene")
        if describe is not None:
            files = [
                one
                for one in describe.commands["new"].params
                if getattr(one, "rich_help_panel", None) in ("Labels", "Scene")
            ]
            mine = {flag for one in self.params for flag in one.opts}
            OPTIONS_ELSEWHERE.update({flag for one in files for flag in one.opts} - mine)
        return super().invoke(ctx)


class Verbs(_Help, TyperGroup):
    """A command that has verbs, with such a help page."""
