"""What the names of an experiment stand for: scenes, protocols, models, from its TOML file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from experiments.pages.overview import PLAIN
from experiments.pages.table import Cell
from hsi.datasets.catalogue.published_masks import list_masks
from hsi.io.text import read_toml

NOT_SHOWN = ("model", "dataset", "scheme", "split_mask")
"""Keys that are said in words, or by the name itself."""


def settings(path: Path) -> dict[str, str]:
    """Return, for each model that sets options, what it sets, as on the command line."""
    models = read_toml(path).get("models", {}) if path.is_file() else {}
    said = {label: in_words(options) for label, options in models.items()}
    return {label: text for label, text in said.items() if text}


def in_words(options: Mapping[str, Any]) -> str:
    """Return options as they are written on the command line: ``--epochs 40 --no-augment``."""
    words = []
    for name, value in options.items():
        flag = name.replace("_", "-")
        if name in NOT_SHOWN:
            continue
        if isinstance(value, bool):
            words.append(f"--{flag}" if value else f"--no-{flag}")
        elif isinstance(value, dict):
            words += [f"--option {key}={inner}" for key, inner in value.items()]
        else:
            words.append(f"--{flag} {value:g}" if isinstance(value, int | float) else f"--{flag} {value}")
    return " ".join(words)


def chapter(cells: Sequence[Cell], path: Path, schemes: Mapping[str, str]) -> list[str]:
    """Return a list that explains the names of scenes, protocols and models; empty without the TOML file."""
    if not path.is_file():
        return []
    table = read_toml(path)
    lines = []
    for scene in dict.fromkeys(cell.scene for cell in cells):
        options = table.get("scenes", {}).get(scene)
        if options:
            description = path.parent / str(options.get("dataset", ""))
            title = str(read_toml(description).get("title", "")) if description.is_file() else ""
            lines.append(_line("scene", scene, title, in_words(options)))
    for protocol in dict.fromkeys(cell.protocol for cell in cells):
        options = table.get("protocols", {}).get(protocol)
        if options:
            row = next(cell for cell in cells if cell.protocol == protocol).rows[0]
            mask = _mask(row["split_mask"], int(row["test_pixels"])) if row["split_mask"] else ""
            words = mask or schemes.get(row["scheme"], row["scheme"]).lower()
            lines.append(_line("split", protocol, words, in_words(options)))
    for label in dict.fromkeys(cell.label for cell in cells):
        options = table.get("models", {}).get(label, {})
        if options.get("model", label) == label:
            continue
        if label.endswith(PLAIN):  # what its plain self does without is the same for all
            continue
        lines.append(_line("model", label, f"`{options['model']}`", in_words(options)))
    plains = {
        tuple(sorted(_more(table["models"], label).items()))
        for label in {cell.label for cell in cells}
        if label.endswith(PLAIN) and label in table.get("models", {})
    }
    lines += [_line("models", f"A{PLAIN}", "A", in_words(dict(options))) for options in sorted(plains)]
    if not lines:
        return []
    return ["Names: what stands behind a name is set on top of the settings of all.\n", *lines, ""]


def _more(models: Mapping[str, Any], label: str) -> dict[str, Any]:
    """Return the options of a model that the one of its label without ``-plain`` does not have."""
    base = models.get(label.removesuffix(PLAIN), {})
    return {
        name: value
        for name, value in models[label].items()
        if name not in NOT_SHOWN and base.get(name) != value
    }


def _mask(name: str, test_pixels: int) -> str:
    """Return the title of a published mask, which the number of its test pixels tells from its namesakes."""
    titles = [
        mask.title
        for mask in list_masks()
        if mask.name == name and any(labels.test == test_pixels for labels in mask.label_maps)
    ]
    return titles[0] if titles else f"published mask {name}"


def _line(kind: str, name: str, words: str, options: str) -> str:
    return f"- {kind} `{name}`: {', '.join(filter(None, (words, f'`{options}`' if options else '')))}"
