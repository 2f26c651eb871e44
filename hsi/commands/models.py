"""`hsi models`: which networks there are."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from hsi.commands import options as o


def models(
    bands: Annotated[int, typer.Option(help="Spectral bands that parameters and MACs are counted at.")] = 200,
    classes: Annotated[int, typer.Option(help="Classes that parameters are counted at.")] = 16,
    patch: Annotated[int, typer.Option(help="Patch width P that MACs are counted at, pixels.")] = 11,
    json: o.Json = False,
) -> None:
    """Show the networks with their parameters and multiply-adds for one patch (default: Indian Pines, P 11).

    \b
      hsi models
      hsi models --bands 103 --classes 9 --patch 17
    """
    from hsi.commands import screen
    from hsi.models import build_model, count_macs, list_models, model_entry

    rows: list[dict[str, Any]] = []
    for name in list_models():
        entry = model_entry(name)
        network = build_model(name, bands=bands, classes=classes, patch=patch)
        rows.append(
            {
                "name": entry.name,
                "aliases": list(entry.aliases),
                "title": entry.title,
                "params": sum(p.numel() for p in network.parameters()),
                "macs": count_macs(network, bands=bands, patch=patch),
                "paper": entry.paper,
                "provenance": entry.provenance,
                "options": entry.options,
            }
        )
    if json:
        screen.print_json({"bands": bands, "classes": classes, "patch": patch, "models": rows})
        return
    columns = [
        ("name", False), ("network", False), ("parameters", True), ("MACs (M)", True), ("source", False),
        ("paper", False),
    ]  # fmt: skip
    cells = [
        [
            row["name"],
            row["title"],
            f"{row['params']:,}",
            f"{row['macs'] / 1e6:.1f}",
            row["provenance"],
            row["paper"],
        ]
        for row in rows
    ]
    title = f"Networks, at {bands} bands, {classes} classes, patch {patch}"
    screen.out().print(screen.table(title, columns, cells))
