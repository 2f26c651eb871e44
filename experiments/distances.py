"""Write the accuracy of runs by the distance to the nearest training pixel, as data for RESULTS.md.

    python -m experiments.distances runs/sweeps/NAME/SCENE [--data-root FOLDER]

The folder is one of `hsi sweep`, with runs PROTOCOL/MODEL/seedN. ``results/distance-NAME-SCENE.csv`` gets a
row for each run and range of distances. Rows of runs made elsewhere are kept; a row may add up several runs,
which its column "runs" names.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import hsi
from experiments.pages.distance import COLUMNS
from experiments.script import run_script
from hsi.io.files import write_text
from hsi.io.text import csv_text, read_rows

Row = dict[str, str]
RESULTS = Path(__file__).resolve().parent / "results"


def main(arguments: list[str]) -> int:
    """Write the table; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--data-root", type=Path)
    options = parser.parse_args(arguments)
    finished = sorted(path.parent for path in options.folder.glob("*/*/seed*/metrics.json"))
    if not finished:
        print(f"There is no finished run PROTOCOL/MODEL/seedN in '{options.folder}'.", file=sys.stderr)
        return 2
    scene = None
    rows = []
    for path in finished:
        run = hsi.open_run(path)
        scene = scene or run.load_scene(options.data_root)
        protocol, label, name = path.parts[-3:]
        for one in hsi.accuracy_by_distance(run, scene):
            last = "" if one.farthest is None else str(one.farthest)
            numbers = (run.config.patch, one.nearest, last, one.pixels, one.right)
            rows.append(dict(zip(COLUMNS, (protocol, label, name, *map(str, numbers)), strict=True)))
    folder = options.folder.resolve()
    table = RESULTS / f"distance-{folder.parent.name}-{folder.name}.csv"
    recorded = read_rows(table, COLUMNS, "experiments.distances") if table.is_file() else []
    write_text(table, csv_text(COLUMNS, merged(rows, recorded)))
    return 0


def merged(rows: list[Row], recorded: list[Row]) -> list[Row]:
    """Return the new rows and the recorded rows of other runs; each run counts once."""
    here = {(row["protocol"], row["label"], row["runs"]) for row in rows}
    kept = [row for row in recorded if not _runs(row) <= here]
    counted = set().union(*map(_runs, kept))
    new = [row for row in rows if not _runs(row) & counted]
    return sorted(
        kept + new, key=lambda row: (row["protocol"], row["label"], row["runs"], int(row["nearest"]))
    )


def _runs(row: Row) -> set[tuple[str, str, str]]:
    return {(row["protocol"], row["label"], name) for name in row["runs"].split()}


if __name__ == "__main__":
    run_script(main)
