"""The measured table of docs/reference/speed.md: generated from results, not typed, and never stale."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import hsi
from benchmarks import speed_table
from hsi.bench import Scale, Setting, run_bench

ROOT = Path(hsi.__file__).resolve().parent.parent


def test_page_is_not_stale() -> None:
    assert speed_table.main(["--check"]) == 0, "run 'make bench-table'"


def test_table_is_written_once_and_found_stale(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny = Scale(bands=12, classes=3, patch=7, batch=2, large_batch=2, small_batch=2, rounds=1, seconds=0)
    result = run_bench(Setting("cpu", 1), tiny, only=["expert", "wcnet"])
    folder = tmp_path / "experiments" / "results"
    folder.mkdir(parents=True)
    page = tmp_path / "docs" / "reference" / "speed.md"
    page.parent.mkdir(parents=True)
    page.write_text(f"before\n{speed_table.START}\n{speed_table.END}\nafter\n")
    monkeypatch.setattr(speed_table, "ROOT", tmp_path)
    assert speed_table.main(["--check"]) == 0  # no result, no table
    (folder / "bench-here.json").write_text(json.dumps(result))
    assert speed_table.main(["--check"]) == 1
    assert speed_table.main([]) == 0
    assert speed_table.main(["--check"]) == 0
    written = page.read_text()
    assert written.startswith("before\n")
    assert written.endswith("after\n")
    assert "| ExpertKernelConv3d 1x1x1, batch 2 |" in written
    assert "| wcnet | " in written
    lines = [line for line in written.splitlines() if line.startswith("|")]
    assert {line.count("|") for line in lines[:3]} == {7}
    page.write_text(written.replace("| wcnet | ", "| wcnet | 9"))
    assert speed_table.main(["--check"]) == 1
    assert speed_table.main([]) == 0
    assert page.read_text() == written


@pytest.mark.parametrize("text", ["", "{start}\n", "{start}\n{end}\n{end}", "{end}\n{start}\n"])
def test_markers_must_be_there_once(text: str) -> None:
    page = text.format(start=speed_table.START, end=speed_table.END)
    with pytest.raises(ValueError, match="each"):
        speed_table.replace_between(speed_table.START, speed_table.END, page, "")
