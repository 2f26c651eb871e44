"""`hsi models`: which networks there are."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from hsi.commands import options as o

MEASURED = ("training_patches_per_second", "inference_patches_per_second")


def models(
    bands: Annotated[int, typer.Option(help="Spectral bands that parameters and MACs are counted at.")] = 200,
    classes: Annotated[int, typer.Option(help="Classes that parameters are counted at.")] = 16,
    patch: Annotated[int, typer.Option(help="Patch width P that MACs are counted at, pixels.")] = 11,
    measure: Annotated[
        bool, typer.Option("--measure", help="Measure patches/s on this machine too (about half a minute).")
    ] = False,
    json: o.Json = False,
) -> None:
    """Show the networks with their parameters and multiply-adds for one patch (default: Indian Pines, P 11).

    \b
      hsi models
      hsi models --bands 103 --classes 9 --patch 17
      hsi models --measure
    """
    from hsi.bench.report import number
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
    if measure:
        _measure(rows, bands, classes, patch)
    if json:
        screen.print_json({"bands": bands, "classes": classes, "patch": patch, "models": rows})
        return
    columns = [
        ("name", False), ("network", False), ("parameters", True), ("MACs (M)", True), ("source", False),
        ("paper", False),
    ]  # fmt: skip
    speeds = [("training, patches/s", True), ("inference, patches/s", True)]
    columns[4:4] = speeds if measure else []
    cells = [
        [
            row["name"],
            row["title"],
            f"{row['params']:,}",
            f"{row['macs'] / 1e6:.1f}",
            *(number(row[kind]) for kind in MEASURED if measure),
            row["provenance"],
            row["paper"],
        ]
        for row in rows
    ]
    title = f"Networks, at {bands} bands, {classes} classes, patch {patch}"
    if measure:
        title += f"; measured here, batch {rows[0]['batch']}, {rows[0]['threads']} threads"
    screen.out().print(screen.table(title, columns, cells))


def _measure(rows: list[dict[str, Any]], bands: int, classes: int, patch: int) -> None:
    """Add the measured speed of each network to its row: medians of a few steps, on all cores or the GPU."""
    from hsi.bench import Scale, make_setting
    from hsi.bench.networks import measure_network
    from hsi.commands import screen

    setting = make_setting()
    scale = Scale(bands=bands, classes=classes, patch=patch, rounds=2, seconds=1.0)
    with screen.err().status("measuring") as status:
        for row in rows:
            status.update(f"measuring {row['name']}")
            measured = measure_network(row["name"], scale, setting, memory=False)
            speeds = [measured[kind]["patches_per_second"] for kind in ("training", "inference")]
            row.update(zip(MEASURED, speeds, strict=True))
            row.update(batch=scale.batch, threads=setting.threads, device=setting.device)
