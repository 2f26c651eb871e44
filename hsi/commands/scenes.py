"""`hsi scenes`: which scenes there are."""

from __future__ import annotations

from hsi.commands import options as o


def scenes(data_root: o.DataRoot = None, json: o.Json = False) -> None:
    """Show the scenes that have a name: size, bands, classes, and whether the files are on this machine.

    \b
      hsi scenes
      hsi scenes --data-root /data/hyperspectral --json
    """
    from hsi.commands import screen
    from hsi.datasets import is_on_disk, list_scenes

    entries = list_scenes()
    if json:
        screen.print_json(
            {
                "scenes": [
                    {
                        "name": entry.name,
                        "aliases": list(entry.aliases),
                        "title": entry.title,
                        "sensor": entry.sensor,
                        "shape": None if entry.shape is None else list(entry.shape),
                        "classes": len(entry.class_names),
                        "labelled": sum(entry.class_counts),
                        "synthetic": entry.synthetic,
                        "on_disk": is_on_disk(entry, data_root),
                        "source": entry.source,
                        "terms": entry.terms,
                    }
                    for entry in entries
                ]
            }
        )
        return
    columns = [
        ("name", False), ("also", False), ("scene", False), ("sensor", False), ("rows x cols", True),
        ("bands", True), ("classes", True), ("labelled", True), ("on disk", False),
    ]  # fmt: skip
    rows = []
    for entry in entries:
        rows_cols, bands = ("-", "-")
        if entry.shape is not None:
            rows_cols, bands = f"{entry.shape[0]} x {entry.shape[1]}", str(entry.shape[2])
        there = "embedded" if entry.make else "yes" if is_on_disk(entry, data_root) else "no"
        classes, labelled = len(entry.class_names) or "-", sum(entry.class_counts) or "-"
        names = ", ".join(entry.aliases)
        rows.append(
            [entry.name, names, entry.title, entry.sensor, rows_cols, bands, classes, labelled, there]
        )
    screen.out().print(screen.table("Scenes", columns, rows))
    hint = "Get one: hsi download NAME. A scene of your own: hsi train --dataset scene.toml."
    screen.out().print(hint, highlight=False)
