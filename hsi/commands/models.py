"""`hsi models`: which networks and baselines there are."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from hsi.commands import options as o


def models(
    bands: Annotated[
        int, typer.Option(help="Spectral bands that parameters and MACs are counted at.", metavar="N")
    ] = 200,
    classes: Annotated[int, typer.Option(help="Classes that parameters are counted at.", metavar="N")] = 16,
    patch: Annotated[
        int, typer.Option(help="Patch width P that MACs are counted at, pixels.", metavar="P")
    ] = 11,
    measure: Annotated[
        bool, typer.Option("--measure", help="Measure patches/s on this machine anew (about a minute).")
    ] = False,
    json: o.Json = False,
) -> None:
    """Show the networks with their parameters and multiply-adds for one patch (default: Indian Pines, P 11).

    Below them stand the baselines: what the field compares with. Those that are fitted in one go have neither
    parameters nor multiply-adds to count. Patches/s are those last measured on this machine, by --measure or
    by hsi bench.

    \b
      hsi models
      hsi models --bands 103 --classes 9 --patch 17
      hsi models --measure
    """
    from hsi.commands import screen
    from hsi.models import build_model, cost_of, list_models, model_entry

    rows: list[dict[str, Any]] = []
    for name in list_models():
        entry = model_entry(name)
        network = build_model(name, bands=bands, classes=classes, patch=patch)
        rows.append(
            {
                "name": entry.name,
                "aliases": list(entry.aliases),
                "title": entry.title,
                "baseline": entry.baseline,
                **cost_of(network, bands=bands, patch=patch),
                "paper": entry.paper,
                "provenance": entry.provenance,
                "options": entry.options,
            }
        )
    _add_speeds(rows, bands, classes, patch, measure)
    if json:
        screen.print_json({"bands": bands, "classes": classes, "patch": patch, "models": rows})
        return
    for kind, baseline in (("Networks", False), ("Baselines", True)):
        shown = [row for row in rows if row["baseline"] == baseline]
        if shown:
            title = f"{kind}, at {bands} bands, {classes} classes, patch {patch}"
            screen.out().print(_table(title, shown))
    if not any("device" in row for row in rows):
        screen.note("Patches/s have not been measured here at these sizes; hsi models --measure does it.")


def _table(title: str, rows: list[dict[str, Any]]) -> Any:
    from hsi.bench.summary import SPEEDS, rounded
    from hsi.commands import screen

    columns = [
        ("name", False), ("network", False), ("parameters", True), ("MACs (M)", True), ("source", False),
        ("paper", False),
    ]  # fmt: skip
    speeds = [row for row in rows if "device" in row]
    if speeds:
        columns[4:4] = [("training, patches/s", True), ("inference, patches/s", True)]
        title += f"; measured here, batch {speeds[0]['batch']}, {speeds[0]['threads']} threads"
    cells = [
        [
            row["name"],
            row["title"],
            "-" if row["params"] is None else f"{row['params']:,}",
            "-" if row["macs"] is None else f"{row['macs'] / 1e6:.1f}",
            *(rounded(row.get(kind)) for kind in SPEEDS if speeds),
            row["provenance"],
            row["paper"],
        ]
        for row in rows
    ]
    return screen.table(title, columns, cells)


def _add_speeds(rows: list[dict[str, Any]], bands: int, classes: int, patch: int, measure: bool) -> None:
    """Add the speed of each network on this machine to its row: as remembered, or measured now.

    What has no parameters has no training steps to measure.
    """
    from hsi.bench import Scale, make_setting
    from hsi.bench.networks import measure_network
    from hsi.bench.summary import load_speeds, save_speed
    from hsi.commands import screen

    setting = make_setting()
    scale = Scale(bands=bands, classes=classes, patch=patch, rounds=2, seconds=1.0)
    known = load_speeds(scale, setting)
    if not measure:
        for row in rows:
            row.update(known.get(row["name"], {}))
        return
    with screen.err().status("measuring") as status:
        for row in (row for row in rows if row["params"] is not None):
            status.update(f"measuring {row['name']}")
            measured = measure_network(row["name"], scale, setting, memory=False)
            row.update(save_speed(row["name"], measured, scale, setting))
