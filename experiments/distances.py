"""Write how accurate runs are by the distance to the nearest training pixel, as data for RESULTS.md.

    python experiments/distances.py runs/sweeps/NAME/SCENE [--data-root FOLDER]

The folder is one of `hsi sweep`: SCENE/PROTOCOL/MODEL/seedN. Runs of one model under one protocol are added
up, pixel by pixel. The result is ``results/distance-SCENE.csv``; rows that it has of models with more runs
elsewhere stay in it.
"""

from __future__ import annotations

import argparse
import csv
import sys
from pathlib import Path

from pages.distance import COLUMNS

import hsi
from hsi.errors import HsiError
from hsi.files.tables import read_rows

RESULTS = Path(__file__).resolve().parent / "results"


def main(arguments: list[str]) -> int:
    """Write the table; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--data-root", type=Path)
    said = parser.parse_args(arguments)
    finished = sorted(path.parent for path in said.folder.glob("*/*/seed*/metrics.json"))
    if not finished:
        print(f"There is no finished run PROTOCOL/MODEL/seedN in '{said.folder}'.", file=sys.stderr)
        return 2
    scene = None
    counted: dict[tuple[str, str, int, int, int | None], list[int]] = {}
    runs: dict[tuple[str, str], int] = {}
    for path in finished:
        run = hsi.open_run(path)
        scene = scene or run.load_scene(said.data_root)
        protocol, label = path.parts[-3:-1]
        runs[protocol, label] = runs.get((protocol, label), 0) + 1
        for one in hsi.accuracy_by_distance(run, scene):
            key = (protocol, label, run.config.patch, one.nearest, one.farthest)
            total = counted.setdefault(key, [0, 0])
            total[0] += one.pixels
            total[1] += one.right
    table = RESULTS / f"distance-{said.folder.name}.csv"
    before = read_rows(table, COLUMNS, "experiments/distances.py") if table.is_file() else []
    kept = [row for row in before if int(row["runs"]) > runs.get((row["protocol"], row["label"]), 0)]
    fuller = {(row["protocol"], row["label"]) for row in kept}
    with table.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows([row[name] for name in COLUMNS] for row in kept)
        for (protocol, label, patch, nearest, farthest), (pixels, right) in counted.items():
            if (protocol, label) in fuller:
                continue
            last = "" if farthest is None else farthest
            writer.writerow((protocol, label, runs[protocol, label], patch, nearest, last, pixels, right))
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except HsiError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_status)
