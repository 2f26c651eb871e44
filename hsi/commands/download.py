"""`hsi download`: fetch and verify scene files."""

from __future__ import annotations

from typing import Annotated

import typer

from hsi.commands import options as o


def download(
    names: Annotated[
        list[str], typer.Argument(help="Short names of scenes (hsi scenes).", show_default=False)
    ],
    force: Annotated[bool, typer.Option("--force", help="Fetch again what is there already.")] = False,
    data_root: o.DataRoot = None,
    json: o.Json = False,
) -> None:
    """Fetch scene files from several mirrors, verified; an interrupted download goes on where it stopped.

    \b
      hsi download IN UP KSC
      hsi download SA --data-root /data/hyperspectral
    """
    from hsi.commands import screen
    from hsi.commands.transfer import TransferProgress
    from hsi.datasets import download_scene, scene_entry

    entries = [scene_entry(name) for name in names]  # a misspelt name is told before anything is fetched
    files = {}
    with TransferProgress() as progress:
        for entry in entries:
            files[entry.name] = download_scene(
                entry.name, data_root=data_root, force=force, progress=progress
            )
    if json:
        screen.print_json({name: [str(path) for path in paths] for name, paths in files.items()})
        return
    rows = [
        [name, path, f"{path.stat().st_size / 1e6:.1f}"] for name, paths in files.items() for path in paths
    ]
    screen.out().print(screen.table("Files", [("scene", False), ("file", False), ("MB", True)], rows))
