"""`hsi bench` and `hsi models --measure` on the command line, with tiny shapes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hsi.bench import Scale
from hsi.commands.app import run

TINY = Scale(bands=12, classes=3, patch=7, batch=2, large_batch=2, small_batch=2, rounds=1, seconds=0)


@pytest.fixture(autouse=True)
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hsi.bench.FULL", TINY)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


def test_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["bench", "--only", "wavelet", "--only", "pipeline", "--device", "cpu"]) == 0
    shown = capsys.readouterr().out
    assert "WaveletConv3d" in shown
    assert "input pipeline alone" in shown
    assert "12 bands, patch 7" in shown


def test_json_and_file(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert run(["bench", "--only", "pipeline", "--json", "--out", str(tmp_path)]) == 0
    shown = json.loads(capsys.readouterr().out)
    (file,) = tmp_path.iterdir()
    assert json.loads(file.read_text()) == shown
    assert file.name.startswith("bench-")
    assert run(["bench", "--only", "pipeline", "--json", "--out", str(tmp_path / "own.json")]) == 0
    assert json.loads((tmp_path / "own.json").read_text())["format"] == 1


def test_missing_references_are_noted(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hsi.bench.suite.find_references", lambda: None)
    assert run(["bench", "--only", "pipeline", "--json"]) == 0
    assert "only ours was measured" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        ["--only", "kann"],
        ["--threads", "0"],
        ["--precision", "fp8"],
        ["--references", "nowhere"],
        ["--out", "nowhere/result.json"],
    ],
)
def test_bad_input_is_one_sentence(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["bench", *arguments]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("hsi: ")
    assert len(shown.err.splitlines()) == 1
