"""The word for a run in listings."""

from __future__ import annotations

import dataclasses

import pytest

from hsi.errors import ConfigError
from hsi.sweep.standing import standing


def test_a_folder_comes_before_the_table_and_changed_options_before_all(plan, begin, finish):
    assert [standing(run) for run in plan[:2]] == ["missing", "missing"]
    assert standing(plan[0], {plan[0].key}) == "elsewhere"
    begin(plan[0])
    finish(plan[1])
    finish(dataclasses.replace(plan[2], config=dataclasses.replace(plan[2].config, lr=0.5)))
    begin(dataclasses.replace(plan[3], config=dataclasses.replace(plan[3].config, patch=9)))
    recorded = {run.key for run in plan}
    words = ["interrupted", "done", "changed", "changed", "elsewhere"]
    assert [standing(run, recorded) for run in plan[:5]] == words


def test_damaged_options_are_an_error(plan, begin):
    begin(plan[0])
    (plan[0].folder / "config.toml").write_text("patch = [", encoding="utf-8")
    with pytest.raises(ConfigError):
        standing(plan[0])
