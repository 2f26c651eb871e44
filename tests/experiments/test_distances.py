"""Accuracy by distance: the script that counts it, the tables it keeps, the chapter that shows it."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import pytest

import hsi
from experiments import distances, tables
from experiments.pages import distance
from hsi.scoring.distance import DistanceBin

FOLDER = tables.ROOT


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_every_run_is_counted_once_wherever_it_was_made(monkeypatch, tmp_path, small_scene, capsys):
    (tmp_path / "results").mkdir()
    monkeypatch.setattr(distances, "RESULTS", tmp_path / "results")
    assert distances.main([str(tmp_path)]) == 2
    assert "There is no finished run" in capsys.readouterr().err
    options = {"dataset": str(small_scene), "scheme": "random", "train": 0.2, "val": 0.1, "patch": 3}
    folder = tmp_path / "e" / "x"
    made = [
        hsi.train(model="knn", **options, seed=seed, out=folder / "random" / "knn" / f"seed{seed}")
        for seed in (0, 1)
    ]
    table = tmp_path / "results" / "distance-e-x.csv"
    assert distances.main([str(folder)]) == 0
    both = table.read_bytes()
    assert {row["runs"] for row in rows_of(table)} == {"seed0", "seed1"}
    for seed, run in enumerate(made):
        rows = [row for row in rows_of(table) if row["runs"] == f"seed{seed}"]
        assert sum(int(row["pixels"]) for row in rows) == len(run.split.test)
        right = sum(int(row["right"]) for row in rows)
        assert right == round(run.metrics["test"]["oa"] * len(run.split.test))

    page = distance.chapter(tmp_path)
    assert "## Accuracy by distance: e, x" in page
    tested = sum(len(run.split.test) for run in made)
    line = next(line for line in page.splitlines() if line.startswith("| knn, random | 2 | "))
    shown = [
        int(cell.split("(")[1].split(")")[0].replace(",", ""))
        for cell in line.split("|")[3:-1]
        if "(" in cell
    ]
    assert sum(shown) == tested
    (picture,) = distance.figures(tmp_path)
    assert picture.path == tmp_path / "figures" / "distance-e-x.svg"

    shutil.move(folder / "random" / "knn" / "seed1", tmp_path / "away")  # as on another machine
    assert distances.main([str(folder)]) == 0
    assert table.read_bytes() == both
    shutil.rmtree(folder / "random" / "knn" / "seed0")
    shutil.move(tmp_path / "away", folder / "random" / "knn" / "seed1")
    assert distances.main([str(folder)]) == 0
    assert table.read_bytes() == both


def test_last_ranges_of_a_figure_are_one_where_they_hold_hardly_a_pixel():
    far = (
        DistanceBin(1, 1, 900, 800),
        DistanceBin(2, 2, 95, 60),
        DistanceBin(3, 4, 4, 4),
        DistanceBin(5, 8, 1, 1),
    )
    near = (DistanceBin(1, 1, 999, 900), DistanceBin(2, 2, 1, 1))
    assert distance.pooled({"far": far, "near": near}) == {
        "far": (far[0], DistanceBin(2, None, 100, 65)),
        "near": (near[0], DistanceBin(2, None, 1, 1)),
    }
    assert distance.pooled({}) == {}


def test_rows_that_stand_for_several_runs_are_kept_until_all_of_them_are_here():
    def row(runs: str, right: int, label: str = "knn") -> dict[str, str]:
        text = ("random", label, runs, "3", "1", "", "10", str(right))
        return dict(zip(distances.COLUMNS, text, strict=True))

    recorded = [row("seed0 seed1", 12), row("seed0", 5, "svm")]
    assert distances.merged([row("seed1", 7), row("seed2", 8)], recorded) == [
        row("seed0 seed1", 12),
        row("seed2", 8),
        row("seed0", 5, "svm"),
    ]
    assert distances.merged([row("seed0", 6), row("seed1", 7)], recorded) == [
        row("seed0", 6),
        row("seed1", 7),
        row("seed0", 5, "svm"),
    ]


@pytest.mark.parametrize(
    "path", sorted((FOLDER / "results").glob("distance-*.csv")), ids=lambda path: path.stem
)
def test_distances_add_up_to_the_scores_of_the_runs(path):
    _, experiment, scene = path.stem.split("-", 2)
    scores = {
        (row["protocol"], row["label"], f"seed{row['seed']}"): row
        for row in rows_of(FOLDER / "results" / f"{experiment}.csv")
        if row["scene"] == scene
    }
    groups: dict[tuple[str, str, str], list[dict[str, str]]] = {}
    for row in rows_of(path):
        groups.setdefault((row["protocol"], row["label"], row["runs"]), []).append(row)
    assert groups
    counted = [(*group[:2], name) for group in groups for name in group[2].split()]
    assert len(counted) == len(set(counted))
    for group, bins in groups.items():
        of_it = [scores[(*group[:2], name)] for name in group[2].split()]
        right = sum(float(row["oa"]) * int(row["test_pixels"]) for row in of_it)
        assert sum(int(one["right"]) for one in bins) == pytest.approx(right, abs=0.1), group
        assert sum(int(one["pixels"]) for one in bins) == sum(int(row["test_pixels"]) for row in of_it), group
