"""Models alone, smoothed and joined: their scores from tables of results, compared on the same splits."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from experiments.pages.overview import by_scene
from experiments.pages.significance import Verdict, against
from experiments.pages.table import SPLIT, Cell, Row, read_cells
from hsi.comparison import TTest, corrected_t_test, holm
from hsi.io.text import read_rows

NAME = "honest"
PLUS = "+"
"""Joins the labels of models whose runs are joined."""
JOINED_COLUMNS = (
    *("scene", "protocol", "label", *SPLIT, "oa", "aa", "kappa"),
    *("smoothing", "oa_unsmoothed", "aa_unsmoothed", "calibration_error"),
    *("leakage_centre", "leakage_overlap"),
)
REFERENCE = "svm-spatial"
"""The model that all are compared with, as it is."""
Pairs = Mapping[str, tuple[Cell, Cell]]
"""Cells that are compared, first minus second, by scene."""


@dataclass(frozen=True)
class Recipe:
    """A model or several joined, alone or smoothed: its runs by scene."""

    label: str
    smoothed: bool
    cells: Mapping[str, Cell]

    @property
    def name(self) -> str:
        """What the tables call it."""
        return f"{self.label}, smoothed" if self.smoothed else self.label

    def mean(self, column: str) -> float:
        """Return the mean over scenes, scenes weighing the same; NaN where one has none."""
        return statistics.fmean(cell.mean(column) for cell in self.cells.values())

    @property
    def mean_before(self) -> float:
        """Return the mean calibration error before calibration; NaN for joined runs, which have none."""
        column = "calibration_error_before"
        known = all(column in row for cell in self.cells.values() for row in cell.rows)
        return self.mean(column) if known else math.nan


def files(root: Path) -> list[Path]:
    """Return the files of results: of the models, and of those joined, if they are there."""
    paths = [root / "results" / f"{NAME}.csv", root / "results" / f"joined-{NAME}.csv"]
    return [path for path in paths if path.is_file()]


def read(root: Path) -> tuple[list[Cell], list[Cell]]:
    """Return the cells of the models, and of those joined; none without those of the models.

    Runs that were scored without smoothing only are left out.
    """
    own, joined = (root / "results" / f"{start}{NAME}.csv" for start in ("", "joined-"))
    if not own.is_file():
        return [], []
    groups: dict[tuple[str, str, str], list[Row]] = {}
    for row in read_rows(joined, JOINED_COLUMNS, "experiments.joined") if joined.is_file() else []:
        groups.setdefault((row["scene"], row["protocol"], row["label"]), []).append({**row, "kind": "joined"})
    together = [Cell(*key, tuple(rows)) for key, rows in groups.items()]
    return _both_ways(read_cells(own)), _both_ways(together)


def _both_ways(cells: Iterable[Cell]) -> list[Cell]:
    kept = [
        Cell(cell.scene, cell.protocol, cell.label, tuple(row for row in cell.rows if row["oa_unsmoothed"]))
        for cell in cells
    ]
    return [cell for cell in kept if cell.rows]


def recipes_of(cells: Sequence[Cell]) -> list[Recipe]:
    """Return each label alone and smoothed, in their order."""
    found = []
    for label in dict.fromkeys(cell.label for cell in cells):
        smoothed = {cell.scene: cell for cell in cells if cell.label == label}
        alone = {scene: _alone(cell) for scene, cell in smoothed.items()}
        found += [Recipe(label, False, alone), Recipe(label, True, smoothed)]
    return found


def _alone(cell: Cell) -> Cell:
    """Return the cell with the scores without smoothing in the place of those with it."""
    rows = ({**row, **{name: row[f"{name}_unsmoothed"] for name in ("oa", "aa")}} for row in cell.rows)
    return Cell(cell.scene, cell.protocol, cell.label, tuple(rows))


def over_scenes(pairs: Mapping[str, Pairs], column: str) -> dict[str, tuple[TTest, float]]:
    """Test differences over scenes, each name's pairs by themselves; p is after Holm's correction."""
    found = {name: by_scene(list(of_it.values()), column) for name, of_it in pairs.items()}
    tests = {name: corrected_t_test(list(scenes.values())) for name, scenes in found.items() if scenes}
    corrected = holm([test.p for test in tests.values()])
    return {name: (test, float(p)) for (name, test), p in zip(tests.items(), corrected, strict=True)}


def on_splits(pairs: Mapping[str, Pairs], scene: str, column: str) -> dict[str, Verdict]:
    """Test differences on the splits of a scene; p is after Holm's correction over the names."""
    here = {name: of_it[scene] for name, of_it in pairs.items() if scene in of_it}
    alone = {name: against(second, [first], column)[0] for name, (first, second) in here.items()}
    corrected = holm([verdict.p for verdict in alone.values()])
    return {
        name: Verdict(verdict.difference, float(p), verdict.splits)
        for (name, verdict), p in zip(alone.items(), corrected, strict=True)
    }


def reference_of(recipes: Iterable[Recipe]) -> Recipe | None:
    """Return the plain reference among recipes."""
    return next((one for one in recipes if one.label == REFERENCE and not one.smoothed), None)


def beside(reference: Recipe | None, recipes: Iterable[Recipe]) -> dict[str, Pairs]:
    """Return the cells of each other recipe and of the reference, by name; none without a reference."""
    if reference is None:
        return {}
    return {
        recipe.name: {
            scene: (cell, reference.cells[scene])
            for scene, cell in recipe.cells.items()
            if scene in reference.cells
        }
        for recipe in recipes
        if recipe is not reference
    }
