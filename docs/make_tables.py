"""Tables of what there is, as Markdown, from the catalogue of scenes and the registry of networks."""

from __future__ import annotations

from collections.abc import Iterable

from hsi.datasets import list_masks, list_scenes
from hsi.models import list_models, model_entry


def scenes() -> str:
    """Return the scenes that have a name."""
    rows = []
    for entry in list_scenes():
        made = entry.make() if entry.make else None
        shape = made.cube.shape if made else entry.shape
        rows.append(
            (
                f"`{entry.name}`",
                ", ".join(entry.aliases),
                entry.title,
                entry.sensor,
                " x ".join(map(str, shape)) if shape else "",
                made.classes if made else len(entry.class_names),
                f"{len(made.labelled) if made else sum(entry.class_counts):,}",
                entry.terms,
            )
        )
    heads = ("name", "also", "scene", "sensor", "rows x cols x bands", "classes", "labelled pixels", "terms")
    return _table(heads, rows)


def masks() -> str:
    """Return the published masks that have a name."""
    rows = [
        (
            f"`{mask.name}`",
            f"`{mask.scene}`",
            mask.title,
            " ".join(f"<{url}>" for url in mask.sources),
            mask.pitfall,
        )
        for mask in list_masks()
    ]
    return _table(("mask", "scene", "what it is", "source", "a trap"), rows)


def models() -> str:
    """Return the networks and baselines, with the options that each has of its own."""
    rows = []
    for name in list_models():
        entry = model_entry(name)
        options = ", ".join(f"`{option}={default}`" for option, default in entry.options.items())
        rows.append((f"`{entry.name}`", entry.title, entry.paper, entry.provenance, options))
    return _table(("name", "what it is", "paper", "made from", "`--option KEY=VALUE`, with defaults"), rows)


def _table(heads: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    lines = [tuple(heads), *rows]
    text = [f"| {' | '.join(str(cell).replace('|', '/') for cell in line)} |" for line in lines]
    return "\n".join([text[0], "|---" * len(lines[0]) + "|", *text[1:]])
