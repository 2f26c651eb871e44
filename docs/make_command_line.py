"""The reference of the command line as Markdown, from the command itself: every verb with its options."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from typing import Any

import typer

from hsi.commands.app import app
from hsi.commands.options import metavar_of


def command_line() -> str:
    """Return a section for each verb: what it does, examples, arguments, options."""
    return "\n".join(line for path, command in commands() for line in _section(path, command)) + "\n"


def commands() -> Iterator[tuple[str, Any]]:
    """Yield each command with the words that call it: ``hsi``, ``hsi train``, ``hsi scene new``."""
    pending = [("hsi", typer.main.get_command(app))]
    while pending:
        path, command = pending.pop(0)
        yield path, command
        pending[:0] = [(f"{path} {name}", one) for name, one in getattr(command, "commands", {}).items()]


def flags_of(command: Any) -> set[str]:
    """Return every spelling of a command's options, ``--help`` included."""
    options = [one for one in command.params if one.param_type_name == "option"]
    spelt = {flag for option in options for flag in (*option.opts, *option.secondary_opts)}
    return spelt | {"--help", "-h"}


def _section(path: str, command: Any) -> Iterator[str]:
    yield from ("", f"## {path}", "")
    yield from _described(command.help or "")
    arguments = [one for one in command.params if one.param_type_name == "argument"]
    if arguments:
        yield from ("", "| argument | what it is |", "|---|---|")
        for one in arguments:
            yield f"| `{one.name.upper()}{'...' if one.nargs != 1 else ''}` | {_cell(one.help)} |"
    panels: dict[str, list[Any]] = {}
    for one in command.params:
        if one.param_type_name == "option" and not one.hidden:
            panels.setdefault(getattr(one, "rich_help_panel", None) or "Options", []).append(one)
    for panel, options in panels.items():
        yield from ("", f"**{panel}**", "", "| option | value | what it does |", "|---|---|---|")
        for one in options:
            spelt = ", ".join(f"`{flag}`" for flag in (*one.opts, *one.secondary_opts))
            needed = " *Required.*" if one.required else ""
            yield f"| {spelt} | {_value(one)} | {_cell(one.help)}{_default(one)}{needed} |"


def _described(text: str) -> Iterator[str]:
    r"""Yield the paragraphs of a help text; those that start with ``\b`` are commands, shown as code."""
    for paragraph in re.split(r"\n\s*\n", inspect.cleandoc(text)):
        if paragraph.startswith("\b"):
            code = inspect.cleandoc(paragraph.lstrip("\b").lstrip("\n"))
            yield from ("", "```text", code, "```", "")
        else:
            yield from (_escaped(" ".join(paragraph.split())), "")


def _value(option: Any) -> str:
    """Return what an option takes, as its help calls it; empty for a flag."""
    return "" if option.is_flag else _cell(metavar_of(option).replace("|", " or "))


def _default(option: Any) -> str:
    value = option.default
    if option.is_flag or value is None or callable(value) or not option.show_default or value in ([], ()):
        return ""
    return f" Default: `{value}`."


def _cell(text: str | None) -> str:
    return _escaped(" ".join((text or "").split()))


def _escaped(text: str) -> str:
    """Return text whose characters mean nothing to Markdown, inside a table too."""
    return re.sub(r"([\\`*_\[\]|<])", r"\\\1", text)
