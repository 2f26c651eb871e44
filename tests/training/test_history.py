"""The history in a checkpoint is checked, so that a damaged one is told of and nothing is trained on it."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import save_file

import hsi
from hsi.errors import RunError
from hsi.runs.checkpoint import LAST
from hsi.training.history import history_of
from hsi.training.session import resume
from hsi.training.watcher import EpochRow

ROW = dict.fromkeys(EpochRow.__annotations__, 0.5) | {"epoch": 0, "overflows": 0}
ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from([*ROW, "other"]), inner),
)


def test_rows_of_older_runs_have_no_overflows():
    older = {name: value for name, value in ROW.items() if name != "overflows"}
    assert history_of([older, {**ROW, "epoch": 1, "overflows": 2}]) == [
        ROW,
        {**ROW, "epoch": 1, "overflows": 2},
    ]
    assert history_of([]) == []


@given(ANY.filter(lambda found: found != []))
def test_anything_else_is_refused(found):
    with pytest.raises(ValueError, match="its history"):
        history_of(found)


@pytest.mark.parametrize(
    "change", [{"epoch": 1}, {"lr": "1"}, {"val_oa": None}, {"val_oa": True}, {"more": 1}]
)
def test_a_row_with_a_wrong_value_is_refused(change):
    with pytest.raises(ValueError, match="its history"):
        history_of([{**ROW, **change}])


@pytest.mark.parametrize(
    "change",
    [{"history": None}, {"history": [{}]}, {"patches_at_once": 0}, {"patches_at_once": "x"}],
)
def test_a_checkpoint_with_damaged_facts_is_not_gone_on_with(tmp_path, change):
    options = {"patch": 7, "pca": 8, "train": 0.02, "val": 0.01, "scheme": "random", "device": "cpu"}
    run = hsi.train("cnn1d", "demo", epochs=1, out=tmp_path / "run", **options)
    (run.path / "metrics.json").unlink()
    path = run.path / "checkpoint" / LAST
    with safe_open(path, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
        facts = json.loads(file.metadata()["facts"])
    save_file(tensors, path, metadata={"facts": json.dumps({**facts, **change})})
    before = path.read_bytes()
    with pytest.raises(RunError, match="is damaged"):
        resume(run.path)
    assert path.read_bytes() == before
