"""The CSV of an experiment: from the run folders alone, sorted, the same each time."""

from __future__ import annotations

import csv
import random
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from experiments.pages.table import best, read_cells
from hsi.errors import FileFormatError, RunError
from hsi.sweep.experiment import read_experiment
from hsi.sweep.plan import make_plan
from hsi.sweep.results import COLUMNS, check_table, read_facts, recorded_rows, results_csv, write_results


def test_rows_are_those_of_finished_runs_in_a_fixed_order(plan, begin, finish, tmp_path):
    begin(plan[0])
    for run in plan[1:]:
        finish(run, oa=1 / 3)
    table = results_csv(plan)
    shuffled = list(plan)
    random.Random(0).shuffle(shuffled)
    assert results_csv(shuffled) == table
    rows = list(csv.DictReader(table.splitlines()))
    assert list(rows[0]) == list(COLUMNS)
    keys = [(row["scene"], row["protocol"], row["label"], int(row["seed"])) for row in rows]
    assert keys == sorted(keys)
    assert len(rows) == len(plan) - 1
    row = next(row for row in rows if row["label"] == "svm-spatial" and row["protocol"] == "random")
    assert row["oa"] == "0.333333"
    assert row["leakage_overlap"] == "0.666667"
    assert (row["model"], row["kind"], row["params"]) == ("svm", "classical", "")
    assert (row["cpu"], row["threads"], row["torch"], row["scikit_learn"]) == ("A, B", "2", "2.6", "")
    assert row["peak_memory_mb"] == ""
    assert row["train_pixels"] == "100"
    assert {row["kind"] for row in rows if row["label"] == "densenet3d"} == {"network"}


def test_nothing_is_written_without_a_finished_run(plan, finish, tmp_path):
    path = tmp_path / "results" / "two.csv"
    write_results(plan, path)
    assert not path.parent.exists()
    finish(plan[0])
    write_results(plan, path)
    assert path.read_text().count("\n") == 2


def test_a_table_that_grows_reads_each_folder_once(plan, finish, tmp_path, monkeypatch):
    path, read, rows = tmp_path / "two.csv", [], {}

    def reading(run):
        read.append(run.key)
        return read_facts(run)

    with monkeypatch.context() as patched:
        patched.setattr("hsi.sweep.results.read_facts", reading)
        for number, run in enumerate(plan, start=1):
            finish(run, oa=number / 10)
            write_results(plan, path, rows)
            assert len(read) == number
    assert sorted(read) == sorted(run.key for run in plan)
    assert path.read_text() == results_csv(plan)


def test_rows_of_another_machine_stay_while_their_options_do(plan, finish, tmp_path, experiment_file):
    path = tmp_path / "two.csv"
    for run in plan[:3]:
        finish(run, oa=0.25)
    write_results(plan, path)
    shutil.rmtree(tmp_path / "runs")
    assert set(recorded_rows(plan, path)) == {run.key for run in plan[:3]}
    finish(plan[0], oa=0.5)
    finish(plan[3], oa=0.75)
    write_results(plan, path)
    assert sorted(row["oa"] for row in csv.DictReader(path.open())) == [
        "0.250000", "0.250000", "0.500000", "0.750000",
    ]  # fmt: skip

    longer = experiment_file.read_text().replace("epochs = 1", "epochs = 2")
    experiment_file.write_text(longer)
    assert recorded_rows(make_plan(read_experiment(experiment_file)), path) == {}


def test_a_table_is_not_written_where_rows_would_go(plan, finish, tmp_path, experiment_file):
    path = tmp_path / "x.csv"
    check_table(plan, path)  # there is none yet
    for run in plan[:2]:
        finish(run)
    write_results(plan, path)
    check_table(plan, path)
    others = [run for run in plan if run.key != plan[0].key]
    with pytest.raises(RunError, match=f"a run of '{plan[0].scene}/{plan[0].protocol}/{plan[0].model}' that"):
        check_table(others, path)
    with pytest.raises(RunError, match=r"and 1 more that the experiment does not ask for now.*--rerun"):
        check_table(plan[2:], path)
    check_table(plan[2:], path, rerun=True)


def test_a_row_of_a_run_that_only_leaves_out_is_not_dropped(plan, finish, tmp_path):
    path = tmp_path / "x.csv"
    for run in plan[:2]:
        finish(run)
    write_results(plan, path)
    changed = [replace(run, config=run.config.replace(epochs=9)) for run in plan]
    check_table(changed, path, rerun=True, chosen=changed)
    check_table(changed, path, rerun=True, chosen=changed[:2])
    with pytest.raises(RunError, match=f"a run of '{plan[1].cell}' that .* --only leaves it out"):
        check_table(changed, path, rerun=True, chosen=changed[:1])


def test_a_fingerprint_is_of_the_options_not_of_the_place(plan):
    run = plan[0]
    moved = replace(run, config=run.config.replace(dataset="/data/demo", device="cpu"))
    assert moved.fingerprint == run.fingerprint
    assert len({other.fingerprint for other in plan}) == len(plan)
    assert replace(run, config=run.config.replace(lr=0.5)).fingerprint != run.fingerprint


def test_a_file_that_is_no_table_is_left_as_it_is(plan, finish, tmp_path):
    path = tmp_path / "two.csv"
    path.write_text("a,b\n1,2\n")
    finish(plan[0])
    with pytest.raises(FileFormatError, match="no table of hsi sweep"):
        write_results(plan, path)
    assert path.read_text() == "a,b\n1,2\n"


def test_nan_is_an_empty_cell_and_damage_is_a_sentence(plan, finish):
    finish(plan[0], oa=float("nan"))
    assert next(csv.DictReader(results_csv(plan).splitlines()))["oa"] == ""
    (plan[0].folder / "metrics.json").write_text("{")
    with pytest.raises(RunError, match=r"metrics\.json' is damaged"):
        results_csv(plan)
    (plan[0].folder / "metrics.json").write_text('{"model": "svm"}')
    with pytest.raises(RunError, match=r"metrics\.json' is damaged \(no device\)"):
        results_csv(plan)


def test_cells_read_back_what_was_written(plan, finish, tmp_path):
    for run, oa in zip(plan, (0.5, 0.6, 0.7, 0.8, 0.7, 0.6, 0.5, 0.4), strict=True):
        finish(run, oa=oa)
    path = tmp_path / "two.csv"
    write_results(plan, path)
    cells = {(cell.protocol, cell.label): cell for cell in read_cells(path)}
    cell = cells["random", "densenet3d"]
    mean, std = cell.mean_and_std("oa")
    assert mean == pytest.approx(0.6)
    assert std == pytest.approx(0.1 * 2**0.5)
    assert cell.median("train_seconds") == 20
    assert cell.by_split("oa") == {
        ("random", "", "", "0", "", "100", "850"): 0.5,
        ("random", "", "", "1", "", "100", "850"): 0.7,
    }
    assert best(cells.values(), ("network",)).label == "densenet3d"
    assert best(cells.values(), ("baseline",)) is None


def test_a_lucky_single_run_is_not_the_best(plan, finish, tmp_path):
    for run in plan:
        finish(run, oa=0.8)
    path = tmp_path / "two.csv"
    write_results(plan, path)
    whole = [cell for cell in read_cells(path) if cell.label == "densenet3d"]
    lucky = replace(whole[0], label="lucky", rows=({**whole[0].rows[0], "oa": "0.99"},))
    assert best([lucky, *whole], ("network",)) is whole[0]
    assert best([lucky], ("network",)) is lucky


def test_another_csv_is_refused(tmp_path: Path):
    path = tmp_path / "a.csv"
    path.write_text("a,b\n1,2\n")
    with pytest.raises(FileFormatError, match="lacks the column 'scene'"):
        read_cells(path)
    with pytest.raises(FileFormatError, match="cannot be read"):
        read_cells(tmp_path / "none.csv")
