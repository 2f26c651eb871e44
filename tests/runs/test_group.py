"""A run folder, or a folder of them, opens as a list of runs."""

import pytest

from hsi.errors import RunError
from hsi.runs.group import open_runs


def make_run(folder):
    folder.mkdir(parents=True)
    (folder / "config.toml").write_text('model = "svm"\ndataset = "demo"\n')
    return folder


def test_a_run_is_a_list_of_one(tmp_path):
    assert [run.path for run in open_runs(make_run(tmp_path / "one"))] == [tmp_path / "one"]


def test_runs_of_a_folder_come_in_order_of_their_numbers(tmp_path):
    for seed in (10, 2, 0):
        make_run(tmp_path / "group" / f"seed{seed}")
    (tmp_path / "group" / "notes").mkdir()
    assert [run.path.name for run in open_runs(tmp_path / "group")] == ["seed0", "seed2", "seed10"]


def test_anything_else_is_refused(tmp_path):
    for path in (tmp_path, tmp_path / "missing"):
        with pytest.raises(RunError, match="not a run folder"):
            open_runs(path)
