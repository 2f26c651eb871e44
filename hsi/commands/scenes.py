"""`hsi scenes`: which scenes there are."""

from __future__ import annotations

from typing import Any

from hsi.commands import options as o


def scenes(data_root: o.DataRoot = None, json: o.Json = False) -> None:
    """Show the scenes that have a name: size, bands, classes, and whether the files are on this machine.

    \b
      hsi scenes
      hsi scenes --data-root /data/hyperspectral --json
    """
    from hsi.commands import screen
    from hsi.datasets import is_on_disk, list_masks, list_scenes

    scenes: list[dict[str, Any]] = []
    for entry in list_scenes():
        made = entry.make() if entry.make else None  # an embedded scene is its own best description
        scenes.append(
            {
                "name": entry.name,
                "aliases": list(entry.aliases),
                "title": entry.title,
                "sensor": entry.sensor,
                "shape": list(made.cube.shape if made else entry.shape or ()),
                "classes": made.classes if made else len(entry.class_names),
                "labelled": len(made.labelled) if made else sum(entry.class_counts),
                "synthetic": entry.synthetic,
                "embedded": made is not None,
                "on_disk": is_on_disk(entry, data_root),
                "masks": [mask.name for mask in list_masks() if mask.scene == entry.name],
                "source": entry.source,
                "terms": entry.terms,
            }
        )
    if json:
        screen.print_json({"scenes": scenes})
        return
    columns = [
        ("name", False), ("also", False), ("scene", False), ("sensor", False), ("rows x cols", True),
        ("bands", True), ("classes", True), ("labelled", True), ("masks", False),
        ("on disk", False),
    ]  # fmt: skip
    rows = [
        [
            scene["name"],
            ", ".join(scene["aliases"]),
            scene["title"],
            scene["sensor"],
            " x ".join(str(size) for size in scene["shape"][:2]) or "-",
            *(scene["shape"][2:] or ["-"]),
            scene["classes"] or "-",
            scene["labelled"] or "-",
            ", ".join(scene["masks"]) or "-",
            "embedded" if scene["embedded"] else "yes" if scene["on_disk"] else "no",
        ]
        for scene in scenes
    ]
    screen.out().print(screen.table("Scenes", columns, rows))
    hint = "Get one: hsi download NAME. A scene of your own: hsi scene new CUBE LABELS."
    screen.out().print(hint, highlight=False)
