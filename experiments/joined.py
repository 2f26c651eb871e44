"""Join the runs of models of a finished sweep, split by split, and write their scores as data for RESULTS.md.

    python -m experiments.joined runs/sweeps/NAME [A+B A+B+C ...] [--data-root FOLDER]

The folder is one of `hsi sweep`, with runs SCENE/PROTOCOL/MODEL/seedN; A, B and C are names of MODEL folders,
default: those that the table has. ``results/joined-NAME.csv`` gets a row for each of them and each split on
which all of their runs are finished, with the columns of ``results/NAME.csv``: the mean of the calibrated
probabilities, alone and with the smoothing that the validation pixels choose. Rows of other models, and of
runs made elsewhere, are kept.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

import hsi
from experiments.pages.recipes import JOINED_COLUMNS, PLUS
from experiments.pages.table import Row
from experiments.script import run_script
from hsi.errors import ConfigError, RunError, near_miss
from hsi.inference.joined import ensemble_metrics
from hsi.inference.run import Run, ensemble
from hsi.io.files import write_text
from hsi.io.text import csv_text, read_rows
from hsi.sweep.results import COLUMNS

RESULTS = Path(__file__).resolve().parent / "results"
KEY = ("scene", "protocol", "label", "seed", "fold")
"""Columns that tell a row from others."""

Members = tuple[Path, ...]


def main(arguments: list[str]) -> int:
    """Join, and write the table after each split; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folder", type=Path, help="folder of a sweep")
    parser.add_argument("labels", nargs="*", metavar="A+B", help="models to join; default: as in the table")
    parser.add_argument("--data-root", type=Path, help="folder with the scenes' files; default: HSI_DATA")
    given = parser.parse_args(arguments)
    table = RESULTS / f"joined-{given.folder.resolve().name}.csv"
    rows = read_rows(table, JOINED_COLUMNS, "experiments.joined") if table.is_file() else []
    labels = given.labels or list(dict.fromkeys(row["label"] for row in rows))
    if not labels:
        raise ConfigError("Name the models to join, such as svm+densenet3d.")
    scenes: dict[str, hsi.Scene] = {}
    for place, label, members in list(splits(given.folder, labels)):
        runs = [hsi.open_run(path) for path in members]
        if place.parts[0] not in scenes:
            scenes = {place.parts[0]: runs[0].load_scene(given.data_root)}  # one in memory at a time
        row = joined_row(runs, scenes[place.parts[0]], place, label)
        rows = merged([row], rows)
        write_text(table, csv_text(JOINED_COLUMNS, rows))
        print(f"{place}, {label}, {members[0].name}: done", flush=True)
    return 0


def splits(folder: Path, labels: Sequence[str]) -> Iterator[tuple[Path, str, Members]]:
    """Yield SCENE/PROTOCOL, a label and the run folders that it joins, for each split that all models have.

    Raises
    ------
    ConfigError
        For a label that does not join several models.
    RunError
        When a model has no finished run, or those to join have none on one split.
    """
    finished = {path.parent.relative_to(folder) for path in sorted(folder.glob("*/*/*/seed*/metrics.json"))}
    if not finished:
        raise RunError(f"There is no finished run SCENE/PROTOCOL/MODEL/seedN in '{folder}'.")
    known = sorted({path.parts[2] for path in finished})
    wanted = []
    for label in labels:
        models = label.split(PLUS)
        if len(models) < 2 or len(set(models)) < len(models):
            raise ConfigError(f"Join different models, such as svm{PLUS}densenet3d, not '{label}'.")
        for model in models:
            if model not in known:
                raise RunError(
                    f"'{folder}' has no finished run of '{model}'.{near_miss(model, known)} "
                    f"Known: {', '.join(known)}."
                )
        firsts = sorted(path for path in finished if path.parts[2] == models[0])
        found = [
            paths
            for first in firsts
            for paths in [[first.parent.parent / model / first.name for model in models]]
            if finished.issuperset(paths)
        ]
        if not found:
            raise RunError(f"The models of '{label}' have no split in '{folder}' on which all are finished.")
        wanted += [(Path(*paths[0].parts[:2]), label, paths) for paths in found]
    for place, label, paths in sorted(wanted, key=lambda one: one[0]):  # scene by scene
        yield place, label, tuple(folder / path for path in paths)


def joined_row(runs: Sequence[Run], scene: hsi.Scene, place: Path, label: str) -> Row:
    """Return the row of runs on one split, scored together."""
    joined = ensemble(runs)
    evaluation = joined.evaluate(scene, smooth="auto")  # scores without smoothing are among its facts
    facts = {
        **ensemble_metrics(joined, evaluation),
        "config": runs[0].config.as_dict(),
        "run": dict(zip(("scene", "protocol", "model"), (*place.parts, label), strict=True)),
    }
    return {name: COLUMNS[name](facts) for name in JOINED_COLUMNS}


def merged(rows: Sequence[Row], recorded: Sequence[Row]) -> list[Row]:
    """Return the new rows and those recorded of other splits and models, in the order of their keys."""
    new = {_key(row): row for row in rows}
    kept = [row for row in recorded if _key(row) not in new]
    return sorted(
        [*kept, *rows],
        key=lambda row: (*_key(row)[:3], int(row["seed"]), int(row["fold"] or -1)),
    )


def _key(row: Row) -> tuple[str, ...]:
    return tuple(row[name] for name in KEY)


if __name__ == "__main__":
    run_script(main)
