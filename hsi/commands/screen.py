"""What the command line shows: tables and JSON on standard output, notes on standard error.

Names and notes come from files of others. In tables and notes they are text, never markup, and nothing that
is printed steers the terminal.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from hsi.plain_text import plain

WIDE = 140  # columns where the output is no terminal, so that tables in files are whole


class _PlainConsole(Console):
    """A console that shows control characters in text as escapes; colours of its own stay."""

    def render_str(self, text: str, **options: Any) -> Text:
        return super().render_str(plain(text), **options)


def out() -> Console:
    """Return the console of standard output."""
    return _PlainConsole(width=None if sys.stdout.isatty() else WIDE)


def err() -> Console:
    """Return the console of standard error."""
    return _PlainConsole(stderr=True, width=None if sys.stderr.isatty() else WIDE)


def note(sentence: str) -> None:
    """Say something beside the results, on standard error."""
    said = Text.assemble(("note:", "yellow"), " ", plain(sentence))
    err().print(said, highlight=False, soft_wrap=True)


def print_json(content: Any) -> None:
    """Print one JSON object on standard output."""
    print(json.dumps(content, indent=1, allow_nan=False))


def table(title: str, columns: Iterable[tuple[str, bool]], rows: Iterable[Iterable[object]]) -> Table:
    """Return a table; each column is its header and whether it holds numbers. Text is shown as it is."""
    made = Table(title=Text(plain(title)), title_justify="left", header_style="bold")
    for header, numeric in columns:
        made.add_column(Text(plain(header)), justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        made.add_row(*(Text(plain(str(cell))) for cell in row))
    return made


def percent(fraction: float | None) -> str:
    """Return a fraction x100 with two decimals, "-" where it has no meaning."""
    return "-" if fraction is None or fraction != fraction else f"{100 * fraction:.2f}"
