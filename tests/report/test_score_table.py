"""Rows and sentences on scores: with and without smoothing, of joined runs."""

import json
from types import SimpleNamespace

import pytest

import hsi
from hsi.report.score_table import (
    leakage_text,
    number,
    percent,
    score_rows,
    score_tiles,
    smoothing_lines,
    smoothing_text,
)

SHOWN = ("oa", "aa", "kappa", "mean_precision")


def test_leakage_is_said_as_what_it_means():
    clean = leakage_text({"centre": 0.0, "overlap": 0.0})
    assert clean.startswith("No leakage")
    near = leakage_text({"centre": 0.0, "overlap": 0.25})
    assert "25.00 % share a pixel" in near
    assert "partly seen" in near
    inside = leakage_text({"centre": 0.71234, "overlap": 1.0})
    assert "71.23 % of the test pixels lie in a training patch, 100.00 % share" in inside
    assert "not how well new ground is classified" in inside


def test_numbers():
    assert percent(0.12345) == "12.35"
    assert percent(None) == percent(float("nan")) == "-"
    assert [number(value) for value in (None, 12345, 0.1234, 7)] == ["-", "12\u202f345", "0.123", "7"]


def smoothing(method="mean+segments", tried=3, oa=0.5):
    """What metrics.json says of a smoothed run."""
    plain = {"oa": oa, "aa": 0.4, "kappa": 0.3, "mean_precision": 0.2, "f1_macro": 0.1}
    ways = [{"text": f"way {i}", "val_oa": 0.5, "val_log_loss": 1.0} for i in range(tried)]
    return {"method": method, "text": "some words", "tried": ways, "unsmoothed": {"test": plain}}


def made_run(name="a", model="svm", **metrics):
    scores = {
        "oa": 0.6,
        "aa": 0.55,
        "kappa": 0.5,
        "mean_precision": 0.45,
        "f1_macro": 0.4,
        "support": [3, 0, 4],
    }
    facts = {
        "model": model,
        "dataset": "demo",
        "scheme": "disjoint",
        "counts": {"test": 7},
        "leakage": {"centre": 0.0, "overlap": 0.0},
        "test": scores,
    }
    path = SimpleNamespace(name=name, parent=None)
    return SimpleNamespace(path=path, metrics={**facts, **metrics}, split=SimpleNamespace(regions=object()))


def test_smoothing_is_said_in_words():
    said = smoothing_text(smoothing(), regions=True)
    assert said.startswith(
        "Smoothed by some words: the average of the mean of the neighbours and the mean of"
    )
    assert "Of 3 ways that were tried it had the lowest loss" in said
    assert said.endswith("Nothing is smoothed across the border of a region.")
    alone = smoothing_text(smoothing("mrf", tried=1), regions=False)
    assert "Markov random field" in alone
    assert "tried" not in alone
    assert "region" not in alone
    left = smoothing_text(smoothing("none", tried=9), regions=True)
    assert left.startswith("Not smoothed: of 9 ways")


@pytest.mark.parametrize("missing", [None, {}])
def test_without_smoothing_nothing_is_said(missing):
    assert smoothing_text(missing, regions=True) == ""
    run = made_run(smoothing=missing)
    assert smoothing_lines([run], {id(run): "a"}) == []
    assert [row["name"] for row in score_rows([[run]], {id(run): "a"})[0]] == ["a"]
    assert not any("not smoothed" in tile["about"] for tile in score_tiles(run))


def test_scores_without_smoothing_stand_beside():
    run = made_run(smoothing=smoothing())
    assert [tile["about"].rpartition("; ")[2] for tile in score_tiles(run)[:3]] == [
        "50.00 not smoothed",
        "40.00 not smoothed",
        "30.00 not smoothed",
    ]
    smoothed, plain = score_rows([[run]], {id(run): "a"})[0]
    assert (smoothed["name"], plain["name"]) == ("a", "a, not smoothed")
    assert smoothed["values"] == ["60.00", "55.00", "50.00", "45.00", "0.00", "0.00"]
    assert plain["values"] == ["50.00", "40.00", "30.00", "20.00", "", ""]


def test_who_is_smoothed_is_named_where_runs_differ():
    runs = [made_run(smoothing=smoothing("mean")), made_run(smoothing=smoothing("mrf")), made_run()]
    names = dict(zip(map(id, runs), "abc", strict=True))
    assert [who for who, _ in smoothing_lines(runs, names)] == ["a", "b"]


def test_the_mean_of_a_group_stands_with_and_without_smoothing(tmp_path):
    runs = [made_run(str(i), smoothing=smoothing(oa=0.4 + i / 10)) for i in range(2)]
    for run in runs:
        run.path.parent = tmp_path
    names = dict(zip(map(id, runs), "ab", strict=True))
    *_, mean, plain = score_rows([runs], names)[0]
    assert (mean["name"], plain["name"]) == ("Mean of 2", "Mean of 2, not smoothed")
    assert mean["values"][0] == "60.00 ± 0.00"
    assert plain["values"][0] == "45.00 ± 7.07"
    runs[0].metrics["smoothing"] = None  # one of them is not smoothed: there is no such mean
    assert [row["name"] for row in score_rows([runs], names)[0]][-1] == "Mean of 2"


@pytest.fixture
def joined(small_scene, tmp_path):
    """The folder of two joined runs."""
    folder = tmp_path / "both"
    hsi.train_runs("knn,logistic", str(small_scene), protocol="disjoint", train=0.2, val=0.2, patch=3,
                   device="cpu", smooth="mean", out=folder)  # fmt: skip
    return folder


def test_joined_runs_have_rows_of_their_own(joined):
    from hsi.inference.run import open_runs

    group = open_runs(joined)
    names = {id(run): run.path.name for run in group}
    about = json.loads((joined / "ensemble.json").read_text())
    rows, said = score_rows([group], names)
    assert [row["name"] for row in rows] == [
        "knn", "knn, not smoothed", "logistic", "logistic, not smoothed", "Joined", "Joined, not smoothed",
    ]  # fmt: skip
    for row, scores in ((rows[4], about["test"]), (rows[5], about["smoothing"]["unsmoothed"]["test"])):
        assert row["values"][:4] == [percent(scores[name]) for name in SHOWN]
    assert rows[5]["total"]
    (sentence,) = said
    assert sentence.startswith("Joined: the mean of the calibrated probabilities of 2 runs")
    assert f"error together is {percent(about['calibration']['error']['test']['after'])} points" in sentence
    assert score_rows([[group[0]]], names)[1] == []  # one of them alone is not joined
    about.pop("test")
    (joined / "ensemble.json").write_text(json.dumps(about))
    with pytest.raises(hsi.HsiError, match=r"ensemble\.json' is damaged"):
        score_rows([group], names)
    about["members"] = ["knn", "others"]  # of other runs: not about these
    (joined / "ensemble.json").write_text(json.dumps(about))
    assert score_rows([group], names)[1] == []
