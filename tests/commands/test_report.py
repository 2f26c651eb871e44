"""`hsi report` on runs of a second."""

import json
import os

import pytest

from hsi.commands.app import run


@pytest.fixture
def trained(small_scene, tmp_path, monkeypatch, capsys):
    """Two runs in the folder ``runs``."""
    monkeypatch.chdir(tmp_path)
    said = "train --model knn --dataset scene.toml --scheme random --train 0.2 --val 0.2 --runs 2 --out runs"
    assert run(said.split()) == 0
    capsys.readouterr()


def test_one_run_has_its_page_in_its_folder(trained, tmp_path, capsys):
    assert run(["report", "runs/seed0"]) == 0
    shown = capsys.readouterr()
    size = (tmp_path / "runs/seed0/report.html").stat().st_size
    assert f"Report: runs/seed0/report.html ({size / 1e6:.1f} MB)" in shown.out
    assert "Figures: runs/seed0/figures" in shown.out
    assert "Classifying 480 pixels with seed0" in shown.err
    assert (tmp_path / "runs/seed0/figures/prediction.png").is_file()


def test_a_group_has_one_page_and_json_says_where(trained, tmp_path, capsys, monkeypatch):
    drawn = [tmp_path / "some.png"]
    monkeypatch.setattr("hsi.report.page.save_run_figures", lambda *_: drawn)  # the real ones: above
    assert run(["report", "runs", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["page"] == "runs/report.html"
    assert printed["bytes"] == (tmp_path / "runs/report.html").stat().st_size
    assert printed["figures"] == 2 * [str(path) for path in drawn]
    page = (tmp_path / "runs/report.html").read_text(encoding="utf-8")
    assert "Mean of 2" in page


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["runs/seed0", "runs/seed1"], "say where it goes, with --out FILE"),
        (["runs/seed0", "--out", "nowhere/page.html"], "--out needs a file in a folder that exists"),
        (["runs/seed0", "--out", "runs"], "--out needs a file"),
        (["nowhere"], "is not a run folder"),
    ],
)
def test_bad_input_is_one_sentence_and_writes_nothing(trained, tmp_path, capsys, arguments, sentence):
    assert run(["report", *arguments]) == 2
    said = capsys.readouterr().err
    assert sentence in said
    assert "Traceback" not in said
    assert not list(tmp_path.rglob("*.html"))
    assert not list(tmp_path.rglob("*.png"))


def test_an_unfinished_run_is_refused_before_anything_is_written(trained, tmp_path, capsys):
    (tmp_path / "runs/seed1/metrics.json").unlink()
    assert run(["report", "runs"]) == 2
    assert "is not finished" in capsys.readouterr().err
    assert not list(tmp_path.rglob("*.png"))


def test_without_a_run_it_takes_the_newest_and_says_so(trained, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("hsi.report.page.save_run_figures", lambda *_: [])
    for name, seconds in (("seed0", 2000), ("seed1", 1000)):
        os.utime(tmp_path / "runs" / name / "metrics.json", (seconds, seconds))
    assert run(["report"]) == 0
    shown = capsys.readouterr()
    assert "newest run, runs/seed0." in shown.err
    assert "Report: runs/seed0/report.html" in shown.out
    assert run(["report", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["page"] == "runs/seed0/report.html"
    (tmp_path / "runs" / "seed0" / "metrics.json").unlink()  # an unfinished run does not count
    assert run(["report"]) == 0
    assert "Report: runs/seed1/report.html" in capsys.readouterr().out


def test_without_any_run_it_says_how_to_get_one(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert run(["report"]) == 2
    said = capsys.readouterr().err
    assert "There is no finished run in ./runs; name a run folder" in said
    assert "hsi train --model wcnet --dataset demo" in said


def test_open_opens_the_page(trained, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("hsi.report.page.save_run_figures", lambda *_: [])
    opened = []
    monkeypatch.setattr("webbrowser.open", lambda address: opened.append(address) or len(opened) == 1)
    assert run(["report", "runs/seed0", "--open"]) == 0
    page = tmp_path / "runs/seed0/report.html"
    assert opened == [page.as_uri()]
    assert "No browser" not in capsys.readouterr().err
    assert run(["report", "runs/seed0", "--open"]) == 0
    assert f"No browser could be started; open this file in one: {page}" in capsys.readouterr().err


def test_the_second_report_of_a_run_classifies_nothing(trained, capsys, monkeypatch):
    monkeypatch.setattr("hsi.report.page.save_run_figures", lambda *_: [])
    assert run(["report", "runs/seed0"]) == 0
    assert "Classifying 480 pixels" in capsys.readouterr().err
    assert run(["report", "runs/seed0"]) == 0
    assert "Classifying" not in capsys.readouterr().err
