"""Killed, interrupted and resumed commands in short, and the tools that compare them."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest

from torture import faults
from torture.contents import contents, damaged, differences


@pytest.mark.parametrize(("number", "verbs"), [("KILL", ("train", "map")), ("INT", ("download",))])
def test_interrupted_commands_give_the_same_result(run_torture, number, verbs):
    chosen = [word for verb in verbs for word in ("--verb", verb)]
    rows = run_torture("torture.interruptions", *chosen, "--trials", "3", "--signal", number)
    assert [row["failures"] for row in rows] == [0] * len(verbs)
    assert all(row["trials"] >= 3 for row in rows)


def test_comparison_of_folders(tmp_path):
    for name in "ab":
        (tmp_path / name).mkdir()
        (tmp_path / name / "metrics.json").write_text(
            json.dumps({"oa": 0.5, "seconds": {"train": ord(name)}})
        )
        np.savez(tmp_path / name / "split.npz", train=np.arange(5))
    a, b = tmp_path / "a", tmp_path / "b"
    assert differences(contents(a), contents(b)) == []
    np.savez(b / "split.npz", train=np.arange(6))
    (a / ".x.1.tmp").touch()
    assert differences(contents(a), contents(b)) == [".x.1.tmp is left over", "split.npz differs"]
    assert differences(contents(b), contents(a)) == [".x.1.tmp is missing", "split.npz differs"]
    (b / "split.npz").write_bytes((b / "split.npz").read_bytes()[:100])
    (b / "metrics.json").write_text('{"oa": 0')
    assert [words.split(" (")[0] for words in damaged(b)] == [
        "metrics.json is damaged",
        "split.npz is damaged",
    ]
    with pytest.raises(ValueError, match=r"metrics\.json cannot be read"):
        contents(b)


def test_moments_are_the_calls_that_change_files(tmp_path):
    seen = []
    faults.install(lambda name, path: seen.append((name, os.path.basename(str(path)))))
    try:
        (tmp_path / "a").write_text("x")
        (tmp_path / "a").read_text()
        (tmp_path / "a").replace(tmp_path / "b")
        (tmp_path / "b").unlink()
    finally:
        faults.remove_all()
    (tmp_path / "c").write_text("x")
    assert seen == [call for call in (("open", "a"), ("os.replace", "a"), ("os.unlink", "b")) for _ in "01"]
