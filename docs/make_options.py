"""Write docs/reference/options.md, the table of all options of a training, from `hsi.config.OPTIONS`.

``python docs/make_options.py`` writes it; with ``--check`` it ends with status 1 where the page is stale.
"""

from __future__ import annotations

import sys
from pathlib import Path

from msgspec import NODEFAULT

from hsi.config import GROUPS, OPTIONS, PRESETS, PROTOCOLS, Option

PAGE = Path(__file__).parent / "reference" / "options.md"


def page() -> str:
    """Return the page as Markdown."""
    lines = [
        "# Options of a training",
        "",
        "Each can stand in a TOML file (`hsi train --config FILE`) under its name, or on the command line",
        "(`scale_on` is `--scale-on` there). The command line wins over the file, the file over `--preset`,",
        "the preset over `--protocol`. The resolved options are in the run's `config.toml`. This page is",
        "written by `docs/make_options.py`.",
    ]
    for group in GROUPS:
        lines += ["", f"## {group}", "", "| option | value | default | what it does |", "|---|---|---|---|"]
        lines += [_row(option) for option in OPTIONS.values() if option.group == group]
    lines += ["", "## Protocols and presets", "", "| option | " + " | ".join(_columns()) + " |"]
    lines.append("|---" * (1 + len(_columns())) + "|")
    names = dict.fromkeys(name for values in _columns().values() for name in values)
    for name in names:
        cells = " | ".join(_shown(values.get(name)) for values in _columns().values())
        lines.append(f"| `{name}` | {cells} |")
    return "\n".join(lines) + "\n"


def _columns() -> dict[str, dict[str, object]]:
    protocols = {f"`--protocol {name}`": values for name, values in PROTOCOLS.items()}
    return {**protocols, **{f"`--preset {name}`": values for name, values in PRESETS.items()}}


def _row(option: Option) -> str:
    name = ", ".join(f"`{word}`" for word in (option.name, *option.flags))
    expected = option.expected.replace("|", "\\|")
    return f"| {name} | {expected} | {_shown(option.default)} | {option.help.replace('|', '/')} |"


def _shown(value: object) -> str:
    if value is None or value is NODEFAULT:
        return ""
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def main(arguments: list[str]) -> int:
    """Write the page, or check it; return the exit status."""
    text = page()
    if arguments == ["--check"]:
        stale = not PAGE.is_file() or PAGE.read_text(encoding="utf-8") != text
        if stale:
            print("docs/reference/options.md is stale; run 'python docs/make_options.py'.", file=sys.stderr)
        return int(stale)
    PAGE.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
