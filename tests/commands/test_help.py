"""The help pages as users read them: whole at every width, with real words for what an option takes."""

import inspect
import re
import subprocess
import sys
from itertools import pairwise

import pytest
import typer

from hsi.commands.app import app, run
from hsi.config import OPTIONS, PRESETS, PROTOCOLS

WIDTHS = (80, 100, 120)


def commands(path=(), command=None):
    """Yield every command with the words that call it."""
    command = command or typer.main.get_command(app)
    yield path, command
    for name, one in getattr(command, "commands", {}).items():
        yield from commands((*path, name), one)


COMMANDS = {" ".join(("hsi", *path)): (path, command) for path, command in commands()}


@pytest.fixture
def page(capsys, monkeypatch):
    """Return the help page of a command at a width."""

    def shown(path, width):
        monkeypatch.setenv("COLUMNS", str(width))
        assert run([*path, "--help"]) == 0
        return capsys.readouterr().out

    return shown


def squeezed(text):
    return "".join(text.split())


def examples(command):
    """Return the lines of a docstring that are commands, as they are written there."""
    parts = re.split(r"\n\s*\n", inspect.cleandoc(command.help or ""))
    return [line.strip() for part in parts if part.startswith("\b") for line in part.splitlines()[1:]]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_word_is_shown_at_every_width(name, page):
    path, command = COMMANDS[name]
    for width in WIDTHS:
        shown = page(path, width)
        assert all(len(line) <= width for line in shown.splitlines()), width
        assert "…" not in shown
        texts = [part for part in re.split(r"\n\s*\n", command.help or "") if not part.startswith("\b")]
        texts += [one.help for one in command.params if one.help]
        for text in texts:
            assert squeezed(text) in squeezed(shown), (width, text)
        lines = [line.strip() for line in shown.splitlines()]
        for example in examples(command):
            assert example in lines, (width, example)


@pytest.mark.parametrize("name", COMMANDS)
def test_no_type_of_python_and_no_markup_is_left(name, page):
    path, _ = COMMANDS[name]
    assert not re.search(r"<\w|\\\[|\[required\]|\[default", page(path, 80))


@pytest.mark.parametrize("name", COMMANDS)
def test_every_flag_is_shown_and_what_it_takes(name, page):
    path, command = COMMANDS[name]
    shown = page(path, 80)
    for one in command.params:
        if one.param_type_name == "option":
            for flag in (*one.opts, *one.secondary_opts):
                assert re.search(rf"(?<![\w-]){flag}(?![\w-])", shown), flag
            assert one.is_flag or one.metavar, one.name


def test_paragraphs_are_filled(page):
    """Line breaks of the source do not survive: only the last line of a paragraph may be short."""
    for path, command in COMMANDS.values():
        lines = [line.rstrip() for line in page(path, 80).splitlines()]
        for line, after in pairwise(lines):
            if line and after and not line.startswith((" ", "Usage:")) and not after.startswith(" "):
                assert len(line) + 1 + len(after.split()[0]) > 80, (command.name, line)


def test_train_opens_with_what_most_people_need(page):
    shown = page(["train"], 80)
    headings = [line for line in shown.splitlines() if re.fullmatch(r"[A-Z][a-z]+( [a-z]+)?", line)]
    assert headings == ["Most used", "Scene", "Split", "Patches", "Training", "Map", "Run"]
    first = shown[shown.index("\nMost used") : shown.index("\nScene")]
    flags = re.findall(r"^  (--[a-z-]+)", first, re.MULTILINE)
    assert flags == ["--model", "--dataset", "--protocol", "--preset", "--seed"]
    assert squeezed(first).count("Required,unless--configor--resumegivesit.") == 2


def test_choices_and_defaults_are_in_the_help_of_train(page):
    shown = squeezed(page(["train"], 80))
    for option in OPTIONS.values():
        if not option.cli:
            continue
        flag = option.flags[-1] if option.flags else "--" + option.name.replace("_", "-")
        text = shown[shown.index(f"{flag}{'|'.join(option.choices)}" if option.choices else flag) :]
        own = text[: text.index(squeezed(option.help)) + len(squeezed(option.help)) + 90]
        values = {str(options[option.name]) for options in PROTOCOLS.values() if option.name in options}
        if option.name == "scheme" or option.kind is bool:
            continue
        for value in values | {str(options.get(option.name, "")) for options in PRESETS.values()}:
            assert value in own, (option.name, value)


def test_completion_knows_the_choices():
    """Shells complete what the type column lists."""
    for _, command in COMMANDS.values():
        for one in command.params:
            if re.fullmatch(r"[a-z0-9-]+(\|[a-z0-9-]+)+", one.metavar or ""):
                context = typer.Context(command)
                found = {item.value for item in one.shell_complete(context, "")}
                assert found == set(one.metavar.split("|")), one.name


def test_help_of_train_imports_no_torch():
    code = "from hsi.commands.app import run; run(['train', '--help'])"
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", code], capture_output=True, text=True, check=True
    )
    loaded = {line.split("|")[-1].strip() for line in done.stderr.splitlines() if "|" in line}
    assert not loaded & {"torch", "scipy", "numpy", "sklearn"}
